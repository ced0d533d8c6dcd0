"""Latents made once: prepare_data.py latents as users run it, and training from the store against that from audio."""

import csv
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL_AUDIO, SMALL_KEYS, SMALL_VAE, STEMS, awaken, run_in, wait_for
from torch.utils.data import default_collate

from synctrack.audio.mel import LogMel
from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config, load_config
from synctrack.data.datamodule import StemDataModule
from synctrack.data.segments import stored_shifts, stored_starts
from synctrack.models.vae import VAE
from synctrack.seeding import TRAIN, item_generator
from synctrack.training.initialise import initialise
from synctrack.training.synctrack_module import SyncTrackModule

TRAIN_CONFIG = ROOT / "config" / "synctrack_train.yaml"
OFFSETS = 8
KEYS = [
    *SMALL_KEYS,
    "data.params.path.train_data=data/train",
    "data.params.path.valid_data=data/valid",
    "model.params.ckpt_path=null",
    "model.params.vae_ckpt_path=vae.ckpt",
    "model.params.vocoder_ckpt_path=null",
    "model.params.base_learning_rate=1e-3",
    "model.params.warmup_steps=0",
    "trainer.max_steps=3",
    "trainer.validation_every_n_steps=3",
    "trainer.log_every_n_steps=1",
    "validation={clips: 1, steps: 2}",
]
MAKE = ["latents", "--config", TRAIN_CONFIG, *KEYS, "--offsets", OFFSETS, "--out"]
FROM_STORE = "data.params.path.latents=latents"


def save_vae(path: Path, seed: int) -> None:
    """A checkpoint of an untrained VAE."""
    torch.manual_seed(seed)
    weights = {f"vae.{name}": weight for name, weight in VAE(SMALL_VAE).state_dict().items()}
    torch.save({"state_dict": weights, "synctrack": checkpoint.header("vae", load_config([TRAIN_CONFIG], KEYS))}, path)


@pytest.fixture(scope="module")
def made(grooves, tmp_path_factory) -> Path:
    """A folder with `data`, `vae.ckpt` and the store `latents`."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(grooves, folder / "data")
    save_vae(folder / "vae.ckpt", seed=0)
    assert run_in(folder, "prepare_data.py", *MAKE, "latents").stdout == "4 songs\n"
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, to spoil; the working folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_with(*keys: str) -> Config:
    return load_config([TRAIN_CONFIG], [*KEYS, *keys])


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes() for path in folder.rglob("*")}


@pytest.mark.parametrize("offsets", [1, 2, 3, 8])
def test_stored_starts_are_those_of_evenly_spaced_shifts(offsets):
    shifts = stored_shifts(1000, offsets)
    assert 0 in shifts
    assert np.ptp(np.diff(shifts)) <= 1 if offsets > 1 else shifts == [0]
    assert min(shifts) >= -500
    assert max(shifts) < 500
    starts = stored_starts(3200, 1000, offsets)
    assert {0, 1000, 2000} <= set(starts)
    assert starts == sorted(set(starts))
    assert starts[0] >= 0
    assert starts[-1] <= 2200
    # Of three segments, those before the song begin at 0, those past its end half a segment earlier: with 8 shifts
    # four and two, at places that others have already.
    assert len(starts) == {1: 3, 2: 5, 3: 8, 8: 18}[offsets]


def test_all_stored_shifts_are_drawn_and_no_others(place):
    songs = StemDataModule(config_with()).train
    free = {songs.start(epoch, 1) for epoch in range(300)}
    songs.offsets = OFFSETS
    length = SMALL_AUDIO.segment_samples
    bound = {songs.start(epoch, 1) for epoch in range(300)}
    assert bound == {length + shift for shift in stored_shifts(length, OFFSETS)}
    assert len(free) > 250
    drawn = StemDataModule(config_with()).train
    apart = [drawn.start(epoch, 1) - songs.start(epoch, 1) for epoch in range(300)]
    assert 0 <= min(apart) <= max(apart) < length / OFFSETS


@pytest.fixture
def module(place) -> SyncTrackModule:
    """The small model with the VAE of the store, and a U-Net whose output depends on its input."""
    torch.manual_seed(0)
    module = SyncTrackModule(config_with())
    awaken(module.model.unet)
    initialise(module.model, module.ema, module.config.model.params)
    # Large, so that the latents show in the loss beside the noise.
    module.model.scale_factor.fill_(5.0)
    return module


def losses(module: SyncTrackModule, data: StemDataModule, epoch: int = 0) -> torch.Tensor:
    """The training loss of each segment, each with the noise and at the time step of its own."""
    batch = default_collate([data.train[epoch, index] for index in range(len(data.train))])
    generators = module.generators(batch, TRAIN)
    with torch.no_grad():
        return module.model.loss(module.latent(batch, generators), generators)


def test_loss_equals_that_from_audio(module, monkeypatch):
    audio = StemDataModule(config_with())
    freely_shifted = losses(module, audio)
    audio.train.offsets = OFFSETS
    from_audio = [losses(module, audio, epoch) for epoch in range(3)]

    def fail(*_: object) -> None:
        raise AssertionError("the audio's way was taken")

    monkeypatch.setattr(VAE, "encode", fail)
    monkeypatch.setattr(LogMel, "forward", fail)
    monkeypatch.setattr("synctrack.data.dataset.read_audio", fail)
    store = StemDataModule(config_with(), latents="latents")
    for epoch in range(3):
        torch.testing.assert_close(losses(module, store, epoch), from_audio[epoch], atol=1e-4, rtol=0)
    # So near is no other: not the segments a little aside, not another epoch's noise.
    assert (freely_shifted - from_audio[0]).abs().max() > 0.01
    assert (from_audio[1] - from_audio[0]).abs().max() > 0.01


def test_validation_items_equal_those_of_the_audio(module):
    audio, store = StemDataModule(config_with()).valid, StemDataModule(config_with(), latents="latents").valid
    assert len(store) == len(audio) == 4
    for index in range(4):
        heard, stored = audio[0, index], store[0, index]
        assert (stored["name"], stored["index"], stored["epoch"]) == (heard["name"], index, 0)
        posterior = module.model.vae.encode(module.model.mel(heard["waveform"][None]))
        torch.testing.assert_close(stored["mean"].float(), posterior.mean[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(stored["std"].float(), posterior.std[0], rtol=1e-3, atol=1e-4)


def logged(run_dir: Path, name: str) -> dict[int, float]:
    rows = csv.DictReader((run_dir / "csv" / "version_0" / "metrics.csv").open())
    return {int(row["step"]): float(row[name]) for row in rows if row.get(name)}


def train(folder: Path, *keys: str) -> Path:
    """Run training in `folder`; gives the run's folder."""
    run_in(folder, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *keys)
    return folder / "runs" / "synctrack"


@pytest.fixture(scope="module")
def trained(made) -> Path:
    """The run folder of training from the store by two workers, where no audio can be read: the files hold none."""
    folder = made.parent / "trained"
    shutil.copytree(made, folder)
    for file in folder.rglob("data/*/*/*.wav"):
        status = file.stat()
        file.write_bytes(bytes(status.st_size))
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    return train(folder, FROM_STORE, "data.params.num_workers=2")


def test_scale_factor_from_the_store_is_that_from_audio(trained, module):
    audio = StemDataModule(config_with()).train
    audio.offsets = OFFSETS
    # The epoch and the noise of the estimate.
    waves = [audio[0, index]["waveform"][None] for index in range(len(audio))]
    generators = [item_generator(0, TRAIN, index) for index in range(len(audio))]
    latents = [module.model.encode(wave, [generator]) for wave, generator in zip(waves, generators, strict=True)]
    stored = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["model.scale_factor"]
    torch.testing.assert_close(stored, 1 / torch.cat(latents).std(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    "keys",
    [
        ["data.params.num_workers=0"],
        pytest.param(["trainer.devices=2", "data.params.batch_size=1"], marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_without_audio_and_for_any_workers_and_devices(trained, place, keys):
    run = train(place, FROM_STORE, *keys)
    assert len(logged(run, "val/loss")) == 1
    assert logged(run, "val/loss") == pytest.approx(logged(trained, "val/loss"), rel=1e-5)


@pytest.mark.parametrize(
    "pattern",
    [
        "train/Groove*1/latents.npy",
        pytest.param("train/manifest.json", marks=pytest.mark.slow),
        pytest.param("train/.Groove*", marks=pytest.mark.slow),
        pytest.param("train/Groove*2/latents.npy", marks=pytest.mark.slow),
    ],
)
def test_killed_and_started_again_ends_the_same(place, pattern):
    command = [sys.executable, str(ROOT / "prepare_data.py"), *map(str, MAKE), "killed"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = place / "killed"
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(process, killed, pattern)
        os.kill(process.pid, signal.SIGKILL)
    assert tree(killed) != tree(place / "latents"), "killed too late to tell anything"
    kept = {file: file.stat().st_mtime_ns for file in killed.glob("*/Groove*/*")}
    run_in(place, "prepare_data.py", *MAKE, "killed")
    assert tree(killed) == tree(place / "latents")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def change_manifest(change: Callable[[dict], object]) -> None:
    path = Path("latents/train/manifest.json")
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


SPOILED = {
    "no store": (lambda: shutil.rmtree("latents"), "latents/train: holds no complete latents"),
    "no validation": (lambda: shutil.rmtree("latents/valid"), "latents/valid: holds no complete latents"),
    "stopped": (lambda: change_manifest(lambda m: m.pop("tracks")), "latents/train: holds no complete latents"),
    "no manifest of latents": (lambda: change_manifest(lambda m: m["settings"].pop("offsets")), "no complete latents"),
    "changed song": (lambda: os.utime("data/train/Groove00001/bass.wav"), "different settings (track Groove00001 ["),
    "song more": (lambda: shutil.copytree("data/valid/Groove00000", "data/train/New"), "(track New None, now ["),
    "song less": (lambda: shutil.rmtree("data/train/Groove00002"), "(track Groove00002 ["),
    "another VAE": (lambda: save_vae(Path("vae.ckpt"), seed=1), "latents: its latents come from another VAE"),
    "cut file": (lambda: os.truncate("latents/train/Groove00002/latents.npy", 3000), "latents.npy: is missing or dam"),
    "empty file": (lambda: os.truncate("latents/train/Groove00002/latents.npy", 0), "latents.npy: is missing or dam"),
    "lost file": (lambda: shutil.rmtree("latents/valid/Groove00000"), "Groove00000/latents.npy: is missing or dam"),
    "other file": (lambda: np.save("latents/valid/Groove00000/latents.npy", np.zeros(3)), "is of another shape than"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_stores_that_do_not_fit_are_one_line_and_status_2(fail, place, how):
    spoil, message = SPOILED[how]
    spoil()
    assert message in fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, FROM_STORE)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.params.audio.f_max=3000", "(audio.f_max 4000.0, now 3000.0)"),
        ("model.params.vae.latent_channels=8", "(vae.latent_channels 4, now 8)"),
        ("data.params.path.stems=[drums,bass,guitar,piano]", "(stems ['bass', 'drums', 'guitar', 'piano'], now"),
    ],
)
def test_other_configurations_are_one_line_and_status_2(fail, place, key, message):
    assert message in fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, FROM_STORE, key)


def save_broken_vae() -> None:
    save_vae(Path("vae.ckpt"), seed=0)
    content = torch.load("vae.ckpt", weights_only=True)
    content["state_dict"]["vae.quant_conv.bias"].fill_(1e6)
    torch.save(content, "vae.ckpt")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["data.params.path.train_data=null", "--out", "new"], "data.params.path.train_data: is not set"),
        (["data.params.path.train_data=nowhere", "--out", "new"], "nowhere: "),
        (["model.params.vae_ckpt_path=null", "--out", "new"], "model.params.vae_ckpt_path: is not set"),
        (["model.params.vae_ckpt_path=gone.ckpt", "--out", "new"], "gone.ckpt: "),
        (["model.params.vae.channels=64", "--out", "new"], "vae.ckpt"),
        (
            ["--offsets", "4", "--out", "latents"],
            "latents/train: was created with different settings (offsets 8, now 4)",
        ),
        (["--out", "data"], "data/train: was created with different settings ("),
    ],
)
def test_what_cannot_be_encoded_is_one_line_and_status_2(fail, place, keys, message):
    assert message in fail("prepare_data.py", "latents", "--config", TRAIN_CONFIG, *KEYS, *keys)
    assert not Path("new").exists()


def test_numbers_that_float16_cannot_hold_are_refused(fail, place):
    save_broken_vae()
    assert "not numbers in float16" in fail("prepare_data.py", *MAKE, "new")
    assert sorted(tree(Path("new"))) == ["train", "train/manifest.json"]


def test_too_little_room_is_said_before_anything_is_encoded(fail, place, monkeypatch):
    usage = shutil.disk_usage(place)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    stored = sum(file.stat().st_size for file in place.glob("latents/*/*/*.npy")) - 4 * 128
    assert f"new: needs {stored / 1e9:.1f} GB more, 0.0 GB are free" in fail("prepare_data.py", *MAKE, "new")
    assert not Path("new").exists()
    # What is there needs no more room.
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, MAKE), "latents"])
    runpy.run_path(str(ROOT / "prepare_data.py"), run_name="__main__")


def test_a_full_disk_is_one_line_and_leaves_no_track(fail, place):
    """A limit on file sizes stands for the full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        line = fail("prepare_data.py", *MAKE, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "new/train/Groove00000: cannot be written" in line
    assert sorted(tree(Path("new"))) == ["train", "train/manifest.json"]


def test_other_commands_read_audio_whatever_the_key_says(place):
    data = StemDataModule(config_with(FROM_STORE))
    assert data.valid[0, 0]["waveform"].shape == (len(STEMS), SMALL_AUDIO.segment_samples)
