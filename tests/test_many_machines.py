"""The examples of config/cluster as they stand, on two machines of one process each that are one: same weights as one
process; ended by signals and kills; resumed by another number of processes."""

import contextlib
import os
import signal
from pathlib import Path

import pytest
import torch

from helpers.cluster import free_port, slurm, start
from helpers.commands import ending, wait_for
from helpers.latent_store import TRAIN_CONFIG
from helpers.runs import logged
from helpers.short_runs import SHORT, short_run

pytestmark = pytest.mark.slow

WAIT = 900


def keys(folder: Path, *more: str) -> list[str]:
    """Those of a short run, for a command that runs elsewhere."""
    found = []
    for key in [*SHORT, *more]:
        name, _, value = key.partition("=")
        if value.startswith(("data/", "latents", "vae.ckpt", "runs")):
            value = f"{folder / value}"
        found.append(f"{name}={value}")
    return found


@pytest.fixture(scope="module")
def one_process(latent_store) -> Path:
    """The run folder of six steps of one process, with batches of two."""
    short_run(latent_store, "run_dir=runs/one", "trainer.max_steps=6")
    return latent_store / "runs" / "one"


def assert_same_training(run: Path, one_process: Path) -> None:
    """To rounding: two processes add their gradients in another order, and Adam normalises tiny gradients."""
    for name in ("train/learning_rate", "val/loss", "val/loss_ema", "val/loss_ema_noise_2"):
        assert logged(run, name) == pytest.approx(logged(one_process, name), rel=1e-4)
    files = [folder / "checkpoints" / "last.ckpt" for folder in (run, one_process)]
    own, other = (torch.load(file, weights_only=True)["state_dict"] for file in files)
    apart = torch.cat([(own[name].double() - other[name].double()).abs().flatten() for name in other])
    assert apart.max() < 1e-3
    assert apart.mean() < 1e-5


def ended(process, folder: Path, log: str) -> tuple[int, str]:
    """The status of a process when it ends, and its output."""
    status = process.wait(timeout=WAIT)
    return status, (folder / log).read_text()


def test_torchrun_on_two_machines_trains_as_one_process(store_copy, one_process):
    own = keys(store_copy, "run_dir=runs/two", "trainer.max_steps=6", "data.params.batch_size=1")
    variables = {"NODES": 2, "MAIN": "127.0.0.1", "PORT": free_port(), "PROCESSES": 1}
    command = ["sh", "config/cluster/torchrun.sh", TRAIN_CONFIG, *own]
    with contextlib.ExitStack() as stack:
        names = ("machine_0", "machine_1")
        machines = {name: stack.enter_context(ending(start(store_copy, name, *command, **variables))) for name in names}
        for name, machine in machines.items():
            status, text = ended(machine, store_copy, name)
            assert status == 0, text[-3000:]
            assert "Warning" not in text, text[-3000:]
    assert_same_training(store_copy / "runs" / "two", one_process)


@pytest.mark.parametrize("end", ["terminated", "killed"])
def test_slurm_job_that_is_ended_resumes_on_one_process(store_copy, one_process, end):
    own = keys(store_copy, "run_dir=runs/job", "data.params.batch_size=1")
    command = ["bash", "config/cluster/slurm_train.sh", TRAIN_CONFIG, *own, "trainer.max_steps=100000"]
    command += ["trainer.validation_every_n_steps=100000"]
    with ending(start(store_copy, "job", *command, **slurm(tasks=2))) as job:
        wait_for(job, store_copy, "runs/job/checkpoints/last.ckpt", WAIT)
        srun, _, second = map(int, (store_copy / "pids").read_text().split())
        os.kill(*((srun, signal.SIGTERM) if end == "terminated" else (second, signal.SIGKILL)))
        status, text = ended(job, store_copy, "job")
    lines = [line for line in text.splitlines() if "trainer.resume=last" in line]
    assert len(lines) == 1, text[-3000:]
    assert "Traceback" not in text, text[-3000:]
    step = torch.load(store_copy / "runs/job/checkpoints/last.ckpt", weights_only=True)["global_step"]
    if end == "terminated":
        assert status == 143
        assert lines[0].startswith("interrupted; resume with: ")
        assert "scontrol requeue 7" in text
    else:
        assert status != 0
        assert lines[0].startswith("error: another process of this run has ended")
        assert "scontrol" not in text
    short_run(store_copy, "run_dir=runs/job", f"trainer.max_steps={step + 1}", "trainer.resume=last")
    last = torch.load(store_copy / "runs/job/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == step + 1
