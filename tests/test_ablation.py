"""experiments/stem_identity.py names stems as it should, and experiments/ablation.py compares four models with it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ablation
import stem_identity
from helpers.commands import ROOT, run_in
from helpers.small_model import SMALL_KEYS, STEMS
from synctrack.audio.files import write_wav
from synctrack.audio.mel import AudioFormat
from synctrack.config import load_config
from synctrack.data.sources.grooves import write_grooves
from synctrack.metrics.stem_identity import features, share, train

pytestmark = pytest.mark.medium

AUDIO = AudioFormat(frames=512)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Grooves for training in `train`, others in `test`, and those of `test` as stem folders in `clips`."""
    folder = tmp_path_factory.mktemp("stems")
    write_grooves(folder / "train", 8, 2.1 * AUDIO.segment_seconds, AUDIO.sample_rate, seed=0, workers=0)
    write_grooves(folder / "test", 6, 1.1 * AUDIO.segment_seconds, AUDIO.sample_rate, seed=1, workers=0)
    for number, clip in enumerate(stem_identity.read_clips(folder / "test", STEMS, AUDIO)):
        for i, wave in enumerate(clip):
            write_wav(folder / "clips" / f"stem_{i}" / f"{number}.wav", wave, AUDIO.sample_rate)
    return folder


@pytest.fixture(scope="module")
def classifier(data):
    return train(stem_identity.read_clips(data / "train", STEMS, AUDIO), STEMS, AUDIO)


def named(classifier, clips) -> dict:
    return share(classifier, clips, STEMS, AUDIO)


def read(folder: Path) -> list[np.ndarray]:
    return list(stem_identity.read_clips(folder, STEMS, AUDIO))


def test_gain_does_not_change_the_features(data):
    for wave in read(data / "test")[0]:
        plain = features(wave, AUDIO)
        for gain in (0.01, 3.0, -1.0):
            np.testing.assert_allclose(features(np.float32(gain) * wave, AUDIO), plain, atol=1e-3)


def test_held_out_stems_are_classified_correctly(classifier, data):
    result = named(classifier, read(data / "test"))
    assert result["share"] >= 0.9
    assert result["clips"] == 6
    assert result["silent"] == 0
    assert np.sum(result["confusion"], axis=1).tolist() == 4 * [6]


def test_clips_read_from_stem_folders_equal_their_data(classifier, data):
    assert stem_identity.clip_format(data / "clips") == AUDIO
    assert stem_identity.clip_format(data / "test") == AudioFormat()
    np.testing.assert_allclose(np.stack(read(data / "clips")), np.stack(read(data / "test")), atol=2**-15)


def test_faint_noise_does_not_decide(classifier, data):
    generator = np.random.default_rng(0)
    noisy = [
        clip + generator.normal(0, 0.03 * clip.std(), clip.shape).astype(np.float32) for clip in read(data / "test")
    ]
    assert named(classifier, noisy)["share"] >= 0.9


def test_permuted_stems_are_misclassified(classifier, data):
    right = named(classifier, read(data / "test"))["stems"]
    swapped = named(classifier, [clip[[1, 0, 2, 3]] for clip in read(data / "test")])
    assert swapped["stems"]["bass"] <= 0.1
    assert swapped["stems"]["drums"] <= 0.1
    assert swapped["stems"]["piano"] == right["piano"]
    assert named(classifier, [np.roll(clip, 1, axis=0) for clip in read(data / "test")])["share"] <= 0.1


def test_silence_is_misclassified_and_noise_is_assigned_to_one_stem(classifier):
    samples = AUDIO.segment_samples
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 4, samples)).astype(np.float32)
    assert named(classifier, noise)["share"] == pytest.approx(0.25)
    silence = named(classifier, np.zeros((2, 4, samples), np.float32))
    assert silence["share"] == 0
    assert silence["silent"] == 8
    assert silence["confusion"] == 4 * [[0, 0, 0, 0, 2]]
    assert np.isfinite(features(np.zeros(samples, np.float32), AUDIO)).all()


def test_the_command_prints_both_shares(data, tmp_path):
    folders = ["--data", data / "train", "--held-back", data / "test", "--folder", data / "clips"]
    printed = run_in(tmp_path, "experiments/stem_identity.py", *folders, "--json", "named.json").stdout
    assert printed.count("classified correctly, chance 25%; 6 clips x 4 stems, 0 silent") == 2
    results = json.loads((tmp_path / "named.json").read_text())
    assert list(results) == ["held-back data", "generated"]
    assert results["generated"]["share"] >= 0.9


def test_wrong_folders_are_named(data, fail):
    folders = ["--data", data / "train", "--held-back", data / "test", "--folder"]
    line = fail("experiments/stem_identity.py", *folders, data / "clips", "--stems", "bass", "drums")
    assert line == f"error: {data / 'clips'}: has 6 clips of 4 stems, not of 2; see --stems"
    line = fail("experiments/stem_identity.py", *folders, "gone")
    assert line == "error: gone: is not a folder; name one of generated stems, or a data set"


def example_row(irs: float | None) -> dict:
    """A row of scores; IRS and its interval are given, all other values are fixed."""
    values = {"avg_interval_std": irs, "mean_beat_ratio": 0.5, "avg_error": 0.2}
    values["interval_95"] = {"avg_interval_std": [irs and irs / 2, irs and irs * 2]}
    values["interval_95"] |= {"mean_beat_ratio": (0.4, 0.6), "avg_error": (0.1, 0.3)}
    values["chance_floor"] = {"mean_beat_ratio": 0.41, "avg_error": None}
    share = {"share": 0.75, "interval_95": (0.7, 0.8), "stems": dict.fromkeys(STEMS, 0.75), "silent": 2}
    return {"protocols": {"paper": values, "corrected": values}, "stems_named": share, "val_loss_ema": None}


def test_table_is_aligned_and_shows_all_values():
    rows = {"full": example_row(0.1) | {"val_loss_ema": 0.12345}, "without global attention": example_row(None)}
    lines = ablation.table(rows | {"data": example_row(0.05)}).splitlines()
    assert len({len(line) for line in lines}) == 1
    heading, _, full, without, data, chance = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert heading[1:5] == ["IRS ↓ paper", "CBS ↑ paper", "CBD ↓ paper", "IRS ↓ corrected"]
    assert full[:3] == ["full", "0.100 (0.050 to 0.200)", "0.500 (0.400 to 0.600)"]
    assert full[7:] == ["75% (70% to 80%)", "2", "0.1235"]
    assert [without[i] for i in (0, 1, 9)] == ["without global attention", "-", "-"]
    assert data[0] == "data"
    assert chance == ["chance", "-", "0.410", "-", "-", "0.410", "-", "25%", "-", "-"]


def test_last_logged_value_is_that_of_the_resumed_run(tmp_path):
    for part, rows in enumerate(["1,0.5,\n3,,0.9\n", "5,0.4,\n7,,0.7\n8,0.3,\n"]):
        log = tmp_path / "csv" / f"version_{part}" / "metrics.csv"
        log.parent.mkdir(parents=True)
        log.write_text("step,train/loss,val/loss_ema\n" + rows)
    assert ablation.last_logged(tmp_path, "val/loss_ema") == 0.7
    assert ablation.last_logged(tmp_path / "csv", "val/loss_ema") is None


@pytest.mark.slow
def test_four_small_models_are_trained_and_scored_once(grooves, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    paths = [f"data.params.path.{split}_data={grooves / split}" for split in ("train", "valid")]
    first_stage = ["run_dir=vae", "trainer.max_steps=2", "trainer.validation_every_n_steps=2"]
    crop = "first_stage={crop_frames: 16, learning_rate: 1e-3}"
    vae_config, config = ROOT / "config" / "vae_train.yaml", ROOT / "config" / "synctrack_train.yaml"
    run_in(tmp_path, "train_first_stage.py", "--config", vae_config, *SMALL_KEYS, *paths, *first_stage, crop)
    keys = [*SMALL_KEYS, *paths, "model.params.vae_ckpt_path=vae/checkpoints/last.ckpt", "evaluation.steps=2"]
    keys += ["model.params.vocoder_ckpt_path=null", "trainer.validation_every_n_steps=1", "validation.clips=0"]

    def run(steps: int, check: bool = True):
        limits = ["--out", "out", "--steps", steps, "--clips", 2]
        return run_in(tmp_path, "experiments/ablation.py", "--config", config, *keys, *limits, check=check)

    out = tmp_path / "out"
    stopped = ["run_dir=out/full", "trainer.max_steps=1", "model.params.ckpt_path=null"]
    run_in(tmp_path, "train_synctrack.py", "--config", config, *keys, *stopped)
    first = run(2)
    assert (out / "full" / "csv" / "version_1").is_dir()
    assert "| without time-specific attention" in first.stdout
    assert (out / "ablation.md").read_text() in first.stdout
    results = json.loads((out / "ablation.json").read_text())
    assert list(results["models"]) == [*ablation.MODELS.values(), "data"]
    assert all(results["models"][title]["val_loss_ema"] > 0 for title in ablation.MODELS.values())
    assert {row["stems_named"]["clips"] for row in results["models"].values()} == {2}
    unets = {name: load_config([out / name / "config.yaml"]).model.params.unet for name in ablation.MODELS}
    switches = [(u.global_attention, u.time_attention, u.instrument_prior) for u in unets.values()]
    assert switches == [(True, True, True), (False, True, True), (True, False, True), (True, True, False)]

    made = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*") if path.suffix in (".ckpt", ".wav")}
    shutil.rmtree(out / "full" / "generated")
    run(2)
    again = json.loads((out / "ablation.json").read_text())
    assert again["models"]["data"] == results["models"]["data"]
    changed = {path for path, time in made.items() if path.stat().st_mtime_ns != time}
    assert changed == {path for path in made if path.is_relative_to(out / "full" / "generated")}
    refused = run(3, check=False)
    assert refused.returncode == 2
    assert refused.stderr.splitlines()[-1].startswith(
        "error: out: holds an ablation with other settings (steps 2, now 3)"
    )
