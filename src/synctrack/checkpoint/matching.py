"""The strict match of a checkpoint with the modules that it fills.

Our name of a tensor is its name in the state dict of `LatentDiffusion` (`unet.…`, `vae.…`, `vocoder.…`, `scale_factor`)
or in `EMA`'s with the prefix `ema.`; its part is what precedes the first dot. A file holds all of a part or nothing.
"""

import re
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import nn

from synctrack.checkpoint import published
from synctrack.checkpoint.files import CheckpointFile
from synctrack.checkpoint.published import CONDITION, Entry
from synctrack.errors import InputError
from synctrack.models.conditioning import ConditioningConfig
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.unet import UNet
from synctrack.models.vae import VAE
from synctrack.models.vocoder import HiFiGAN

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
"""Types of tensors that are taken for floating-point numbers, and for whole ones."""
KEPT = "published."
"""Prefix under which our files keep the ignored tensors of a published file, for lossless export."""

_LIGHTNING = {
    "noise schedule, which the configuration gives": r"betas|alphas_cumprod(_prev)?|sqrt_(one_minus_)?alphas_cumprod"
    r"|log_one_minus_alphas_cumprod|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])",
    "log variances, which the loss does not use": "logvar",
    "decay of the EMA, which the configuration gives": r"model_ema\.decay",
    "losses that trained the VAE": r"first_stage_model\.loss\..*",
    "CLAP, which nothing here conditions on": r"cond_stage_model\..*",
}
_FILM = r"model\.diffusion_model\.film_emb\.(weight|bias)|model_ema\.diffusion_modelfilm_emb(weight|bias)"
IGNORED = {
    "synctrack": _LIGHTNING,
    "musicldm": _LIGHTNING | {"FiLM layer, for the text condition of MusicLDM": _FILM},
    "vae": {"losses that trained the VAE": r"loss\..*", "vocoder, which has a file of its own": r"vocoder\..*"},
    "vocoder": {},
}
"""Tensors of published files that are not used, by kind: reason and pattern of the names."""
IGNORED_OF_OURS = {
    "kept for lossless export to the published names": re.escape(KEPT) + ".*",
    "discriminator, which trained the first stage": r"discriminator\..*",
}


class Modules(NamedTuple):
    """The modules that a checkpoint fills; they define the expected names and shapes."""

    unet: UNet | None = None
    vae: VAE | None = None
    vocoder: HiFiGAN | None = None


class Weights:
    """The tensors of a matched file by our names, each read on access; `parts` lists the parts that the file holds."""

    def __init__(self, file: CheckpointFile, entries: list[Entry]) -> None:
        self._file = file
        self.entries = {entry.ours: entry for entry in entries}
        self.parts = list(dict.fromkeys(entry.part for entry in entries))
        self.replaced: dict[str, torch.Tensor] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.entries or f"{name}_g" in self.entries

    def __getitem__(self, name: str) -> torch.Tensor:
        if name in self.entries:
            entry = self.entries[name]
            return entry.to_ours([self._file.tensors[published] for published in entry.published])
        # A weight stored as magnitude and direction (weight norm).
        magnitude, direction = self[f"{name}_g"].float(), self[f"{name}_v"].float()
        return magnitude * direction / torch.linalg.vector_norm(direction, dim=(1, 2), keepdim=True)

    def fill(self, module: nn.Module, prefix: str) -> None:
        """Copy what the file holds into the tensors of `module`, whose full names begin with `prefix`.

        Raises:
            InputError: a tensor holds NaN or infinity.
        """
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                if prefix + name in self.replaced:
                    tensor.copy_(self.replaced[prefix + name])
                elif prefix + name in self:
                    tensor.copy_(self._finite(prefix + name))

    def _finite(self, name: str) -> torch.Tensor:
        tensor = self[name]
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise InputError(f"{self._file.path}: {name} holds values that are not finite; get or make it again")
        return tensor

    def widen_conditioning(self, stored: ConditioningConfig, wanted: ConditioningConfig) -> None:
        """Have `fill` give the input weights of `wanted` conditions where the file has those of `stored` ones.

        What the file's model was not told starts at zero.
        """
        name = f"{CONDITION}.weight"
        for full_name in [f"{prefix}{name}" for prefix in ("unet.", "ema.module.") if f"{prefix}{name}" in self]:
            weight = self[full_name]
            count = weight.shape[1] // len(stored.parts)
            parts = dict(zip(stored.parts, weight.split(count, dim=1), strict=True))
            zeros = torch.zeros_like(weight[:, :count])
            kept = [parts.get(part, zeros) for part in wanted.parts]
            self.replaced[full_name] = torch.cat(kept, dim=1) if kept else weight[:, :0]


def match(file: CheckpointFile, modules: Modules) -> Weights:
    """The tensors of `file` for `modules`, matched strictly; parts of other modules are ignored.

    Raises:
        InputError: names every tensor that is missing, unknown, or of another shape or type, as the file names it.
    """
    problems = differences(file, modules)
    if problems:
        listed = "; ".join(f"{len(names)} {what}: {', '.join(names)}" for what, names in problems.items())
        raise InputError(f"{file.path}: {file.description} does not fit the model: {listed}")
    return Weights(file, _present(file, modules))


def match_partially(file: CheckpointFile, modules: Modules) -> Weights:
    """The tensors of `file` that fit `modules` by name and shape; VAE and vocoder fit whole or are refused.

    Raises:
        InputError: the VAE or the vocoder does not fit, or no tensor of the U-Net does.
    """
    match(file, modules._replace(unet=None))
    fitting = []
    for entry in _present(file, modules):
        pairs = zip(entry.published, entry.to_published(entry.like), strict=True)
        if all(name in file.tensors and _alike(file.tensors[name], like) for name, like in pairs):
            fitting.append(entry)
    if not any(entry.part in ("unet", "ema") and entry.ours != "ema.num_updates" for entry in fitting):
        raise InputError(f"{file.path}: no tensor of its U-Net fits the model; name other weights or sizes")
    return Weights(file, fitting)


def differences(file: CheckpointFile, modules: Modules) -> dict[str, list[str]]:
    """What `match` would refuse: kind of problem -> names in the file; empty if everything fits."""
    expected: dict[str, torch.Tensor] = {}
    for entry in _present(file, modules):
        expected |= zip(entry.published, entry.to_published(entry.like), strict=True)
    tensors = file.tensors
    # With a U-Net, or with the module of a file of one part, every tensor in the file must be known.
    names = tensors if modules.unet or getattr(modules, file.kind, None) else ()
    problems = {
        "missing": [name for name in expected if name not in tensors],
        "unknown": [name for name in names if name not in expected and not ignored_as(file, name)],
        "of another shape or type": [
            f"{name} ({_shape(tensors[name])} in the file, {_shape(like)} in the model)"
            for name, like in expected.items()
            if name in tensors and not _alike(tensors[name], like)
        ],
    }
    return {what: names for what, names in problems.items() if names}


def ignored_as(file: CheckpointFile, name: str) -> str | None:
    """Why the tensor `name` of the file is not used; None for unknown names."""
    table = IGNORED[file.kind] if file.published else IGNORED_OF_OURS
    return next((reason for reason, pattern in table.items() if re.fullmatch(pattern, name)), None)


def entries_of(file: CheckpointFile, modules: Modules) -> list[Entry]:
    """Every tensor that a file of this kind may hold for `modules`: our full names and the file's."""
    unet, vae, vocoder = modules
    entries: list[Entry] = []
    whole = file.kind in ("synctrack", "musicldm")
    if unet and whole:
        own = published.unet_map(unet)
        if file.kind == "musicldm":
            own = [entry for entry in own if not published.is_new_in_synctrack(entry.ours)]
        entries += _under("unet.", own, published.PUBLISHED_UNET)
        ema_entries = [replace(entry, published=tuple(map(published.ema_name, entry.published))) for entry in own]
        entries += _under("ema.module.", ema_entries)
        count = torch.empty((), dtype=torch.long, device="meta")
        entries.append(Entry("ema.num_updates", (f"{published.PUBLISHED_EMA}num_updates",), count))
        entries.append(Entry("scale_factor", ("scale_factor",), torch.empty((), device="meta")))
    if vae and (whole or file.kind == "vae"):
        entries += _under("vae.", published.vae_map(vae), published.PUBLISHED_VAE if whole else "")
    if vocoder and (whole or file.kind == "vocoder"):
        own = published.vocoder_map(vocoder, any(name.endswith(".weight_g") for name in file.tensors))
        entries += _under("vocoder.", own, published.PUBLISHED_VOCODER if whole else "")
    if not file.published:
        entries = [replace(entry, published=(entry.ours,), image=False) for entry in entries]
    return entries


def shapes_of(config: ModelConfig, num_stems: int) -> Modules:
    """The modules of a model on the meta device: names and shapes without memory for the values."""
    with torch.device("meta"):
        unet = UNet(config.unet, num_stems, config.vae.latent_channels, config.conditioning)
        return Modules(unet, VAE(config.vae), HiFiGAN(config.vocoder.hifigan, config.audio))


def _under(ours: str, entries: list[Entry], published: str = "") -> list[Entry]:
    return [replace(e, ours=ours + e.ours, published=tuple(published + n for n in e.published)) for e in entries]


def _present(file: CheckpointFile, modules: Modules) -> list[Entry]:
    """The entries of the parts of which the file holds anything."""
    entries = entries_of(file, modules)
    # The one-hot of the prior belongs to the U-Net, which comes first, though it also serves as its own EMA.
    part_of = {name: entry.part for entry in reversed(entries) for name in entry.published}
    held = {part_of.get(name) for name in file.tensors}
    return [entry for entry in entries if entry.part in held]


def _alike(tensor: torch.Tensor, like: torch.Tensor) -> bool:
    # Half precision is converted to float32 without loss; of smaller floats torch cannot tell whether they are finite.
    same_type = tensor.dtype in FLOATS if like.is_floating_point() else tensor.dtype in INTEGERS
    return same_type and tensor.layout == torch.strided and tensor.shape == like.shape


def _shape(tensor: torch.Tensor) -> str:
    kind = "float" if tensor.dtype in FLOATS else str(tensor.dtype).removeprefix("torch.")
    return f"{list(tensor.shape)} {kind}"
