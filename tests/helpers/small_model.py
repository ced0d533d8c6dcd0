"""A model small enough to train in seconds, in Python and as key=value pairs."""

import pytest
import torch

from synctrack.audio.mel import AudioFormat
from synctrack.models.latent_diffusion import ModelConfig, VocoderConfig
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAEConfig

STEMS = ("bass", "drums", "guitar", "piano")
SMALL_AUDIO = AudioFormat(sample_rate=8000, n_fft=512, hop_length=160, n_mels=32, f_max=4000.0, frames=64)
SMALL_VAE = VAEConfig(channels=32, channel_mult=[1, 1], num_res_blocks=1, latent_channels=4)
SMALL_UNET = {"model_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [2]}
SMALL_KEYS = [
    "model.params.audio={sample_rate: 8000, n_fft: 512, hop_length: 160, n_mels: 32, f_max: 4000.0, frames: 64}",
    "model.params.vae={channels: 32, channel_mult: [1, 1], num_res_blocks: 1, latent_channels: 4}",
    "model.params.unet={model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [2]}",
    "model.params.vocoder.kind=griffin_lim",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "data.params.num_workers=0",
    "data.params.batch_size=2",
]
"""The same small model as key=value pairs for the commands."""
PRECISIONS = ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.slow)]
"""Of a training; many processors emulate bfloat16, which takes ten times as long."""


def small_config(**unet: object) -> ModelConfig:
    """A model of 1.28 s segments at 8 kHz, small enough to train in seconds."""
    return ModelConfig(SMALL_AUDIO, SMALL_VAE, UNetConfig(**SMALL_UNET | unet), vocoder=VocoderConfig("griffin_lim"))


def awaken(module: torch.nn.Module) -> torch.nn.Module:
    """Give layers that are initialised with zeros random weights, so that outputs depend on inputs."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.abs().max() == 0:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return module
