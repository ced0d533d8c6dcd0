"""Small stand-ins for the published checkpoints: the same names, made for a small model, and filled by name."""

import functools
from pathlib import Path

import torch

from helpers.filler import fill, noise
from helpers.golden import TINY, published_keys
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.files import CheckpointFile
from synctrack.checkpoint.matching import entries_of, shapes_of
from synctrack.checkpoint.published import ema_name, unet_map
from synctrack.config import Config, ModelParams, ModelSection
from synctrack.models.latent_diffusion import LatentDiffusion, VocoderConfig
from synctrack.models.vae import VAEConfig
from synctrack.models.vocoder import HiFiGANConfig
from synctrack.training.ema import EMA

PARAMS = ModelParams(
    vae=VAEConfig(channels=32, channel_mult=[1, 1, 2], num_res_blocks=1),
    unet=TINY,
    vocoder=VocoderConfig(hifigan=HiFiGANConfig(upsample_initial_channel=64)),
)
CONFIG = Config(model=ModelSection(params=PARAMS))
STEMS = tuple(CONFIG.data.params.path.stems)
SCALE_FACTOR, UPDATES, STEP = 0.37, 123_456, 320_000
CONTAINERS = {"synctrack": "state_dict", "musicldm": "state_dict", "vae": "state_dict", "vocoder": "generator"}


def new_model(params: ModelParams = PARAMS, stems: tuple[str, ...] = STEMS) -> tuple[LatentDiffusion, EMA]:
    """A randomly initialised model and its EMA."""
    model = LatentDiffusion(params, stems)
    return model, EMA(model.unet, params.ema_decay)


def published_tensors(kind: str) -> dict[str, torch.Tensor]:
    """The content of a published file of the small model, including the tensors that are ignored."""
    return dict(_published_tensors(kind))


@functools.cache
def _published_tensors(kind: str) -> dict[str, torch.Tensor]:
    weight_norm = {"conv_pre.weight_g": torch.empty(0)} if kind == "vocoder" else {}
    file = CheckpointFile(Path("none"), kind, True, weight_norm, None, None)
    tensors = {
        name: weight(name, tuple(like.shape))
        for entry in entries_of(file, shapes_of(PARAMS, len(STEMS)))
        for name, like in zip(entry.published, entry.to_published(entry.like), strict=True)
    }
    if kind in ("synctrack", "musicldm"):
        tensors["scale_factor"] = torch.tensor(SCALE_FACTOR)
        tensors["model_ema.num_updates"] = torch.tensor(UPDATES, dtype=torch.int32)
    for name, shape, dtype in published_keys(kind):
        ignored = name.startswith(("first_stage_model.loss.", "loss.", "vocoder.")) or "film_emb" in name
        ignored |= name.count(".") == 0 or name == "model_ema.decay"
        if ignored and name not in tensors and torch.Size(shape).numel() < 10_000:
            tensors[name] = torch.full(shape, 0.5).to(dtype)
    if kind == "musicldm":
        tensors["cond_stage_model.logit_scale"] = torch.tensor(1.0)
    return tensors


def weight(name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The filler's values, and normal noise for names that it has no rule for."""
    try:
        return torch.from_numpy(fill(name, shape))
    except KeyError:
        return torch.as_tensor(noise(name, shape))


def with_ema_weights_only(tensors: dict[str, torch.Tensor], model: LatentDiffusion) -> dict[str, torch.Tensor]:
    """The same file with the golden values as EMA weights, and with zeros as the U-Net's own weights."""
    tensors = dict(tensors)
    for entry in unet_map(model.unet):
        for name in entry.published:
            raw = f"model.diffusion_model.{name}"
            if name != "switcher":
                tensors[ema_name(name)] = tensors[raw]
                tensors[raw] = torch.zeros_like(tensors[raw])
    return tensors


def save_published(path: Path, kind: str, tensors: dict[str, torch.Tensor]) -> Path:
    """Write `tensors` in the layout of the published files; those of Lightning also hold its trainer state."""
    lightning = {
        "epoch": 3,
        "global_step": STEP,
        "pytorch-lightning_version": "2.1.0",
        "loops": {"fit_loop": {"epoch_progress": {"total": {"ready": 4}}}},
        "callbacks": {"ModelCheckpoint{'monitor': 'val/loss'}": {"best_model_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 3e-5}]}],
        "lr_schedulers": [],
    }
    torch.save({CONTAINERS[kind]: tensors} | (lightning if kind in ("synctrack", "musicldm") else {}), path)
    return path


def saved_file(folder: Path, kind: str) -> Path:
    """A published file of the small model in `folder`."""
    return save_published(folder / f"{kind}.ckpt", kind, published_tensors(kind))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether both have the same names, types, shapes and bits."""
    return set(one) == set(other) and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]) for name in one
    )


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all tensors of `module`, by name."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def training_checkpoint(path, params=PARAMS, config=CONFIG):
    """A checkpoint as training leaves it -> (model, ema, path)."""
    model, ema = new_model(params)
    model.scale_factor.fill_(SCALE_FACTOR)
    ema.num_updates.fill_(UPDATES)
    for name, parameter in ema.module.named_parameters():
        if name != "prior.one_hot":
            parameter.data = parameter + 1
    tensors = {f"model.{k}": v for k, v in state(model).items()} | {f"ema.{k}": v for k, v in state(ema).items()}
    torch.save({"state_dict": tensors, "global_step": STEP, "synctrack": checkpoint.header("synctrack", config)}, path)
    return model, ema, path
