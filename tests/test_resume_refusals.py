"""A run is resumed from a checkpoint that is whole and of this model; everything else is refused by name."""

import operator
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from helpers.latent_store import TRAIN_CONFIG
from helpers.short_runs import SHORT, short_run

pytestmark = pytest.mark.medium

WEIGHT = "model.unet.conv_out.bias"


@pytest.fixture(scope="module")
def trained(latent_store) -> Path:
    """A folder with the run `trained` of two steps."""
    short_run(latent_store, "run_dir=trained", "trainer.max_steps=2", "data.params.path.valid_data=null")
    return latent_store


def replaced(key: str, change: Callable) -> Callable[[dict], None]:
    """Replaces a weight by what `change` makes of it."""
    return lambda content: content["state_dict"].update({key: change(content["state_dict"][key])})


def first_moment(content: dict) -> dict:
    return content["optimizer_states"][0]["state"][0]


def with_nan(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[0] = float("nan")
    return tensor


DAMAGE = {
    "missing": (lambda c: c["state_dict"].pop(WEIGHT), f"{WEIGHT} is missing"),
    "unknown": (lambda c: c["state_dict"].update({"model.extra": torch.zeros(1)}), "model.extra is unknown"),
    "shape": (replaced(WEIGHT, lambda t: t[:1]), f"{WEIGHT} is [1], not [4]"),
    "sparse": (replaced(WEIGHT, torch.Tensor.to_sparse), f"{WEIGHT} has no plain values"),
    "complex": (replaced(WEIGHT, lambda t: t.to(torch.complex64)), f"{WEIGHT} is complex64, not float32"),
    "integer": (replaced(WEIGHT, torch.Tensor.int), f"{WEIGHT} is int32, not float32"),
    "nan": (replaced(WEIGHT, with_nan), f"{WEIGHT} holds values that are not finite"),
    "no optimiser": (operator.methodcaller("pop", "optimizer_states"), "it holds no state of the optimiser"),
    "no moments": (lambda c: c["optimizer_states"][0].update(state={}), "moments are not those of this model"),
    "moment": (
        lambda c: first_moment(c).update(exp_avg=torch.zeros(1)),
        "the optimiser's state of weight 0, exp_avg, is [1]",
    ),
    "moment without values": (
        lambda c: first_moment(c).update(exp_avg=first_moment(c)["exp_avg"].to("meta")),
        "the optimiser's state of weight 0, exp_avg, has no plain values",
    ),
    "infinite moment": (
        lambda c: first_moment(c).update(exp_avg_sq=first_moment(c)["exp_avg_sq"] + float("inf")),
        "exp_avg_sq, holds values that are not finite",
    ),
    "no rate": (operator.methodcaller("pop", "lr_schedulers"), "it holds no state of the learning rate"),
    "no loops": (operator.methodcaller("pop", "loops"), "it holds no state of the training loop"),
    "half a loop": (lambda c: c["loops"].update(fit_loop={}), "it holds no state of the training loop"),
    "no step": (operator.methodcaller("pop", "global_step"), "global_step is not a number of steps"),
    "another step": (lambda c: c.update(global_step=1), "global_step is 1, in the training loop 2"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_one_line_that_names_what_is_wrong(trained, tmp_path, fail, name):
    spoil, message = DAMAGE[name]
    content = torch.load(trained / "trained" / "checkpoints" / "last.ckpt", weights_only=True)
    spoil(content)
    torch.save(content, tmp_path / "bad.ckpt")
    keys = [key.replace("=data/", f"={trained}/data/").replace("=vae.ckpt", f"={trained}/vae.ckpt") for key in SHORT]
    keys = [key.replace("latents=latents", f"latents={trained}/latents") for key in keys]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *keys, "trainer.resume=bad.ckpt")
    assert line.startswith("error: bad.ckpt: this run cannot be resumed from it: ")
    assert message in line


def test_auto_starts_a_run_and_then_resumes_it(store_copy):
    for steps in (1, 2):
        short_run(store_copy, f"trainer.max_steps={steps}", "trainer.resume=auto")
    last = torch.load(store_copy / "runs" / "synctrack" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2
