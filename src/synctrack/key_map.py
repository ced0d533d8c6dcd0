"""How the published weights name what ours name otherwise: the only place that knows.

Each map is a list of `Entry`, one for each tensor of our module, in the order of its state dict. It is derived from
the module itself, so that it holds for every size. Files, prefixes and strictness are `checkpoint.py`'s.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from synctrack.layers import ResBlock, Upsample
from synctrack.unet import Downsample, UNet
from synctrack.vae import VAE, MidAttention
from synctrack.vae import Downsample as VAEDownsample
from synctrack.vocoder import HiFiGAN


@dataclass(frozen=True)
class Entry:
    """Our tensor `ours` is the published tensors `published`, stacked along the first axis.

    `image` says that the published ones are 1x1 convolutions (two more axes of length one) where ours is linear.
    """

    ours: str
    published: tuple[str, ...]
    image: bool = False

    def to_ours(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        """Published tensors -> our tensor."""
        stacked = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
        return stacked[..., 0, 0] if self.image and stacked.dim() == 4 else stacked

    def to_published(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Our tensor -> published tensors."""
        if self.image and tensor.dim() == 2:
            tensor = tensor[..., None, None]
        return list(tensor.chunk(len(self.published))) if len(self.published) > 1 else [tensor]


PUBLISHED_UNET = "model.diffusion_model."
PUBLISHED_EMA = "model_ema."
PUBLISHED_VAE = "first_stage_model."
PUBLISHED_VOCODER = "first_stage_model.vocoder."

NEW_IN_SYNCTRACK = (".prior.", ".norm_global.", ".global_.", ".time.")
"""What names of the U-Net's tensors hold where MusicLDM has no such tensor."""

UNET_RES = {
    "norm1": ("in_layers.0",),
    "conv1": ("in_layers.2",),
    "embedding": ("emb_layers.1",),
    "norm2": ("out_layers.0",),
    "conv2": ("out_layers.3",),
    "skip": ("skip_connection",),
}


def _qkv(attention: str) -> tuple[str, ...]:
    return tuple(f"{attention}.to_{name}" for name in "qkv")


UNET_TRANSFORMER = {
    "norm": ("norm",),
    "proj_in": ("proj_in",),
    "proj_out": ("proj_out",),
} | {
    f"block.{ours}": tuple(f"transformer_blocks.0.{name}" for name in published)
    for ours, published in {
        "norm_intra1": ("norm1",),
        "intra1.qkv": _qkv("attn1"),
        "intra1.out": ("attn1.to_out.0",),
        "norm_global": ("norm_ct",),
        "global_.qkv": _qkv("attn_cross_track"),
        "global_.out": ("attn_cross_track.to_out.0",),
        "time.norm1": ("attn_beat.norm1",),
        "time.attention.out": ("attn_beat.self_attn.out_proj",),
        "time.norm2": ("attn_beat.norm2",),
        "time.feed_forward.0": ("attn_beat.linear1",),
        "time.feed_forward.2": ("attn_beat.linear2",),
        "norm_intra2": ("norm2",),
        "intra2.qkv": _qkv("attn2"),
        "intra2.out": ("attn2.to_out.0",),
        "norm_feed_forward": ("norm3",),
        "feed_forward.expand": ("ff.net.0.proj",),
        "feed_forward.contract": ("ff.net.2",),
    }.items()
}
"""All but time.attention.qkv, whose published weight and bias are called in_proj_weight and in_proj_bias."""

VAE_RES = {
    "norm1": ("norm1",),
    "conv1": ("conv1",),
    "norm2": ("norm2",),
    "conv2": ("conv2",),
    "skip": ("nin_shortcut",),
}
VAE_ATTENTION = {
    "norm": ("norm",),
    "attention.qkv": ("q", "k", "v"),
    "attention.out": ("proj_out",),
}


def is_new_in_synctrack(ours: str) -> bool:
    """Whether the U-Net's tensor `ours` has no counterpart in MusicLDM."""
    return any(mark in f".{ours}" for mark in NEW_IN_SYNCTRACK)


def is_published_synctrack(names: Iterable[str]) -> bool:
    """Whether the published names are SyncTrack's and not MusicLDM's, which has no attention across tracks."""
    return any(mark in name for name in names for mark in ("switcher", "attn_cross_track", "attn_beat"))


def average_name(published: str) -> str:
    """The published name of a U-Net tensor's moving average: the dots of the module path are gone.

    The frozen one-hot of the instrument prior is not averaged; the tensor itself stands for its average.
    """
    if published == "switcher":
        return f"{PUBLISHED_UNET}{published}"
    return PUBLISHED_EMA + f"diffusion_model.{published}".replace(".", "")


def unet_map(unet: UNet) -> list[Entry]:
    """The published names are relative to `PUBLISHED_UNET`."""
    places = {"conv_in": "input_blocks.0.0", "norm_out": "out.0", "conv_out": "out.2"}
    places |= {f"time_embed.{i}": f"time_embed.{i}" for i in (0, 2)}
    places |= {f"prior.mlp.{i}": f"switcher_transform.{i}" for i in (0, 2)}
    renames = {ours: (published,) for ours, published in places.items()}
    for i, entry in enumerate(unet.down):
        if isinstance(entry, Downsample):
            renames[f"down.{i}"] = (f"input_blocks.{i + 1}.0.op",)
        else:
            renames |= _at(f"down.{i}.res", f"input_blocks.{i + 1}.0", UNET_RES)
            renames |= _at(f"down.{i}.attention", f"input_blocks.{i + 1}.1", UNET_TRANSFORMER)
    renames |= _at("middle.0.res", "middle_block.0", UNET_RES)
    renames |= _at("middle.0.attention", "middle_block.1", UNET_TRANSFORMER)
    renames |= _at("middle.1.res", "middle_block.2", UNET_RES)
    for i, entry in enumerate(unet.up):
        renames |= _at(f"up.{i}.res", f"output_blocks.{i}.0", UNET_RES)
        renames |= _at(f"up.{i}.attention", f"output_blocks.{i}.1", UNET_TRANSFORMER)
        renames[f"up.{i}.upsample.conv"] = (f"output_blocks.{i}.{2 if entry.attention else 1}.conv",)
    whole = {"prior.one_hot": "switcher"}
    for ours, (published, *_) in renames.items():
        if ours.endswith("time.attention.out"):
            qkv, in_proj = ours.replace(".out", ".qkv"), published.replace("out_proj", "in_proj")
            whole |= {f"{qkv}.{leaf}": f"{in_proj}_{leaf}" for leaf in ("weight", "bias")}
    return _entries(unet, renames, whole)


def vae_map(vae: VAE) -> list[Entry]:
    """The published names are relative to `PUBLISHED_VAE`."""
    renames = {name: (name,) for name in ("quant_conv", "post_quant_conv")}
    levels = len(vae.config.channel_mult)
    for side, module, order in (
        ("encoder", vae.encoder, [f"down.{level}" for level in range(levels)]),
        ("decoder", vae.decoder, [f"up.{level}" for level in reversed(range(levels))]),
    ):
        renames |= _vae_side(side, module, order)
    return _entries(vae, renames, {}, image=True)


def _vae_side(side: str, module: nn.Sequential, levels: list[str]) -> dict[str, tuple[str, ...]]:
    """Walk our flat list of layers along the published tree of levels: blocks, then a change of resolution."""
    layers = list(module)
    middle = next(i for i, layer in enumerate(layers) if isinstance(layer, MidAttention))
    renames = {f"{side}.0": (f"{side}.conv_in",)}
    renames |= _at(f"{side}.{middle - 1}", f"{side}.mid.block_1", VAE_RES)
    renames |= _at(f"{side}.{middle}", f"{side}.mid.attn_1", VAE_ATTENTION)
    renames |= _at(f"{side}.{middle + 1}", f"{side}.mid.block_2", VAE_RES)
    level, block = 0, 0
    for i, layer in enumerate(layers):
        if isinstance(layer, ResBlock) and abs(i - middle) != 1:
            renames |= _at(f"{side}.{i}", f"{side}.{levels[level]}.block.{block}", VAE_RES)
            block += 1
        elif isinstance(layer, VAEDownsample | Upsample):
            change = "downsample" if isinstance(layer, VAEDownsample) else "upsample"
            renames[f"{side}.{i}.conv"] = (f"{side}.{levels[level]}.{change}.conv",)
            level, block = level + 1, 0
    renames[f"{side}.{len(layers) - 3}"] = (f"{side}.norm_out",)
    renames[f"{side}.{len(layers) - 1}"] = (f"{side}.conv_out",)
    return renames


def vocoder_map(vocoder: HiFiGAN) -> list[Entry]:
    """The published names are those of the generator with its weight norm folded."""
    renames = {name: (name,) for name in ("conv_pre", "conv_post")}
    for i, resblocks in enumerate(vocoder.resblocks):
        renames[f"upsamplers.{i}"] = (f"ups.{i}",)
        for j, block in enumerate(resblocks):
            published = f"resblocks.{i * len(resblocks) + j}"
            for k in range(len(block.plain)):
                renames[f"resblocks.{i}.{j}.dilated.{k}"] = (f"{published}.convs1.{k}",)
                renames[f"resblocks.{i}.{j}.plain.{k}"] = (f"{published}.convs2.{k}",)
    return _entries(vocoder, renames, {})


def _at(ours: str, published: str, table: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {f"{ours}.{name}": tuple(f"{published}.{other}" for other in others) for name, others in table.items()}


def _entries(
    module: nn.Module, renames: dict[str, tuple[str, ...]], whole: dict[str, str], image: bool = False
) -> list[Entry]:
    """One entry for each tensor: `whole` names tensors, `renames` layers (whose tensors are weight and bias)."""
    entries = []
    for key in module.state_dict():
        layer, _, leaf = key.rpartition(".")
        if key in whole:
            entries.append(Entry(key, (whole[key],)))
        else:
            published = tuple(f"{name}.{leaf}" for name in renames[layer])
            entries.append(Entry(key, published, image and ".attention." in layer))
    return entries
