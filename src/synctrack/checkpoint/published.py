"""How the published weights name what ours name otherwise: the only place that knows.

Each map is a list of `Entry`, one for each tensor of our module, in the order of its state dict. It is derived from
the module itself, so that it holds for every size. Prefixes and strictness are `matching.py`'s.
"""

import re
from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

from synctrack.models.layers import ResBlock, Upsample
from synctrack.models.unet import UNet
from synctrack.models.vae import VAE, Downsample, MidAttention
from synctrack.models.vocoder import HiFiGAN


@dataclass(frozen=True)
class Entry:
    """Our tensor `ours` is the published tensors `published`, stacked along the first axis.

    Attributes:
        like: a tensor of the shape and type of ours.
        image: the published ones are 1x1 convolutions (two more axes of length one) where ours is linear.
    """

    ours: str
    published: tuple[str, ...]
    like: torch.Tensor
    image: bool = False

    @property
    def part(self) -> str:
        """The part of the model, such as `unet`, once `ours` is a full name."""
        return self.ours.partition(".")[0]

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

CONDITION = "conv_condition"
"""The U-Net's input weights for conditions, which no published file holds."""

# Our layer (or tensor) -> the published layers that it stacks, separated by spaces.
UNET_RES = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "embedding": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "skip": "skip_connection",
}
UNET_TRANSFORMER = {"norm": "norm", "proj_in": "proj_in", "proj_out": "proj_out"}
UNET_BLOCK = {
    "norm_intra1": "norm1",
    "intra1.qkv": "attn1.to_q attn1.to_k attn1.to_v",
    "intra1.out": "attn1.to_out.0",
    "norm_global": "norm_ct",
    "global_.qkv": "attn_cross_track.to_q attn_cross_track.to_k attn_cross_track.to_v",
    "global_.out": "attn_cross_track.to_out.0",
    "time.norm1": "attn_beat.norm1",
    "time.attention.qkv.weight": "attn_beat.self_attn.in_proj_weight",
    "time.attention.qkv.bias": "attn_beat.self_attn.in_proj_bias",
    "time.attention.out": "attn_beat.self_attn.out_proj",
    "time.norm2": "attn_beat.norm2",
    "time.feed_forward.0": "attn_beat.linear1",
    "time.feed_forward.2": "attn_beat.linear2",
    "norm_intra2": "norm2",
    "intra2.qkv": "attn2.to_q attn2.to_k attn2.to_v",
    "intra2.out": "attn2.to_out.0",
    "norm_feed_forward": "norm3",
    "feed_forward.expand": "ff.net.0.proj",
    "feed_forward.contract": "ff.net.2",
}
VAE_RES = {name: name for name in ("norm1", "conv1", "norm2", "conv2")} | {"skip": "nin_shortcut"}
VAE_ATTENTION = {"norm": "norm", "attention.qkv": "q k v", "attention.out": "proj_out"}


def is_new_in_synctrack(ours: str) -> bool:
    """Whether the U-Net's tensor `ours` has no counterpart in MusicLDM."""
    return re.search(r"\b(prior|norm_global|global_|time)\.", ours) is not None


def ema_name(published: str) -> str:
    """The published name of a U-Net tensor's EMA, in which the dots of the module path are removed.

    The frozen one-hot of the instrument prior has no EMA; the tensor itself is used instead.
    """
    ema = PUBLISHED_EMA + f"diffusion_model.{published}".replace(".", "")
    return PUBLISHED_UNET + published if published == "switcher" else ema


def unet_map(unet: UNet) -> list[Entry]:
    """The published names are relative to `PUBLISHED_UNET`."""
    names = {
        "conv_in": "input_blocks.0.0",
        CONDITION: CONDITION,
        "norm_out": "out.0",
        "conv_out": "out.2",
        "prior.one_hot": "switcher",
    }
    names |= {f"time_embed.{i}": f"time_embed.{i}" for i in (0, 2)}
    names |= {f"prior.mlp.{i}": f"switcher_transform.{i}" for i in (0, 2)}
    # The last block of the middle has no attention.
    blocks = {"middle.0": "middle_block.0 middle_block.1", "middle.1": "middle_block.2 none"}
    # Each encoder module is a Downsample layer or a UNetBlock: one of its two names is not needed.
    for i in range(len(unet.down)):
        names[f"down.{i}"] = f"input_blocks.{i + 1}.0.op"
        blocks[f"down.{i}"] = f"input_blocks.{i + 1}.0 input_blocks.{i + 1}.1"
    for i, block in enumerate(unet.up):
        blocks[f"up.{i}"] = f"output_blocks.{i}.0 output_blocks.{i}.1"
        names[f"up.{i}.upsample.conv"] = f"output_blocks.{i}.{2 if block.attention else 1}.conv"
    for ours, published in blocks.items():
        res, attention = published.split()
        names |= _at(f"{ours}.res", res, UNET_RES) | _at(f"{ours}.attention", attention, UNET_TRANSFORMER)
        names |= _at(f"{ours}.attention.block", f"{attention}.transformer_blocks.0", UNET_BLOCK)
    return _entries(unet, names)


def vae_map(vae: VAE) -> list[Entry]:
    """The published names are relative to `PUBLISHED_VAE`."""
    levels = range(len(vae.config.channel_mult))
    layers = {name: name for name in ("quant_conv", "post_quant_conv")}
    layers |= _vae_side("encoder", vae.encoder, [f"down.{level}" for level in levels])
    layers |= _vae_side("decoder", vae.decoder, [f"up.{level}" for level in reversed(levels)])
    return _entries(vae, layers, image=True)


def _vae_side(side: str, module: nn.Sequential, levels: list[str]) -> dict[str, str]:
    """Walk our flat list of layers along the published tree of levels: blocks, then a change of resolution."""
    last = len(module) - 1
    middle = next(i for i, layer in enumerate(module) if isinstance(layer, MidAttention))
    names = {"0": "conv_in", f"{last - 2}": "norm_out", f"{last}": "conv_out"}
    names |= _at(f"{middle - 1}", "mid.block_1", VAE_RES) | _at(f"{middle + 1}", "mid.block_2", VAE_RES)
    names |= _at(f"{middle}", "mid.attn_1", VAE_ATTENTION)
    level, block = 0, 0
    for i, layer in enumerate(module):
        if isinstance(layer, ResBlock) and abs(i - middle) != 1:
            names |= _at(f"{i}", f"{levels[level]}.block.{block}", VAE_RES)
            block += 1
        elif isinstance(layer, Downsample | Upsample):
            names[f"{i}.conv"] = f"{levels[level]}.{type(layer).__name__.lower()}.conv"
            level, block = level + 1, 0
    return _at(side, side, names)


def vocoder_map(vocoder: HiFiGAN, weight_norm: bool = False) -> list[Entry]:
    """The generator's names; with `weight_norm`, each weight is split into magnitude `_g` and direction `_v`."""
    layers = {name: name for name in ("conv_pre", "conv_post")}
    for i, resblocks in enumerate(vocoder.resblocks):
        layers[f"upsamplers.{i}"] = f"ups.{i}"
        for j, block in enumerate(resblocks):
            for k in range(len(block.plain)):
                pair = {f"dilated.{k}": f"convs1.{k}", f"plain.{k}": f"convs2.{k}"}
                layers |= _at(f"resblocks.{i}.{j}", f"resblocks.{i * len(resblocks) + j}", pair)
    entries = []
    for entry in _entries(vocoder, layers):
        halves = {"": entry.like}
        if weight_norm and entry.ours.endswith(".weight"):
            halves = {"_g": entry.like[:, :1, :1], "_v": entry.like}
        entries += [Entry(entry.ours + end, (entry.published[0] + end,), like) for end, like in halves.items()]
    return entries


def new_modules(unet: UNet) -> str:
    """Which modules of the U-Net MusicLDM has not, each with the number of its tensors as published."""
    new: Counter[str] = Counter()
    for entry in unet_map(unet):
        if is_new_in_synctrack(entry.ours):
            new[re.match(r"prior|.*block\.\w+", entry.ours)[0]] += len(entry.published)
    listed = ", ".join(f"{module} ({count})" for module, count in new.items())
    return f"{new.total()} keys of the U-Net that MusicLDM has not: {listed}"


def _at(ours: str, published: str, table: dict[str, str]) -> dict[str, str]:
    """`table` one level down on both sides."""
    return {f"{ours}.{name}": f"{published}.{other}".replace(" ", f" {published}.") for name, other in table.items()}


def _entries(module: nn.Module, names: dict[str, str], image: bool = False) -> list[Entry]:
    """One entry for each tensor; `names` has the tensor itself or its layer."""
    entries = []
    for key, like in module.state_dict().items():
        layer, _, leaf = key.rpartition(".")
        published = [names[key]] if key in names else [f"{name}.{leaf}" for name in names[layer].split()]
        entries.append(Entry(key, tuple(published), like, image and ".attention." in layer))
    return entries
