"""Latents that are pre-encoded once: training from the store against training from audio."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import default_collate

from helpers.commands import ROOT, ending, run_here, run_in, wait_for
from helpers.latent_store import FROM_STORE, KEYS, MAKE, OFFSETS, TRAIN_CONFIG, config_with, contents
from helpers.runs import logged
from helpers.small_model import SMALL_AUDIO, STEMS, awaken
from synctrack.audio.mel import LogMel
from synctrack.data.datamodule import StemDataModule
from synctrack.data.latents.encoding import write_latents
from synctrack.data.segments import stored_shifts, stored_starts
from synctrack.errors import InputError
from synctrack.models.vae import VAE
from synctrack.seeding import TRAIN, item_generator
from synctrack.training.initialise import initialise
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium


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


def test_all_stored_shifts_are_drawn_and_no_others(store_copy):
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
def module(store_copy) -> SyncTrackModule:
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


def test_fewer_validation_segments_than_processes_are_refused(latent_store, monkeypatch):
    """A process without one would leave out the validation in which the others wait for it."""
    monkeypatch.chdir(latent_store)
    data = StemDataModule(config_with())
    data.trainer = SimpleNamespace(world_size=len(data.valid) + 1, global_rank=0)
    with pytest.raises(InputError, match=r"4 segments are fewer than the 5 processes that share them; add songs"):
        data.val_dataloader()
    data.trainer.world_size -= 1
    assert len(data.val_dataloader()) == 1


def test_loss_from_the_store_equals_that_from_audio(module, monkeypatch):
    audio = StemDataModule(config_with())
    freely_shifted = losses(module, audio)
    audio.train.offsets = OFFSETS
    from_audio = [losses(module, audio, epoch) for epoch in range(3)]

    def fail(*_: object) -> None:
        raise AssertionError("audio was read or encoded")

    monkeypatch.setattr(VAE, "encode", fail)
    monkeypatch.setattr(LogMel, "forward", fail)
    monkeypatch.setattr("synctrack.data.dataset.read_audio", fail)
    store = StemDataModule(config_with(), latents="latents")
    for epoch in range(3):
        torch.testing.assert_close(losses(module, store, epoch), from_audio[epoch], atol=1e-4, rtol=0)
    # The tolerance distinguishes other shifts of the segments and another epoch's noise.
    assert (freely_shifted - from_audio[0]).abs().max() > 0.01
    assert (from_audio[1] - from_audio[0]).abs().max() > 0.01


def test_validation_items_equal_those_of_the_audio(module):
    audio, store = StemDataModule(config_with()).valid, StemDataModule(config_with(), latents="latents").valid
    assert len(store) == len(audio) == 4
    for index in range(4):
        item, stored = audio[0, index], store[0, index]
        assert (stored["name"], stored["index"], stored["epoch"]) == (item["name"], index, 0)
        posterior = module.model.vae.encode(module.model.mel(item["waveform"][None]))
        torch.testing.assert_close(stored["mean"].float(), posterior.mean[0], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(stored["std"].float(), posterior.std[0], rtol=1e-3, atol=1e-4)


def train(folder: Path, *keys: str, run: Callable = run_here) -> Path:
    """Run training in `folder`, by `run_in` or `run_here`; gives the run's folder."""
    run(folder, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *keys)
    return folder / "runs" / "synctrack"


@pytest.fixture(scope="module")
def trained(latent_store) -> Path:
    """The run folder of training from the store by two workers, where no audio can be read: the files hold none."""
    folder = latent_store.parent / "trained"
    shutil.copytree(latent_store, folder)
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
    module.model.scale_factor.fill_(1.0)
    latents = [module.model.encode(wave, [generator]) for wave, generator in zip(waves, generators, strict=True)]
    stored = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]["model.scale_factor"]
    torch.testing.assert_close(stored, 1 / torch.cat(latents).std(), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("keys", "run"),
    [
        (["data.params.num_workers=0"], run_here),
        pytest.param(["trainer.devices=2", "data.params.batch_size=1"], run_in, marks=pytest.mark.slow),
    ],
)
def test_training_is_the_same_without_audio_and_for_any_workers_and_devices(trained, store_copy, keys, run):
    folder = train(store_copy, FROM_STORE, *keys, run=run)
    assert len(logged(folder, "val/loss")) == 1
    assert logged(folder, "val/loss") == pytest.approx(logged(trained, "val/loss"), rel=1e-5)


@pytest.mark.parametrize(
    "pattern",
    [
        "train/Groove*1/latents.npy",
        pytest.param("train/manifest.json", marks=pytest.mark.slow),
        pytest.param("train/.Groove*", marks=pytest.mark.slow),
        pytest.param("train/Groove*2/latents.npy", marks=pytest.mark.slow),
    ],
)
def test_encoding_killed_and_restarted_gives_the_same_store(store_copy, pattern):
    command = [sys.executable, str(ROOT / "prepare_data.py"), *map(str, MAKE), "killed"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed = store_copy / "killed"
    # Its outputs go to nobody: one that fills a pipe would wait.
    with ending(
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ) as process:
        wait_for(process, killed, pattern)
    assert contents(killed) != contents(store_copy / "latents"), "killed too late to tell anything"
    kept = {file: file.stat().st_mtime_ns for file in killed.glob("*/Groove*/*")}
    run_here(store_copy, "prepare_data.py", *MAKE, "killed")
    assert contents(killed) == contents(store_copy / "latents")
    assert {file: file.stat().st_mtime_ns for file in kept} == kept


def test_store_goes_on_where_a_song_was_replaced_or_taken_away(store_copy):
    """A file that cannot be decoded is found while it is encoded, after hours; what was encoded before stays."""
    spoiled, gone = (store_copy / "data" / "train" / f"Groove0000{number}" for number in (1, 2))
    whole = (spoiled / "bass.wav").read_bytes()
    samples, rate = soundfile.read(spoiled / "bass.wav")
    soundfile.write(spoiled / "bass.wav", np.where(np.arange(len(samples)) == 9000, np.nan, samples), rate, "FLOAT")
    with pytest.raises(InputError, match=r"bass\.wav: .*replace it or leave it out"):
        write_latents(config_with(), store_copy / "new", OFFSETS)
    made = store_copy / "new" / "train" / "Groove00000" / "latents.npy"
    before = made.stat().st_mtime_ns
    (spoiled / "bass.wav").write_bytes(whole)
    shutil.rmtree(gone)
    report = write_latents(config_with(), store_copy / "new", OFFSETS)
    assert made.stat().st_mtime_ns == before
    assert sorted(path.name for path in (store_copy / "new" / "train").iterdir() if path.is_dir()) == [
        "Groove00000",
        "Groove00001",
    ]
    assert len(StemDataModule(config_with("data.params.path.latents=new")).train.songs) == 2
    # A song that was encoded and has changed since is encoded again, as long as the store is not complete.
    manifest = store_copy / "new" / "train" / "manifest.json"
    facts = json.loads(manifest.read_text())
    names = {key for key in facts["settings"] if not key.startswith(("track ", "beats "))}
    manifest.write_text(json.dumps({"complete": False, "settings": {key: facts["settings"][key] for key in names}}))
    os.utime(store_copy / "data" / "train" / "Groove00000" / "bass.wav", (1, 1))
    report = write_latents(config_with(), store_copy / "new", OFFSETS)
    assert any("Groove00000: its song has changed; it is made again" in note for note in report.notes)
    assert made.stat().st_mtime_ns > before


def test_other_commands_read_audio_even_if_latents_are_set(store_copy):
    data = StemDataModule(config_with(FROM_STORE))
    assert data.valid[0, 0]["waveform"].shape == (len(STEMS), SMALL_AUDIO.segment_samples)
