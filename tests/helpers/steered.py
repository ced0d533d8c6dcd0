"""Small models that can be told things, with random weights in every layer, and songs to tell them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from helpers.small_model import STEMS, awaken, small_config
from synctrack.audio.beat_files import Beats
from synctrack.checkpoint.files import HEADER, model_header
from synctrack.checkpoint.loading import CheckpointInfo
from synctrack.generation.song import Song
from synctrack.models.conditioning import ConditioningConfig
from synctrack.models.latent_diffusion import LatentDiffusion, ModelConfig, VocoderConfig
from synctrack.models.vocoder import HiFiGANConfig
from synctrack.pipeline import SyncTrack

ALL = ConditioningConfig(context=True, signals=["click", "mix"])
NOTHING = ConditioningConfig()
RATE = 8000
FRAME = 320
"""Samples of a latent frame: two mel frames of 160."""
WINDOW = 32
"""Latent frames of a segment, 1.28 s."""
QUICK = {"steps": 2}
STEPS_OF_A_LONG_RUN = 200


def steered_config(conditioning: ConditioningConfig = ALL) -> ModelConfig:
    """The small model with a small iSTFT vocoder."""
    sizes = {"upsample_rates": [2], "upsample_kernel_sizes": [4], "upsample_initial_channel": 32}
    hifigan = HiFiGANConfig(**sizes, resblock_kernel_sizes=[3], resblock_dilations=[1], istft_hop=80)
    return dataclasses.replace(small_config(), vocoder=VocoderConfig("hifigan", hifigan), conditioning=conditioning)


def steered_network(
    conditioning: ConditioningConfig = ALL, stems: tuple[str, ...] = STEMS, config: ModelConfig | None = None
) -> LatentDiffusion:
    """The networks, the same weights at each call."""
    torch.manual_seed(0)
    network = awaken(LatentDiffusion(config or steered_config(conditioning), stems))
    network.scale_factor.fill_(1.0)
    return network.eval()


def steered_model(*arguments: object, trained_bpm: tuple[float, float] | None = None, **options: object) -> SyncTrack:
    """See `steered_network`."""
    checkpoint = CheckpointInfo("small", "SyncTrack checkpoint", "0" * 64, None, trained_bpm)
    return SyncTrack(steered_network(*arguments, **options), checkpoint, torch.device("cpu"))


def save_steered(path: Path, conditioning: ConditioningConfig = ALL, **header: object) -> Path:
    """A checkpoint of the small model in our exported format."""
    network = steered_network(conditioning)
    tensors = {f"ema.module.{name}": tensor for name, tensor in network.unet.state_dict().items()}
    for part in ("vae", "vocoder"):
        tensors |= {f"{part}.{name}": tensor for name, tensor in getattr(network, part).state_dict().items()}
    tensors["ema.num_updates"] = torch.tensor(1)
    tensors["scale_factor"] = network.scale_factor
    stored = model_header("synctrack", network.config, network.stems) | header
    save_file({n: t.detach().contiguous() for n, t in tensors.items()}, path, {HEADER: json.dumps(stored)})
    return path


def noise_song(seconds: float = 2.56, seed: int = 0, beats: Beats | None = None, level: float = 0.1) -> Song:
    """A song of noise, each sample a whole step of 16 bits."""
    rng = np.random.default_rng(seed)
    waves = {stem: rng.normal(0, level, round(seconds * RATE)) for stem in STEMS}
    steps = {stem: np.clip(np.rint(wave * 2**15), -(2**15), 2**15 - 1) for stem, wave in waves.items()}
    return Song({stem: (wave / 2**15).astype(np.float32) for stem, wave in steps.items()}, RATE, {}, beats)
