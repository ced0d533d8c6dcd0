"""Our modules against the published model's outputs for the same weights and inputs, within the tolerances stated.

For two songs the golden outputs are those of each song alone: the published model mixes the songs of a batch.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from einops import rearrange
from torch import nn

from helpers.filler import fill
from helpers.golden import TINY, Golden, fill_by_name, published_keys, tensor_noise
from synctrack.audio.mel import AudioFormat
from synctrack.checkpoint.files import CheckpointFile
from synctrack.checkpoint.matching import Modules, match
from synctrack.checkpoint.published import PUBLISHED_UNET, PUBLISHED_VAE, unet_map, vae_map
from synctrack.models.unet import InstrumentPrior, UNet, UNetConfig, timestep_embedding
from synctrack.models.vae import VAE, MidAttention, VAEConfig
from synctrack.models.vocoder import HiFiGAN, HiFiGANConfig

pytestmark = pytest.mark.medium

NUM_STEMS, LATENT = 4, (8, 256, 16)
UNET_ATOL = BLOCK_ATOL = 2e-5
VAE_ATOL = 1e-5
VOCODER_ATOL = 1e-6


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def unet() -> UNet:
    with torch.no_grad():
        unet = UNet(TINY, NUM_STEMS, LATENT[0])
        return fill_by_name(unet, unet_map(unet), PUBLISHED_UNET)


@pytest.mark.parametrize("t", [0, 500, 999])
def test_unet_equals_golden(unet, t):
    noise = unet(tensor_noise("unet.x.b1", (1, NUM_STEMS, *LATENT)), torch.tensor([t]))
    assert Golden("unet_tiny").error(f"out_b1_t{t}", noise) < UNET_ATOL


def test_unet_on_two_songs_equals_each_alone(unet):
    noise = unet(tensor_noise("unet.x.b2", (2, NUM_STEMS, *LATENT)), torch.tensor([500, 17]))
    assert Golden("unet_tiny").error("out_b2_alone", noise) < UNET_ATOL


def test_unet_with_the_other_scope_does_not_equal_golden():
    """The fixture is fine enough to tell the two time-specific attentions apart."""
    other = UNet(UNetConfig(**vars(TINY) | {"time_attention_scope": "frame"}), NUM_STEMS, LATENT[0])
    fill_by_name(other, unet_map(other), PUBLISHED_UNET)
    noise = other(tensor_noise("unet.x.b1", (1, NUM_STEMS, *LATENT)), torch.tensor([500]))
    assert Golden("unet_tiny").error("out_b1_t500", noise) > 0.1


BLOCKS = {"A": (64, 16, 8, 4), "B": (128, 32, 16, 2)}
"""Channels, head channels, time steps and frequencies of the two golden blocks."""


def golden_transformer(size: str) -> nn.Module:
    channels, head_channels, _, _ = BLOCKS[size]
    config = UNetConfig(
        model_channels=channels,
        channel_mult=[1],
        num_res_blocks=1,
        attention_resolutions=[1],
        num_head_channels=head_channels,
        time_attention_scope="bin",
    )
    unet = UNet(config, NUM_STEMS, LATENT[0])
    ours, published = "down.0.attention.", "input_blocks.1.1."
    entries = [
        replace(
            entry,
            ours=entry.ours.removeprefix(ours),
            published=tuple(n.removeprefix(published) for n in entry.published),
        )
        for entry in unet_map(unet)
        if entry.ours.startswith(ours)
    ]
    return fill_by_name(unet.down[0].attention, entries, f"block.{size}.")


def block_input(size: str, songs: int) -> torch.Tensor:
    channels, _, t, f = BLOCKS[size]
    return rearrange(
        tensor_noise(f"block.{size}.x.b{songs}", (NUM_STEMS * songs, channels, t, f)),
        "(b s) c t f -> b s c t f",
        s=NUM_STEMS,
    )


@pytest.mark.parametrize("size", BLOCKS)
def test_every_step_of_the_transformer_block_equals_golden(size):
    module = golden_transformer(size)
    seen = {}

    def keep(name: str, submodule: nn.Module) -> None:
        def hook(_, inputs, output):
            seen[f"{name}.in"], seen[name] = inputs[0], output

        submodule.register_forward_hook(hook)

    for name, submodule in module.named_modules():
        keep(name, submodule)
    seen["out"] = module(block_input(size, 1))
    steps = {
        "01_groupnorm": seen["norm"],
        "02_proj_in_seq": seen["block.in"],
        "03_attn1_out": seen["block.intra1"],
        "04_after_attn1": seen["block.norm_global.in"],
        "05_global_out": seen["block.global_"],
        "06_after_global": seen["block.time.in"],
        "07_beat_after_sa": seen["block.time.norm2.in"],
        "08_beat_encoder_layer_out": seen["block.time"] - seen["block.time.in"],
        "09_after_beat": seen["block.time"],
        "10_attn2_out": seen["block.intra2"],
        "11_after_attn2": seen["block.norm_feed_forward.in"],
        "12_ff_out": seen["block.feed_forward"],
        "13_after_ff": seen["block"],
        "14_out": seen["out"],
    }
    golden = Golden("block")
    errors = {step: golden.error(f"{step}_{size}_b1", ours) for step, ours in steps.items()}
    assert max(errors.values()) < BLOCK_ATOL, errors


@pytest.mark.parametrize("size", BLOCKS)
@pytest.mark.parametrize("songs", [2, 3])
def test_transformer_block_on_several_songs_equals_each_alone(size, songs):
    out = golden_transformer(size)(block_input(size, songs))
    assert Golden("block").error(f"15_out_each_song_alone_{size}_b{songs}", out) < BLOCK_ATOL


@pytest.fixture(scope="module")
def vae() -> VAE:
    with torch.no_grad():
        vae = VAE(VAEConfig())
        return fill_by_name(vae, vae_map(vae), PUBLISHED_VAE)


def test_vae_encoder_equals_golden(vae):
    raw = []
    handle = vae.encoder.register_forward_hook(lambda _, __, output: raw.append(output))
    posterior = vae.encode(tensor_noise("vae.mel", (1, 1, 1024, 64), -5, 2))
    handle.remove()
    golden = Golden("vae")
    assert golden.error("encoder_raw", raw[0]) < VAE_ATOL
    assert golden.error("mean", posterior.mean) < VAE_ATOL
    assert golden.error("logvar", posterior.logvar) < VAE_ATOL
    assert golden.error("std", posterior.std) < VAE_ATOL


def test_vae_decoder_equals_golden(vae):
    mel = vae.decode(tensor_noise("vae.z", (1, 1, *LATENT)))
    assert Golden("vae").error("dec", mel) < VAE_ATOL


@pytest.mark.slow
def test_vae_reconstruction_equals_golden(vae):
    mel = vae.decode(vae.encode(tensor_noise("vae.mel", (1, 1, 1024, 64), -5, 2)).mean)
    # The rounding of both networks, each of which is within the tolerance by itself.
    assert Golden("vae").error("dec_of_mean", mel) < 2 * VAE_ATOL


def test_vae_attention_equals_golden(vae):
    attention = next(layer for layer in vae.decoder if isinstance(layer, MidAttention))
    out = attention(tensor_noise("vae.mid", (1, 1, 512, 16, 8)))
    assert Golden("vae").error("mid_attn", out) < VAE_ATOL


def test_vocoder_from_weights_with_weight_norm_equals_golden():
    vocoder = HiFiGAN(HiFiGANConfig(), AudioFormat()).eval()
    tensors = {name: torch.from_numpy(fill(name, shape, "hifigan.")) for name, shape, _ in published_keys("vocoder")}
    file = CheckpointFile(Path("hifigan-ckpt.ckpt"), "vocoder", True, tensors, None, None)
    weights = match(file, Modules(vocoder=vocoder))
    weights.fill(vocoder, "vocoder.")
    seen = {}
    vocoder.conv_pre.register_forward_hook(lambda _, __, out: seen.update(conv_pre_out=out))
    vocoder.conv_post.register_forward_hook(lambda _, __, out: seen.update(pre_tanh=out))
    mel = tensor_noise("hifigan.mel", (1, 64, 64), -5, 2)
    seen["wav"] = vocoder(rearrange(mel, "1 f m -> 1 1 m f"))
    seen["folded_conv_pre"] = vocoder.conv_pre.weight[:2]
    seen["folded_ups0"] = vocoder.upsamplers[0].weight[:2]
    golden = Golden("hifigan")
    errors = {name: golden.error(name, ours) for name, ours in seen.items()}
    assert errors.pop("conv_pre_out") < 2e-5  # values of about 10
    assert max(errors.values()) < VOCODER_ATOL, errors


def test_instrument_prior_and_time_embedding_equal_golden(unet):
    golden = Golden("instrument_prior")
    prior = unet.prior
    assert golden.error("switcher", prior.one_hot) == 0
    assert golden.error("pos_code", torch.cat([prior.one_hot.sin(), prior.one_hot.cos()], dim=-1)) < 1e-6
    assert golden.error("tiny_switch_emb", prior()) < 1e-6
    full = InstrumentPrior(NUM_STEMS, 128, 512)
    with torch.device("meta"):
        whole = UNet(UNetConfig(), NUM_STEMS, LATENT[0])
    entries = [
        replace(entry, ours=entry.ours.removeprefix("prior."))
        for entry in unet_map(whole)
        if entry.ours.startswith("prior.")
    ]
    assert golden.error("full_switch_emb", fill_by_name(full, entries, PUBLISHED_UNET)()) < 1e-6
    t = torch.tensor([500])
    assert golden.error("tiny_timestep_embedding_t500", timestep_embedding(t, 32)) < 1e-5
    assert golden.error("full_timestep_embedding_t500", timestep_embedding(t, 128)) < 1e-5
    assert golden.error("tiny_time_embed_t500", unet.embed(t)[0, 0, :128]) < 1e-5
    assert golden.error("tiny_switch_emb", unet.embed(t)[0, :, 128:]) < 1e-6


def test_number_of_parameters_of_every_part():
    with torch.device("meta"):
        unet, vae = UNet(UNetConfig(), NUM_STEMS, LATENT[0]), VAE(VAEConfig())
        vocoder = HiFiGAN(HiFiGANConfig(), AudioFormat())

    def count(module: nn.Module, *marks: str) -> int:
        return sum(p.numel() for name, p in module.named_parameters() if any(mark in f".{name}" for mark in marks))

    norms = ("norm_intra1", "norm_global", "norm_intra2", "norm_feed_forward", "attention.norm")
    assert {
        "all": count(unet, "."),
        "trainable": sum(p.numel() for p in unet.parameters() if p.requires_grad),
        "res": count(unet, ".res.", ".middle.1."),
        "embedding": count(unet, ".embedding."),
        "intra1": count(unet, ".intra1."),
        "global": count(unet, ".global_."),
        "time": count(unet, ".time."),
        "intra2": count(unet, ".intra2."),
        "feed_forward": count(unet, "block.feed_forward."),
        "proj_in": count(unet, ".proj_in."),
        "proj_out": count(unet, ".proj_out."),
        "norms": [count(unet, f".{norm}.") for norm in norms],
        "up": count(unet, ".upsample."),
        "down": sum(count(entry, ".") for entry in unet.down if isinstance(entry, nn.Conv2d)),
        "time_embed": count(unet, ".time_embed."),
        "prior": count(unet, ".prior.mlp."),
        "conv_in": count(unet, ".conv_in."),
        "out": count(unet, ".norm_out.", ".conv_out."),
        "one_hot": count(unet, ".one_hot"),
        "VAE": [count(vae, f".{part}.") for part in ("encoder", "decoder", "quant_conv", "post_quant_conv")],
        "vocoder": count(vocoder, "."),
    } == {
        "all": 241_314_712,
        "trainable": 241_314_696,
        "res": 99_112_448,
        "embedding": 8_528_000,
        "intra1": 14_097_280,
        "global": 14_097_280,
        "time": 42_362_240,
        "intra2": 14_097_280,
        "feed_forward": 42_334_080,
        "proj_in": 3_529_600,
        "proj_out": 3_529_600,
        "norms": [14_080] * 5,
        "up": 5_604_608,
        "down": 2_065_152,
        "time_embed": 328_704,
        "prior": 67_200,
        "conv_in": 9_344,
        "out": 9_480,
        "one_hot": 16,
        "VAE": [22_395_024, 32_981_505, 272, 72],
        "vocoder": 55_264_897,
    }
