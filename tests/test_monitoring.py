"""What loggers are given: curves that continue, audio and pictures; nothing on the console that needs no attention."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.commands import run_in
from helpers.latent_store import TRAIN_CONFIG
from helpers.runs import logged
from helpers.short_runs import SHORT, short_run
from helpers.small_model import STEMS
from synctrack.training import monitoring

pytestmark = pytest.mark.medium


def board(run_dir: Path) -> EventAccumulator:
    """What TensorBoard shows of a run, all of it."""
    everything = {"scalars": 0, "audio": 0, "images": 0}
    events = EventAccumulator(str(run_dir / "tensorboard" / "version_0"), everything)
    events.Reload()
    return events


@pytest.fixture(scope="module")
def resumed(latent_store) -> tuple[Path, str]:
    """The run folder of a run that was made to its fifth step, lost two of them, and was resumed; and the stderr of
    its last part, which runs in a process of its own: pytest keeps warnings and logs of this one to itself."""
    clips = ["run_dir=seen", "validation={clips: 1, steps: 2}"]
    short_run(latent_store, *clips, "trainer.max_steps=3")
    saved = (latent_store / "seen" / "checkpoints" / "last.ckpt").read_bytes()
    short_run(latent_store, *clips, "trainer.max_steps=5", "trainer.resume=last")
    (latent_store / "seen" / "checkpoints" / "last.ckpt").write_bytes(saved)
    keys = [*SHORT, *clips, "trainer.max_steps=6", "trainer.resume=last"]
    ended = run_in(latent_store, "train_synctrack.py", "--config", TRAIN_CONFIG, *keys)
    return latent_store / "seen", ended.stderr


def test_a_resumed_run_continues_its_curves(resumed):
    run_dir, _ = resumed
    events = board(run_dir)
    for name in ("train/loss", "train/gradient_norm", "train/learning_rate", "train/songs_per_second"):
        assert [event.step for event in events.Scalars(name)] == [0, 1, 2, 3, 4, 5]
        assert all(event.value >= 0 for event in events.Scalars(name))
    assert [event.step for event in events.Scalars("val/loss_ema")] == [2, 5]
    assert {"val/loss_noise_1", "val/loss_ema_noise_4"} <= set(events.Tags()["scalars"]) | set(missing(run_dir))


def missing(run_dir: Path) -> list[str]:
    """Names of levels of noise that no validation item has."""
    names = [f"val/loss{ema}_noise_{level}" for ema in ("", "_ema") for level in (1, 2, 3, 4)]
    return [name for name in names if not logged(run_dir, name)]


def test_levels_of_noise_add_up_to_the_loss(resumed):
    run_dir, _ = resumed
    levels = [logged(run_dir, f"val/loss_noise_{level}") for level in (1, 2, 3, 4)]
    found = [level[5] for level in levels if level]
    assert len(found) > 1
    assert min(found) < logged(run_dir, "val/loss")[5] < max(found)


def test_clips_are_shown_as_sound_and_picture(resumed):
    events = board(resumed[0])
    assert set(events.Tags()["audio"]) == {f"clip_0/{name}" for name in ("mix", *STEMS)}
    assert [event.step for event in events.Audio("clip_0/mix")] == [2, 5]
    assert events.Audio("clip_0/drums")[0].sample_rate == 8000
    assert [event.step for event in events.Images("clip_0/mels")] == [2, 5]


def test_a_run_prints_no_warnings(resumed):
    """Nothing at all beside its progress: Lightning's warnings do not call themselves so."""
    printed = resumed[1].replace("\x1b[A", "")
    assert [line for line in printed.splitlines() if line.strip() and not line.startswith("clip 0: ")] == []


def test_weights_and_biases_gets_clips_and_keeps_its_run(tmp_path, monkeypatch):
    """Through a logger that takes notes: the package is not among the requirements."""
    calls = []

    class Logger:
        def __init__(self, **how: object) -> None:
            self.how = how

        def log_audio(self, key: str, audios: list[np.ndarray], **how: object) -> None:
            calls.append((key, audios[0].shape, how))

        def log_image(self, key: str, images: list[str]) -> None:
            calls.append((key, *images))

    monkeypatch.setattr(monitoring, "WandbLogger", Logger)
    first, again = (monitoring._wandb_id(tmp_path, resume) for resume in (None, tmp_path / "last.ckpt"))
    assert first == again
    assert monitoring._wandb_id(tmp_path, None) != first
    trainer = types.SimpleNamespace(loggers=[Logger()], global_step=3)
    monitoring.show_clip(trainer, "clip", np.zeros((2, 5), np.float32), ["bass", "drums"], 8000, tmp_path / "a.png")
    rate = {"sample_rate": [8000]}
    sounds = [(f"clip/{name}", (5,), rate) for name in ("mix", "bass", "drums")]
    assert calls == [*sounds, ("clip/mels", str(tmp_path / "a.png"))]
    assert "wandb" not in sys.modules
