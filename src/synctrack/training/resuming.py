"""Whether a checkpoint resumes a run: it must be there, of the same model, and whole in all that a run restores."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from synctrack.checkpoint.files import read_file
from synctrack.checkpoint.loading import differing_keys
from synctrack.config import Config
from synctrack.errors import InputError
from synctrack.training.finite import first_not_finite
from synctrack.training.saving import LAST

LISTED = 5
"""Names that an error lists."""


def checkpoint_to_resume(config: Config, kind: str) -> Path | None:
    """The checkpoint that `trainer.resume` names: a file, or the run folder's newest; None for a new run.

    `last` requires that there is one, `auto` takes it where there is one.

    Args:
        config: the whole configuration.
        kind: of the checkpoint's header, `synctrack` or `vae`.

    Raises:
        InputError: it is not there or of another model, or a new run would overwrite what the run folder holds.
    """
    last, resume = Path(config.run_dir) / "checkpoints" / LAST, config.trainer.resume
    if not resume:
        if last.exists():
            raise InputError(
                f"{config.run_dir}: holds a run already; set trainer.resume=last to resume it, or another run_dir"
            )
        return None
    if resume == "auto" and not last.exists():
        return None
    path = last if resume in ("last", "auto") else Path(resume)
    if not path.is_file():
        raise InputError(f"trainer.resume: {path} is not there; name a checkpoint of a run, or leave it out")
    file = read_file(path)
    if file.kind != kind or file.published or path.suffix == ".safetensors":
        raise InputError(
            f"trainer.resume: {path} is not a checkpoint of such a training run; name it as a ckpt_path instead"
        )
    different = differing_keys(file, config.model.params, tuple(config.data.params.path.stems))
    if different:
        raise InputError(f"{path}: was trained with another configuration: {'; '.join(different)}")
    return path


def require_resumable(path: Path, module: pl.LightningModule, loops: dict[str, Any]) -> None:
    """See that a checkpoint has everything that a run restores, each part of the right kind, shape and type.

    Args:
        path: of a checkpoint that `checkpoint_to_resume` has accepted.
        module: that will be trained.
        loops: the state of a new trainer's `fit_loop`, with which the stored one must agree in its keys and types.

    Raises:
        InputError: names what is missing, unknown or damaged.
    """
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # The vocoder has other names there; first stages say whether their discriminators fit.
    module.on_load_checkpoint(content)
    optimizer = module.configure_optimizers()["optimizer"]
    problems = [
        *_problems_of_weights(content["state_dict"], module.state_dict()),
        *_problems_of_optimizer(content.get("optimizer_states"), optimizer),
        *_problems_of_loops(content, loops),
    ]
    if problems:
        more = f" and {len(problems) - LISTED} more" if len(problems) > LISTED else ""
        listed = "; ".join(problems[:LISTED])
        raise InputError(f"{path}: this run cannot be resumed from it: {listed}{more}; name another checkpoint")


def _problems_of_weights(stored: dict[str, torch.Tensor], own: dict[str, torch.Tensor]) -> Iterator[str]:
    yield from (f"{name} is missing" for name in own if name not in stored)
    yield from (f"{name} is unknown" for name in stored if name not in own)
    sound = {}
    for name, like in own.items():
        if name in stored:
            problem = _problem_of_tensor(name, stored[name], like)
            if problem:
                yield problem
            else:
                sound[name] = stored[name]
    name = first_not_finite(sound)
    if name:
        yield f"{name} holds values that are not finite"


def _problem_of_tensor(name: str, stored: Any, like: torch.Tensor) -> str | None:
    if not isinstance(stored, torch.Tensor):
        return f"{name} is not a tensor"
    if stored.layout != torch.strided or stored.is_meta:
        return f"{name} has no plain values"
    if stored.dtype != like.dtype:
        return f"{name} is {stored.dtype}, not {like.dtype}".replace("torch.", "")
    if stored.shape != like.shape:
        return f"{name} is {list(stored.shape)}, not {list(like.shape)}"
    return None


def _problems_of_optimizer(states: Any, optimizer: torch.optim.Optimizer) -> Iterator[str]:
    if not (isinstance(states, list) and len(states) == 1 and isinstance(states[0], dict)):
        yield "it holds no state of the optimiser"
        return
    moments, groups, own = states[0].get("state"), states[0].get("param_groups"), optimizer.state_dict()["param_groups"]
    if not isinstance(moments, dict) or not isinstance(groups, list) or len(groups) != len(own):
        yield "its state of the optimiser is damaged"
        return
    for group, like in zip(groups, own, strict=True):
        if not isinstance(group, dict) or group.get("params") != like["params"] or group.keys() < like.keys():
            yield "the weights that its optimiser knows are not those of this model"
            return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not moments or not set(moments) <= set(range(len(parameters))):
        yield "the optimiser's moments are not those of this model"
        return
    for index, moment in moments.items():
        yield from _problems_of_moments(index, moment, parameters[index])


def _problems_of_moments(index: int, moments: Any, parameter: torch.Tensor) -> Iterator[str]:
    where = f"the optimiser's state of weight {index}"
    if not isinstance(moments, dict) or set(moments) != {"step", "exp_avg", "exp_avg_sq"}:
        yield f"{where} is damaged"
        return
    for name in ("exp_avg", "exp_avg_sq"):
        problem = _problem_of_tensor(f"{where}, {name},", moments[name], parameter)
        if problem:
            yield problem
        elif not moments[name].isfinite().all():
            yield f"{where}, {name}, holds values that are not finite"


def _problems_of_loops(content: dict[str, Any], loops: dict[str, Any]) -> Iterator[str]:
    for name in ("global_step", "epoch"):
        if type(content.get(name)) is not int or content[name] < 0:
            yield f"{name} is not a number of steps or epochs"
    if not isinstance(content.get("pytorch-lightning_version"), str):
        yield "pytorch-lightning_version is missing"
    schedules = content.get("lr_schedulers")
    if not (isinstance(schedules, list) and len(schedules) == 1 and _is_schedule(schedules[0])):
        yield "it holds no state of the learning rate"
    stored = content.get("loops")
    stored = stored.get("fit_loop") if isinstance(stored, dict) else None
    if not _agrees(stored, loops):
        yield "it holds no state of the training loop"
    elif _optimizer_steps(stored) != content.get("global_step"):
        yield f"global_step is {content.get('global_step')}, in the training loop {_optimizer_steps(stored)}"


def _is_schedule(state: Any) -> bool:
    return isinstance(state, dict) and type(state.get("last_epoch")) is int and state["last_epoch"] >= 0


def _optimizer_steps(loops: dict[str, Any]) -> int:
    return loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"]["completed"]


def _agrees(stored: Any, like: Any) -> bool:
    """Whether nested dictionaries have the same keys, and values of the same types, no number below 0."""
    if isinstance(like, dict):
        return isinstance(stored, dict) and all(name in stored and _agrees(stored[name], like[name]) for name in like)
    return type(stored) is type(like) and not (isinstance(like, int) and stored < 0)
