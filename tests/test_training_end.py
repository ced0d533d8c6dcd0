"""How a training ends: by signals, values that are not finite, a full disk; and that it resumes as if it had not."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers.commands import only_error
from helpers.runs import logged
from helpers.short_runs import short_run
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.training.finite import first_not_finite
from synctrack.training.interruption import Interrupted
from synctrack.training.saving import AtomicCheckpointIO, BackgroundCheckpointIO, SaveLast
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium


def checkpoint(folder: Path, run_dir: str, name: str = "last.ckpt") -> dict:
    return torch.load(folder / run_dir / "checkpoints" / name, weights_only=True)


def at_call(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, number: int, act: Callable) -> None:
    """Have the `number`-th call of a method give `act(result)`."""
    original, calls = getattr(owner, method), []

    def wrapped(*arguments: object, **named: object) -> object:
        result = original(*arguments, **named)
        calls.append(None)
        return act(result) if len(calls) == number else result

    monkeypatch.setattr(owner, method, wrapped)


def sending(number: int) -> Callable:
    """For `at_call`: send this process a signal, and leave the result as it is."""

    def send(result: object) -> object:
        os.kill(os.getpid(), number)
        return result

    return send


@pytest.fixture(autouse=True)
def same_signals() -> Iterator[None]:
    """A command that was interrupted ignores further signals, and this process runs on."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def unbroken(latent_store) -> Path:
    """The run folder of six steps with validations after the third and the sixth."""
    short_run(latent_store, "run_dir=unbroken", "trainer.max_steps=6")
    return latent_store / "unbroken"


def assert_resumes_to(unbroken: Path, folder: Path, run_dir: str) -> None:
    short_run(folder, f"run_dir={run_dir}", "trainer.max_steps=6", "trainer.resume=last")
    for name in ("train/loss", "train/gradient_norm", "val/loss", "val/loss_ema", "val/loss_ema_noise_1"):
        assert logged(folder / run_dir, name) == logged(unbroken, name)
    own, other = (checkpoint(place, name) for place, name in ((folder, run_dir), (unbroken.parent, unbroken.name)))
    assert all(torch.equal(own["state_dict"][name], tensor) for name, tensor in other["state_dict"].items())


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_a_signal_saves_after_the_step_and_says_how_to_resume(store_copy, unbroken, monkeypatch, number):
    with monkeypatch.context() as patch:
        at_call(patch, SyncTrackModule, "training_step", 5, sending(number))
        with pytest.raises(SystemExit) as stop:
            short_run(store_copy, "run_dir=stopped", "trainer.max_steps=6")
    assert stop.value.code == 128 + number
    *_, line = stop.value.printed.splitlines()
    assert line.startswith("interrupted; resume with: python ")
    assert line.endswith(" trainer.resume=last")
    assert checkpoint(store_copy, "stopped")["global_step"] == 5
    assert_resumes_to(unbroken, store_copy, "stopped")


@pytest.mark.parametrize("validation", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_validation_that_a_kill_prevented_is_made_when_the_run_resumes(store_copy, unbroken, monkeypatch, validation):
    """In the middle of the run, and at its end, where no training step is left."""

    def kill(_: object) -> None:
        raise SystemExit(9)

    with monkeypatch.context() as patch:
        at_call(patch, SyncTrackModule, "on_validation_start", validation, kill)
        with pytest.raises(SystemExit):
            short_run(store_copy, "run_dir=killed", "trainer.max_steps=6")
    assert checkpoint(store_copy, "killed")["global_step"] == 3 * validation
    assert_resumes_to(unbroken, store_copy, "killed")
    best = sorted(path.name for path in (store_copy / "killed" / "checkpoints").glob("step*"))
    assert best[0] == "step=0000003.ckpt"


def test_no_process_ends_before_the_checkpoint_of_a_signal_is_written(tmp_path):
    done = []
    checkpoints = SimpleNamespace(finish=lambda: done.append("written"))
    strategy = SimpleNamespace(checkpoint_io=checkpoints, barrier=lambda name: done.append("all processes"))
    trainer = SimpleNamespace(global_step=1, strategy=strategy, save_checkpoint=lambda path: done.append("begun"))
    trainer.max_steps, trainer.is_last_batch = 10, False
    signals = SimpleNamespace(received_by_any=lambda trainer: signal.SIGTERM)
    save_last = SaveLast(tmp_path / "last.ckpt", tmp_path / "validated.json", 100, signals)
    save_last.on_train_batch_end(trainer)
    assert done == ["begun", "written", "all processes"]
    with pytest.raises(Interrupted):
        save_last.on_train_batch_start()


def test_a_loss_that_is_not_finite_ends_the_training_and_is_not_saved(store_copy, monkeypatch):
    at_call(monkeypatch, LatentDiffusion, "loss", 3, lambda loss: loss * float("nan"))
    with pytest.raises(SystemExit) as stop:
        short_run(store_copy, "trainer.max_steps=6", "trainer.log_every_n_steps=100")
    assert stop.value.code == 2
    line = only_error(stop.value.printed)
    assert line.startswith("error: training: the loss of step 3 is not finite; lower the learning rate")
    last = checkpoint(store_copy, "runs/synctrack")
    assert last["global_step"] == 2
    assert first_not_finite(last["state_dict"]) is None


def test_a_gradient_that_is_not_finite_is_named(store_copy, monkeypatch):
    def with_hook(loss: torch.Tensor) -> torch.Tensor:
        loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    at_call(monkeypatch, SyncTrackModule, "training_step", 2, with_hook)
    with pytest.raises(SystemExit) as stop:
        short_run(store_copy, "trainer.max_steps=6")
    assert "training: the gradient norm of step 2 is not finite" in stop.value.printed
    assert not (store_copy / "runs" / "synctrack" / "checkpoints" / "last.ckpt").exists()


def test_without_validation_there_is_one_checkpoint_and_nothing_of_killed_writes(store_copy):
    killed = store_copy / "runs" / "synctrack" / "checkpoints" / ".writing-1.ckpt"
    killed.parent.mkdir(parents=True)
    killed.write_bytes(b"half")
    short_run(store_copy, "data.params.path.valid_data=null", "data.params.path.latents=null", "trainer.max_steps=2")
    folder = store_copy / "runs" / "synctrack"
    assert [path.name for path in folder.rglob("*.ckpt")] == ["last.ckpt"]
    assert not killed.exists()


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"global_step": 1}, path)

    def fill_the_disk(content: object, place: Path) -> None:
        Path(place).write_bytes(b"half")
        assert Path(place).parent == tmp_path
        raise RuntimeError("PytorchStreamWriter failed writing file")

    monkeypatch.setattr(torch, "save", fill_the_disk)
    with pytest.raises(InputError, match=r"last\.ckpt: cannot be written"):
        AtomicCheckpointIO().save_checkpoint({"global_step": 2}, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]
    assert torch.load(path, weights_only=True) == {"global_step": 1}


def test_a_checkpoint_that_is_written_in_the_background_is_of_when_it_was_saved(tmp_path, monkeypatch):
    may_write, save = threading.Event(), torch.save

    def slow_disk(*arguments: object) -> None:
        assert may_write.wait(60)
        save(*arguments)

    monkeypatch.setattr(torch, "save", slow_disk)
    writer, weights = BackgroundCheckpointIO(), torch.ones(3)
    writer.save_checkpoint({"state_dict": {"weights": weights}, "global_step": 1}, tmp_path / "one.ckpt")
    weights.add_(1)
    assert not (tmp_path / "one.ckpt").exists()
    may_write.set()
    writer.save_checkpoint({"state_dict": {"weights": weights}, "global_step": 2}, tmp_path / "two.ckpt")
    one = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert (one["state_dict"]["weights"].tolist(), one["global_step"]) == ([1, 1, 1], 1)
    # The one before is removed only when the one that replaces it is there.
    writer.remove_checkpoint(tmp_path / "one.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["two.ckpt"]
    assert torch.load(tmp_path / "two.ckpt", weights_only=True)["state_dict"]["weights"].tolist() == [2, 2, 2]


def test_a_checkpoint_that_the_background_cannot_write_is_an_error_of_the_next_call(tmp_path):
    (tmp_path / "file").write_text("no folder")
    writer = BackgroundCheckpointIO()
    writer.save_checkpoint({"global_step": 1}, tmp_path / "file" / "last.ckpt")
    with pytest.raises(InputError, match=r"last\.ckpt: cannot be written"):
        writer.teardown()
    writer.teardown()


@pytest.mark.slow
def test_saving_in_the_background_changes_no_checkpoint(store_copy, unbroken, monkeypatch):
    """Also of a run that a signal stops, and that is resumed."""
    with monkeypatch.context() as patch:
        at_call(patch, SyncTrackModule, "training_step", 5, sending(signal.SIGTERM))
        with pytest.raises(SystemExit):
            short_run(store_copy, "run_dir=aside", "trainer.max_steps=6", "trainer.save_in_background=true")
    assert checkpoint(store_copy, "aside")["global_step"] == 5
    assert_resumes_to(unbroken, store_copy, "aside")


def test_only_the_first_process_reports_an_interruption(store_copy, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setattr("synctrack.errors.HEAD_START", 0.0)
    at_call(monkeypatch, SyncTrackModule, "training_step", 1, sending(signal.SIGTERM))
    with pytest.raises(SystemExit) as stop:
        short_run(store_copy, "trainer.max_steps=2")
    assert stop.value.code == 143
    assert "interrupted" not in stop.value.printed
