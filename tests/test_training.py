"""The training commands as a user runs them: losses, resuming, devices and refusals."""

import errno
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import pytorch_lightning as pl
import soundfile
import torch

from helpers.commands import ROOT, run_here, run_in
from helpers.runs import logged
from helpers.small_model import PRECISIONS, SMALL_AUDIO, SMALL_KEYS, STEMS

pytestmark = pytest.mark.medium

TRAIN_CONFIG = ROOT / "config" / "synctrack_train.yaml"
KEYS = [
    *SMALL_KEYS,
    "model.params.ckpt_path=null",
    "model.params.vae_ckpt_path=vae/checkpoints/last.ckpt",
    "model.params.vocoder_ckpt_path=null",
    "model.params.warmup_steps=3",
    "model.params.base_learning_rate=1e-3",
    "trainer.validation_every_n_steps=3",
    "trainer.save_checkpoint_every_n_steps=2",
    "trainer.log_every_n_steps=1",
    "validation={clips: 1, steps: 2}",
]


def data_keys(grooves: Path) -> list[str]:
    return [f"data.params.path.train_data={grooves / 'train'}", f"data.params.path.valid_data={grooves / 'valid'}"]


@pytest.fixture(scope="module")
def vae_run(grooves, tmp_path_factory) -> Path:
    """The run folder of a few steps of `train_first_stage.py`."""
    folder = tmp_path_factory.mktemp("first_stage")
    steps = ["trainer.max_steps=24", "trainer.validation_every_n_steps=6", "trainer.log_every_n_steps=1"]
    first_stage = ["run_dir=vae", "first_stage={crop_frames: 16, learning_rate: 1e-3}", "validation.clips=0"]
    config = ROOT / "config" / "vae_train.yaml"
    run_here(folder, "train_first_stage.py", "--config", config, *SMALL_KEYS, *data_keys(grooves), *steps, *first_stage)
    return folder / "vae"


@pytest.fixture
def train(grooves, vae_run, tmp_path):
    """Run train_synctrack.py on the small model with more keys, by `run_here` or `run_in`; the VAE is there."""
    shutil.copytree(vae_run, tmp_path / "vae")

    def train_with(*keys: str, run: Callable = run_here):
        return run(tmp_path, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), *keys)

    return train_with


def weights(run_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def differences(one: Path, other: Path) -> list[torch.Tensor]:
    """Absolute differences of all tensors of the last checkpoints of two runs."""
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    return [(first[name].double() - second[name].double()).abs() for name in first]


def test_first_stage_learns(vae_run):
    distance = list(logged(vae_run, "val/mel_l1").values())
    assert len(distance) == 4
    assert distance[-1] < 0.85 * distance[0]


def test_run_writes_checkpoints_logs_and_samples(train, tmp_path):
    train("trainer.max_steps=5", run=run_in)
    folder = tmp_path / "runs" / "synctrack"
    rates = logged(folder, "train/learning_rate")
    assert [rates[step] for step in range(5)] == pytest.approx([0, 1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])
    assert (folder / "config.yaml").is_file()
    assert list(folder.glob("tensorboard/version_0/events*"))
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["last.ckpt", "step=0000003.ckpt"]
    clips = [folder / "samples" / "step_0000003" / tree / "clip_0.wav" for tree in ("stem_0", "stem_3", "mix")]
    assert [soundfile.info(clip).frames for clip in clips] == 3 * [SMALL_AUDIO.segment_samples]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 5
    assert last["synctrack"]["stems"] == list(STEMS)
    assert int(last["state_dict"]["ema.num_updates"]) == 5


@pytest.fixture(scope="module")
def unbroken(grooves, vae_run) -> Path:
    """The run folder of eight steps in one go; six make an epoch."""
    steps = ["run_dir=unbroken", "trainer.max_steps=8"]
    run_here(vae_run.parent, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), *steps)
    return vae_run.parent / "unbroken"


@pytest.mark.parametrize("stop", [pytest.param(5, marks=pytest.mark.slow), 6])
def test_stopped_and_resumed_equals_never_stopped(train, tmp_path, unbroken, stop):
    """Stops in the middle of an epoch, and at its end after a validation; generating clips has no effect either."""
    keys = ["run_dir=broken", "validation.clips=0"]
    train(*keys, f"trainer.max_steps={stop}")
    train(*keys, "trainer.max_steps=8", "trainer.resume=last")
    for name in ("train/loss", "train/learning_rate", "val/loss", "val/loss_ema"):
        assert logged(tmp_path / "broken", name) == logged(unbroken, name)
    assert max(difference.max() for difference in differences(unbroken, tmp_path / "broken")) == 0


def test_two_devices_train_as_one_with_twice_the_batch(train, tmp_path, unbroken):
    keys = ["trainer.max_steps=8", "trainer.devices=2", "data.params.batch_size=1", "validation.clips=0"]
    printed = train("run_dir=two", *keys, run=run_in).stderr.lower()
    for word in ("warn", "recommend", "deprecat", "distributed"):
        assert word not in printed
    assert logged(tmp_path / "two", "val/loss_ema") == pytest.approx(logged(unbroken, "val/loss_ema"), rel=1e-4)
    # Adam normalises gradients, so a rounding error in a tiny gradient can be a considerable share of a step.
    apart = differences(unbroken, tmp_path / "two")
    assert max(difference.max() for difference in apart) < 1e-3
    assert torch.cat([difference.flatten() for difference in apart]).mean() < 1e-5


def test_validations_use_the_same_noise(train, tmp_path):
    """With a learning rate near zero, every validation gives the same loss: noise and time steps are fixed."""
    train("trainer.max_steps=6", "model.params.base_learning_rate=1e-12", "validation.clips=0")
    losses = list(logged(tmp_path / "runs" / "synctrack", "val/loss").values())
    assert len(losses) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_a_run_is_not_overwritten(fail, grooves, unbroken):
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), f"run_dir={unbroken}")
    assert line == f"error: {unbroken}: holds a run already; set trainer.resume=last to resume it, or another run_dir"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["trainer.max_epoch=3"], "trainer.max_epoch: unknown key; did you mean trainer.max_epochs?"),
        (["data.params.batch_size=many"], "data.params.batch_size: Value 'many' of type 'str' could not be converted"),
        (["data.params.path.train_data=nowhere"], "nowhere: "),
        (["data.params.path.train_data=null"], "data.params.path.train_data: is not set"),
        (["data.params.path.train_data=empty"], "empty: holds no song folder"),
        (["data.params.path.train_data=uneven"], "its stems differ in length"),
        (["data.params.batch_size=99"], "data.params.batch_size: 12 segments do not fill a batch of 99"),
        (["trainer.resume=gone.ckpt"], "gone.ckpt is not there"),
        (["mode=test"], "run eval_synctrack.py"),
        (["mode=validate", "data.params.path.train_data=null"], "model.params.ckpt_path: gives no scale factor"),
        (["trainer.accelerator=quantum"], "trainer.accelerator: 'quantum' must be one of "),
        (["model.params.unet.num_head_channels=48"], "num_head_channels"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(fail, grooves, vae_run, tmp_path, keys, message):
    (tmp_path / "empty").mkdir()
    song = tmp_path / "uneven" / "Song"
    song.mkdir(parents=True)
    for i, stem in enumerate(STEMS):
        soundfile.write(song / f"{stem}.wav", torch.zeros(20_000 + 100 * i).numpy(), SMALL_AUDIO.sample_rate)
    vae = f"model.params.vae_ckpt_path={vae_run / 'checkpoints' / 'last.ckpt'}"
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), vae, *keys)
    assert message in line


def test_checkpoint_of_another_shape_is_one_line_and_status_2(fail, grooves, unbroken):
    keys = [f"model.params.ckpt_path={unbroken / 'checkpoints' / 'last.ckpt'}", "model.params.unet.model_channels=64"]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), *keys)
    assert "model.params.unet.model_channels: 32 in the file, 64 here" in line
    assert "model.params.init=partial" in line


def test_resuming_another_model_is_one_line_and_status_2(fail, grooves, unbroken):
    keys = [f"trainer.resume={unbroken / 'checkpoints' / 'last.ckpt'}", "model.params.unet.model_channels=64"]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), *keys)
    assert "model_channels" in line


def test_resuming_a_first_stage_as_synctrack_is_one_line_and_status_2(fail, grooves, vae_run):
    keys = [f"trainer.resume={vae_run / 'checkpoints' / 'last.ckpt'}"]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), *keys)
    assert "is not a checkpoint of such a training run" in line


@pytest.mark.parametrize("precision", PRECISIONS)
def test_options_for_large_models_train(train, tmp_path, precision):
    """Accumulation counts optimiser steps, and bfloat16, clipping and recomputation give numbers."""
    train(
        "trainer.max_steps=2",
        "trainer.accumulate_grad_batches=2",
        f"trainer.precision={precision}",
        "trainer.gradient_clip_val=1.0",
        "model.params.unet.gradient_checkpointing=true",
        "mode=validate_and_train",
    )
    last = torch.load(tmp_path / "runs" / "synctrack" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 2
    assert int(last["state_dict"]["ema.num_updates"]) == 2
    assert all(tensor.isfinite().all() for tensor in last["state_dict"].values() if tensor.is_floating_point())


def test_validating_a_checkpoint_prints_its_losses(train, unbroken, capsys):
    last = f"model.params.ckpt_path={unbroken / 'checkpoints' / 'last.ckpt'}"
    train("mode=validate", last, "validation.clips=0")
    assert "val/loss_ema" in capsys.readouterr().out


def test_a_full_disk_is_one_line_and_status_2(fail, grooves, vae_run, monkeypatch):
    def save_on_full_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "last.ckpt")

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", save_on_full_disk)
    vae = f"model.params.vae_ckpt_path={vae_run / 'checkpoints' / 'last.ckpt'}"
    arguments = ["--config", TRAIN_CONFIG, *KEYS, *data_keys(grooves), vae, "trainer.max_steps=1"]
    line = fail("train_synctrack.py", *arguments)
    assert line == "error: last.ckpt: No space left on device; free or choose another place"
