"""Training with conditions, as a user runs it: from weights without them, losses by task, stores, devices, clicks."""

import shutil
from pathlib import Path

import pytest
import torch
from torch.utils.data import default_collate

from helpers.commands import run_here, run_in
from helpers.latent_store import KEYS, OFFSETS, TRAIN_CONFIG, config_with
from helpers.runs import logged
from helpers.small_model import SMALL_AUDIO, awaken
from synctrack.audio.beat_files import read_beats
from synctrack.audio.click import click_track
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError
from synctrack.seeding import TRAIN
from synctrack.training.conditions import conditions_of, drawn_given
from synctrack.training.initialise import initialise
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium

TOLD = "model.params.conditioning={context: true, signals: [click, mix]}"
TASKS = ("nothing", "stems", "span", "prefix", "click", "mix")


def train(folder: Path, run_dir: str, *keys: str) -> Path:
    """Run training in `folder`, in this process; gives the run's folder."""
    run_here(folder, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, f"run_dir={run_dir}", *keys)
    return folder / run_dir


@pytest.fixture(scope="module")
def place(latent_store, tmp_path_factory) -> Path:
    """A folder with `data`, `vae.ckpt`, a store `told` with signals, and a run `plain` without conditions."""
    folder = tmp_path_factory.mktemp("conditioned") / "place"
    shutil.copytree(latent_store, folder)
    arguments = ["latents", "--config", TRAIN_CONFIG, *KEYS, TOLD, "--offsets", OFFSETS, "--out", "told"]
    run_here(folder, "prepare_data.py", *arguments)
    train(folder, "plain")
    return folder


@pytest.fixture
def here(place, monkeypatch) -> Path:
    monkeypatch.chdir(place)
    return place


def test_training_from_weights_without_conditions_begins_where_they_ended(place):
    """Validated before its first step, nothing told: the loss is theirs, whatever else can be told."""
    keys = ["mode=validate_and_train", "model.params.ckpt_path=plain/checkpoints/last.ckpt", "trainer.max_steps=1"]
    still = ["model.params.base_learning_rate=0.0", "trainer.validation_every_n_steps=1"]
    told = train(place, "from_plain", TOLD, *keys, *still)
    plain = logged(place / "plain", "val/loss")[2]
    assert logged(told, "val/loss_nothing")[0] == pytest.approx(plain, rel=1e-5)
    weight = torch.load(told / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert not weight["model.unet.conv_condition.weight"].any()


def test_validation_reports_every_task_and_their_mean(place):
    run = train(place, "told_run", TOLD, "trainer.max_steps=6")
    for name in ("val/loss", "val/loss_ema"):
        losses = [logged(run, f"{name}_{task}") for task in TASKS]
        assert all(set(loss) == {2, 5} for loss in losses)
        mean = sum(loss[5] for loss in losses) / len(losses)
        assert logged(run, name)[5] == pytest.approx(mean, rel=1e-5)
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["model.unet.conv_condition.weight"].abs().max() > 0
    assert state["ema.module.conv_condition.weight"].abs().max() > 0


def test_losses_from_the_store_are_those_from_audio(here):
    torch.manual_seed(0)
    module = SyncTrackModule(config_with(TOLD))
    initialise(module.model, module.ema, module.config.model.params)
    awaken(module.model.unet)
    module.model.scale_factor.fill_(5.0)
    audio = StemDataModule(config_with(TOLD)).train
    audio.offsets = OFFSETS
    losses = []
    for data in (audio, StemDataModule(config_with(TOLD), latents="told").train):
        batch = default_collate([data[0, index] for index in range(len(data))])
        generators = module.generators(batch, TRAIN)
        with torch.no_grad():
            latent = module.latent(batch, generators)
            given = drawn_given(batch, module.config.model.params.given, 2, 0, 4, latent.shape[3])
            conditions = module.conditions(given, latent, batch)
            losses.append(module.model.loss(latent, generators, conditions=conditions))
            untold = module.model.loss(latent, module.generators(batch, TRAIN))
    torch.testing.assert_close(losses[1], losses[0], atol=2e-3, rtol=0)
    assert (losses[0] - untold).abs().max() > 0.01


def test_a_store_without_the_signals_is_refused(here, fail):
    paths = [
        f"data.params.path.latents={here / 'latents'}",
        f"data.params.path.train_data={here / 'data/train'}",
        f"data.params.path.valid_data={here / 'data/valid'}",
        f"model.params.vae_ckpt_path={here / 'vae.ckpt'}",
    ]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *paths, TOLD)
    assert "holds no click, mix" in line


def test_a_store_with_more_signals_than_asked_for_is_taken(here):
    only_mix = config_with("model.params.conditioning={context: true, signals: [mix]}")
    item = StemDataModule(only_mix, latents="told").train[0, 0]
    assert "mix_mean" in item
    assert "click_mean" not in item
    assert StemDataModule(config_with(), latents="told").train[0, 0].keys() >= {"mean", "std"}


def test_other_beats_than_those_of_the_store_are_noticed(place, tmp_path, monkeypatch):
    shutil.copytree(place, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    file = next(Path("data/train").glob("*/beats.json"))
    file.write_text(file.read_text().replace("0.", "1.", 1))
    data = StemDataModule(config_with(TOLD), latents="told")
    with pytest.raises(InputError, match="created with different settings"):
        data.require("train")


def test_songs_without_beats_are_counted_and_never_give_a_click(place, tmp_path, monkeypatch, caplog):
    shutil.copytree(place / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    song = sorted(Path("data/train").glob("*/"))[1]
    (song / "beats.json").unlink()
    data = StemDataModule(config_with(TOLD)).train
    assert "1 of 3 songs have no beats.json and never give a click" in caplog.text
    batch = default_collate([data[0, index] for index in range(len(data))])
    without = torch.tensor([data.segments[index].song.name == song.name for index in range(len(data))])
    assert without.sum() == 4
    torch.testing.assert_close(batch["click_given"], ~without)
    assert not batch["click"][without].any()
    config = config_with(TOLD, "model.params.given.click=1.0").model.params
    given = drawn_given(batch, config.given, 2, 0, 4, 8)
    latent = torch.zeros(len(without), 4, 4, 8, 4)
    signals = {name: latent[:, 0] for name in config.conditioning.signals}
    presence = conditions_of(given, latent, config.conditioning, signals, batch).presence["click"]
    torch.testing.assert_close(presence, (~without).float()[:, None].expand(-1, 8))


def test_the_click_lies_on_the_beats_of_the_shifted_segment(here):
    data = StemDataModule(config_with(TOLD)).train
    rate = SMALL_AUDIO.sample_rate
    start = data.start(3, 1)
    song = data.segments[1].song
    beats = read_beats(song.beats)
    whole = click_track(beats.beats, beats.downbeats, song.samples, rate)
    expected = torch.from_numpy(whole[start : start + SMALL_AUDIO.segment_samples])
    click = data[3, 1]["click"]
    # Rounding to samples happens before the shift there and after it here.
    torch.testing.assert_close(click.abs().cumsum(0), expected.abs().cumsum(0), rtol=0.02, atol=0.5)
    assert click.abs().max() > 0.3


@pytest.mark.slow
def test_two_devices_train_as_one_with_the_double_batch(place):
    keys = [TOLD, "data.params.path.latents=told"]
    run_in(place, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *keys, "run_dir=one")
    two = ["run_dir=two", "trainer.devices=2", "data.params.batch_size=1"]
    run_in(place, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, *keys, *two)
    for task in TASKS:
        one, other = (logged(place / run, f"val/loss_ema_{task}") for run in ("one", "two"))
        assert other == pytest.approx(one, rel=1e-4)
