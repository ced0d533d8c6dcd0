"""The parts of a checkpoint - U-Net, its average, VAE, vocoder, scale - and the strict match of a file with them.

Our name of a tensor is its name in `SyncTrack`'s state dict (`unet.…`, `vae.…`, `vocoder.…`, `scale_factor`) or in
`EMA`'s with `ema.` before it. A part is in a file whole or not at all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from synctrack import key_map
from synctrack.checkpoint_files import CheckpointFile
from synctrack.errors import InputError
from synctrack.key_map import Entry
from synctrack.model import ModelConfig
from synctrack.unet import UNet
from synctrack.vae import VAE
from synctrack.vocoder import HiFiGAN

KEPT = "published."
"""Our files keep under it what we ignore of a published file, for the way back."""

_SCHEDULE = (
    "betas",
    *("alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod"),
    *("log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod"),
    *("posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2"),
)
_IGNORED_OF_LIGHTNING = {
    "noise schedule, which the configuration gives": _SCHEDULE,
    "log variances, which the loss does not use": ("logvar",),
    "decay of the average, which the configuration gives": (f"{key_map.PUBLISHED_EMA}decay",),
    "losses that trained the VAE": (f"{key_map.PUBLISHED_VAE}loss.",),
    "CLAP, which nothing here conditions on": ("cond_stage_model.",),
}
_IGNORED_OF_MUSICLDM = {
    "FiLM layer, for the text condition of MusicLDM": (
        f"{key_map.PUBLISHED_UNET}film_emb.",
        f"{key_map.PUBLISHED_EMA}diffusion_modelfilm_embweight",
        f"{key_map.PUBLISHED_EMA}diffusion_modelfilm_embbias",
    )
}
_IGNORED_OF_VAE = {
    "losses that trained the VAE": ("loss.",),
    "vocoder beside the VAE, which has a file of its own": ("vocoder.",),
}
_IGNORED_OF_OURS = {"kept for the way back to the published names": (KEPT,)}


@dataclass(frozen=True)
class Part:
    """One part of a file.

    Attributes:
        name: `unet`, `ema`, `vae`, `vocoder` or `scale_factor`.
        prefixes: beginnings of the file's names that are of this part.
        entries: our full names and the file's full names.
        like: a tensor of the right shape and type for each of our names.
    """

    name: str
    prefixes: tuple[str, ...]
    entries: list[Entry]
    like: dict[str, torch.Tensor]

    def expected(self) -> dict[str, torch.Tensor]:
        """A tensor of the right shape and type for each of the file's names."""
        return {
            name: tensor
            for entry in self.entries
            for name, tensor in zip(entry.published, entry.to_published(self.like[entry.ours]), strict=True)
        }


class Weights:
    """The tensors of a matched file by our names, each made when it is asked for."""

    def __init__(self, file: CheckpointFile, parts: Iterable[Part]) -> None:
        self._tensors = file.tensors
        self.parts = {part.name: part for part in parts}
        self._entries = {entry.ours: entry for part in self.parts.values() for entry in part.entries}

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries or f"{name}_g" in self._entries

    def __getitem__(self, name: str) -> torch.Tensor:
        if name in self._entries:
            entry = self._entries[name]
            return entry.to_ours([self._tensors[published] for published in entry.published])
        magnitude, direction = self[f"{name}_g"].float(), self[f"{name}_v"].float()
        return magnitude * direction / torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)

    @torch.no_grad()
    def fill(self, module: nn.Module, prefix: str) -> None:
        """Copy into `module`, whose tensors' names begin with `prefix`, what there is of it, as the module's type."""
        for name, tensor in module.state_dict().items():
            if prefix + name in self:
                tensor.copy_(self[prefix + name])


def match(file: CheckpointFile, parts: list[Part], whole: bool = True) -> Weights:
    """The tensors of `file` that make up `parts`; an absent part is left out, a present one must be complete.

    Args:
        file: the file.
        parts: what to take.
        whole: `parts` are all that the file may hold; otherwise names of other parts are not looked at.

    Raises:
        InputError: names every tensor that is missing, unknown, or of another shape or type, as the file names it.
    """
    if problems := differences(file, parts, whole):
        listed = "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in problems.items())
        raise InputError(f"{file.path}: {file.description} does not fit the model: {listed}")
    return Weights(file, present(file, parts))


def differences(file: CheckpointFile, parts: list[Part], whole: bool = True) -> dict[str, list[str]]:
    """What `match` would refuse: for each kind of problem the names in the file; empty where all is well."""
    found = present(file, parts)
    expected = {name: tensor for part in found for name, tensor in part.expected().items()}
    prefixes = tuple(prefix for part in found for prefix in part.prefixes)
    problems = {
        "missing": [name for name in expected if name not in file.tensors],
        "unknown": [
            name
            for name in file.tensors
            if (whole or name.startswith(prefixes)) and name not in expected and ignored_as(file, name) is None
        ],
        "of another shape or type": [
            f"{name} ({_shape(file.tensors[name])} in the file, {_shape(tensor)} in the model)"
            for name, tensor in expected.items()
            if name in file.tensors and not _alike(file.tensors[name], tensor)
        ],
    }
    return {what: names for what, names in problems.items() if names}


def present(file: CheckpointFile, parts: list[Part]) -> list[Part]:
    """Those of `parts` of which the file holds anything."""
    return [part for part in parts if any(name.startswith(part.prefixes) for name in file.tensors)]


def ignored_as(file: CheckpointFile, name: str) -> str | None:
    """Why the tensor `name` of the file is rightly not used; None for what nobody knows."""
    tables = [_IGNORED_OF_OURS]
    if file.published:
        tables = {
            "synctrack": [_IGNORED_OF_LIGHTNING],
            "musicldm": [_IGNORED_OF_LIGHTNING, _IGNORED_OF_MUSICLDM],
            "vae": [_IGNORED_OF_VAE],
            "vocoder": [],
        }[file.kind]
    for table in tables:
        for reason, patterns in table.items():
            if any(name.startswith(p) if p.endswith(".") else name == p for p in patterns):
                return reason
    return None


def all_parts(file: CheckpointFile, unet: UNet, vae: VAE, vocoder: HiFiGAN) -> list[Part]:
    """Every part that a file of this kind may hold for these modules."""
    if file.kind == "vae":
        return [vae_part(file, vae)]
    if file.kind == "vocoder":
        return [vocoder_part(file, vocoder)]
    name = "scale_factor"
    scale = Part(name, (name,), [Entry(name, (name,))], {name: torch.empty((), device="meta")})
    return [_unet_part(file, unet), _ema_part(file, unet), vae_part(file, vae), vocoder_part(file, vocoder), scale]


def shapes_of(config: ModelConfig, tracks: int) -> tuple[UNet, VAE, HiFiGAN]:
    """The modules whose names and shapes `all_parts` needs, without memory for their values."""
    with torch.device("meta"):
        unet = UNet(config.unet, tracks, config.vae.latent_channels)
        return unet, VAE(config.vae), HiFiGAN(config.vocoder.hifigan, config.audio)


def vae_part(file: CheckpointFile, vae: VAE) -> Part:
    """The VAE in a file of any kind."""
    entries = key_map.vae_map(vae) if file.published else _same_names(vae)
    prefix = _published_prefix(file, "vae", key_map.PUBLISHED_VAE)
    part = _part("vae", "vae.", prefix, entries, vae)
    return replace(part, prefixes=tuple(f"{prefix}{child}." for child, _ in vae.named_children()))


def vocoder_part(file: CheckpointFile, vocoder: HiFiGAN) -> Part:
    """The vocoder in a file of any kind; with its weight norm, where the file has it."""
    entries = key_map.vocoder_map(vocoder) if file.published else _same_names(vocoder)
    part = _part("vocoder", "vocoder.", _published_prefix(file, "vocoder", key_map.PUBLISHED_VOCODER), entries, vocoder)
    if not file.has_weight_norm:
        return part
    normed, like = [], dict(part.like)
    for entry in part.entries:
        if not entry.ours.endswith(".weight"):
            normed.append(entry)
            continue
        for suffix in "gv":
            normed.append(Entry(f"{entry.ours}_{suffix}", (f"{entry.published[0]}_{suffix}",)))
        like[f"{entry.ours}_g"], like[f"{entry.ours}_v"] = like[entry.ours][:, :1, :1], like[entry.ours]
    return replace(part, entries=normed, like=like)


def _unet_part(file: CheckpointFile, unet: UNet) -> Part:
    return _part(
        "unet", "unet.", _published_prefix(file, "unet", key_map.PUBLISHED_UNET), _unet_entries(file, unet), unet
    )


def _ema_part(file: CheckpointFile, unet: UNet) -> Part:
    part = _part("ema", "ema.module.", "ema.module.", _unet_entries(file, unet), unet)
    count = Entry("ema.num_updates", ("ema.num_updates",))
    prefix = "ema."
    if file.published:
        prefix = key_map.PUBLISHED_EMA
        count = replace(count, published=(f"{prefix}num_updates",))
        averages = [
            replace(
                entry, published=tuple(key_map.average_name(n.removeprefix("ema.module.")) for n in entry.published)
            )
            for entry in part.entries
        ]
        part = replace(part, entries=averages)
    like = part.like | {count.ours: torch.empty((), dtype=torch.long, device="meta")}
    return Part("ema", (prefix,), [*part.entries, count], like)


def _unet_entries(file: CheckpointFile, unet: UNet) -> list[Entry]:
    entries = key_map.unet_map(unet) if file.published else _same_names(unet)
    if file.kind == "musicldm":
        entries = [entry for entry in entries if not key_map.is_new_in_synctrack(entry.ours)]
    return entries


def _part(name: str, ours: str, in_file: str, entries: list[Entry], module: nn.Module) -> Part:
    """The part of all tensors of `module`, given the prefixes of our names and of the file's."""
    full = [
        replace(entry, ours=ours + entry.ours, published=tuple(in_file + other for other in entry.published))
        for entry in entries
    ]
    return Part(name, (in_file,), full, {ours + key: tensor for key, tensor in module.state_dict().items()})


def _same_names(module: nn.Module) -> list[Entry]:
    return [Entry(name, (name,)) for name in module.state_dict()]


def _published_prefix(file: CheckpointFile, part: str, in_lightning: str) -> str:
    if not file.published:
        return f"{part}."
    return "" if file.kind == part else in_lightning


def _alike(tensor: torch.Tensor, like: torch.Tensor) -> bool:
    # Any floating type will do: reading widens half precision, which loses nothing.
    same_type = tensor.is_floating_point() == like.is_floating_point() and not tensor.is_complex()
    return same_type and tensor.layout == torch.strided and tensor.shape == like.shape


def _shape(tensor: torch.Tensor) -> str:
    return f"{list(tensor.shape)} {'float' if tensor.is_floating_point() else str(tensor.dtype).removeprefix('torch.')}"
