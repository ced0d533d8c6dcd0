"""eval_synctrack.py as a user runs it: clips are reproducible, and nothing is generated twice or incomplete."""

import importlib.metadata
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.commands import ROOT, run_here, run_in
from helpers.small_model import SMALL_AUDIO, SMALL_KEYS, STEMS, awaken, small_config
from synctrack import locks
from synctrack.checkpoint.loading import header
from synctrack.config import load_config
from synctrack.data.dataset import StemDataset
from synctrack.manifest import installed_versions
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium

EVAL_CONFIG = ROOT / "config" / "synctrack_eval.yaml"
FOLDERS = ("stem_0", "stem_1", "stem_2", "stem_3", "mix")


@pytest.fixture(scope="module")
def folder(grooves, tmp_path_factory) -> Path:
    """A folder with a checkpoint of random weights and, in `out`, the clips made from it in one go."""
    folder = tmp_path_factory.mktemp("generation")
    config = load_config([EVAL_CONFIG], SMALL_KEYS)
    assert config.model.params.unet == small_config().unet
    torch.manual_seed(0)
    module = SyncTrackModule(config)
    awaken(module.ema.module)
    # A scale at which the random networks do not amplify small differences.
    module.model.scale_factor.fill_(4.0)
    saved = {"state_dict": module.state_dict(), "global_step": 7, "synctrack": header("synctrack", config)}
    torch.save(saved, folder / "random.ckpt")
    run_in(folder, "eval_synctrack.py", "--config", EVAL_CONFIG, *keys(grooves), "evaluation.out=out")
    return folder


def keys(grooves: Path) -> list[str]:
    checkpoint = "model.params.ckpt_path=random.ckpt"
    # Training data that are not there: an evaluation does not need them.
    data = ["data.params.path.train_data=nowhere", f"data.params.path.valid_data={grooves / 'valid'}"]
    return [*SMALL_KEYS, *data, checkpoint, "evaluation.steps=3"]


def evaluate(folder: Path, grooves: Path, *more: str, run: Callable = run_here) -> None:
    """Evaluate once more, without the scores."""
    run(folder, "eval_synctrack.py", "--config", EVAL_CONFIG, *keys(grooves), "evaluation.score=false", *more)


def clips(out: Path) -> dict[str, np.ndarray]:
    return {str(file.relative_to(out)): soundfile.read(file)[0] for file in sorted(out.rglob("*.wav"))}


def assert_same_clips(one: Path, other: Path) -> None:
    first, second = clips(one), clips(other)
    assert first.keys() == second.keys()
    for name, waveform in first.items():
        # Griffin-Lim's phases can turn on rounding errors; a clip of another seed is apart by its whole size.
        assert np.abs(second[name] - waveform).mean() < 0.02 * np.abs(waveform).mean() + 1e-4, name


def test_layout_is_one_clip_per_segment_in_every_folder(folder, grooves):
    names = [f"Groove00000_from_{start}.wav" for start in ("0000.00", "0001.28", "0002.56", "0003.84")]
    for tree in (folder / "out", folder / "out" / "targets"):
        for stem in FOLDERS:
            assert sorted(path.name for path in (tree / stem).iterdir()) == names
            info = soundfile.info(tree / stem / names[0])
            assert (info.frames, info.samplerate) == (SMALL_AUDIO.segment_samples, SMALL_AUDIO.sample_rate)
    assert (folder / "out" / "Groove00000_from_0000.00.png").stat().st_size > 10_000


def test_targets_are_the_data_and_mixes_are_sums(folder, grooves):
    data = StemDataset(grooves / "valid", STEMS, SMALL_AUDIO, shift=False, seed=0)
    written = clips(folder / "out" / "targets")
    for index in range(len(data)):
        item = data[0, index]
        stems = np.stack([written[f"stem_{i}/{item['name']}.wav"] for i in range(4)])
        np.testing.assert_allclose(stems, item["waveform"].numpy(), atol=2**-15)
        mix = item["waveform"].numpy().sum(axis=0)
        mix *= min(1.0, 10 ** (-1 / 20) / np.abs(mix).max())
        np.testing.assert_allclose(written[f"mix/{item['name']}.wav"], mix, atol=2**-14)


def test_clips_differ_from_each_other(folder):
    waveforms = [wave for name, wave in clips(folder / "out").items() if name.startswith("stem_0")]
    assert np.abs(waveforms[0] - waveforms[1]).mean() > 0.1 * np.abs(waveforms[0]).mean()


@pytest.mark.parametrize(("devices", "run"), [(1, run_here), (2, run_in)], ids=["single", "devices"])
def test_clips_are_the_same_for_any_batch_size_and_number_of_devices(folder, grooves, tmp_path, devices, run):
    how = [f"trainer.devices={devices}", "data.params.batch_size=1"]
    evaluate(folder, grooves, f"evaluation.out={tmp_path / 'other'}", *how, run=run)
    assert_same_clips(folder / "out", tmp_path / "other")


def test_scores_of_clips_and_targets_are_written(folder):
    scores = json.loads((folder / "out" / "scores.json").read_text())
    assert scores["counts"]["songs"] == scores["reference"]["counts"]["songs"] == 4
    page = (folder / "out" / "report.html").read_text()
    # Four clips and their targets, of four stems each.
    assert page.count("base64,ZkxhQ") == 32
    assert "checkpoint.sha256" in page


def test_manifest_says_how_the_clips_were_made(folder):
    manifest = json.loads((folder / "out" / "manifest.json").read_text())
    assert manifest["complete"] is True
    assert manifest["checkpoint"]["step"] == 7
    assert len(manifest["checkpoint"]["sha256"]) == 64
    assert [clip["index"] for clip in manifest["clips"]] == [0, 1, 2, 3]
    assert len({clip["seed"] for clip in manifest["clips"]}) == 4
    assert manifest["config"]["evaluation"]["steps"] == 3
    assert manifest["versions"]["torch"].startswith("2.")


def test_manifest_names_the_gain_that_keeps_each_mix_from_clipping(folder):
    written, manifest = clips(folder / "out"), json.loads((folder / "out" / "manifest.json").read_text())
    for clip in manifest["clips"]:
        stems = sum(written[f"stem_{i}/{clip['name']}.wav"] for i in range(4))
        mix = written[f"mix/{clip['name']}.wav"]
        np.testing.assert_allclose(mix, clip["mix_gain"] * stems, atol=2**-13)
        assert np.abs(mix).max() <= 10 ** (-1 / 20) + 2**-13
        assert clip["mix_gain"] == pytest.approx(min(1.0, 10 ** (-1 / 20) / np.abs(stems).max()), rel=1e-6)
    assert min(clip["mix_gain"] for clip in manifest["clips"]) < 1


def test_clips_of_another_sampler_go_to_another_folder(folder, grooves, fail, tmp_path):
    checkpoint = f"model.params.ckpt_path={folder / 'random.ckpt'}"
    arguments = ["--config", EVAL_CONFIG, *keys(grooves), checkpoint, f"evaluation.out={folder / 'out'}"]
    line = fail("eval_synctrack.py", *arguments, "evaluation.sampler=dpmpp_2m")
    assert "different settings (sampler)" in line


def test_second_run_generates_only_missing_clips(folder, grooves, tmp_path, caplog):
    out = shutil.copytree(folder / "out", tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    lost = out / "stem_2" / "Groove00000_from_0001.28.wav"
    lost.unlink()
    with caplog.at_level(logging.INFO):
        evaluate(folder, grooves, f"evaluation.out={out}")
    assert "4 clips" in caplog.text
    assert "3 of them there already" in caplog.text
    remade = {path for path in out.rglob("*.wav") if path.stat().st_mtime_ns != before[path]}
    assert {path.name for path in remade} == {lost.name}
    assert_same_clips(folder / "out", out)


@pytest.mark.parametrize("damage", ["empty", "cut", "odd length"])
def test_damaged_clips_are_generated_again(folder, grooves, tmp_path, damage):
    out = shutil.copytree(folder / "out", tmp_path / "out")
    path = out / "stem_2" / "Groove00000_from_0001.28.wav"
    samples, rate = soundfile.read(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    else:
        soundfile.write(path, samples[: 0 if damage == "empty" else -1], rate)
    evaluate(folder, grooves, f"evaluation.out={out}")
    assert_same_clips(folder / "out", out)


def test_second_evaluation_of_a_folder_is_refused_while_the_first_writes(folder, grooves, fail, monkeypatch):
    pytest.importorskip("fcntl", reason="folders are not locked on Windows")
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    out = folder / "out"
    arguments = [*keys(grooves), f"model.params.ckpt_path={folder / 'random.ckpt'}", f"evaluation.out={out}"]
    with locks.locked(out):
        line = fail("eval_synctrack.py", "--config", EVAL_CONFIG, *arguments)
    assert f"{out}: another process" in line


def test_weights_that_are_not_finite_are_named(folder, grooves, fail, tmp_path):
    saved = torch.load(folder / "random.ckpt", weights_only=True)
    name = next(name for name in saved["state_dict"] if name.startswith("ema.module.") and name.endswith(".weight"))
    saved["state_dict"][name].view(-1)[0] = float("nan")
    torch.save(saved, tmp_path / "nan.ckpt")
    arguments = [*keys(grooves), "model.params.ckpt_path=nan.ckpt", "evaluation.out=out"]
    line = fail("eval_synctrack.py", "--config", EVAL_CONFIG, *arguments)
    assert f"nan.ckpt: {name} holds values that are not finite" in line
    assert not (tmp_path / "out").exists()


def test_clips_of_other_settings_are_not_mixed(folder, grooves, fail):
    out = folder / "out"
    checkpoint = f"model.params.ckpt_path={folder / 'random.ckpt'}"
    arguments = ["--config", EVAL_CONFIG, *keys(grooves), checkpoint, f"evaluation.out={out}"]
    line = fail("eval_synctrack.py", *arguments, "seed=1")
    assert line == f"error: {out}: was created with different settings (seed); set another evaluation.out"
    line = fail("eval_synctrack.py", *arguments, "evaluation.steps=2")
    assert "different settings (sampler)" in line


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["model.params.ckpt_path=gone.ckpt"], "gone.ckpt"),
        (["model.params.ckpt_path=null"], "model.params.ckpt_path: is not set"),
        (["model.params.unet.time_attention_scope=bin"], "time_attention_scope: frame in the file, bin here"),
        (["data.params.path.stems=[drums, bass, guitar, piano]"], "stems"),
        (["mode=train"], "run train_synctrack.py"),
        (["evaluation.steps=0"], "evaluation.steps: 0 is not between 1 and 1000"),
        (["evaluation.eta=-1"], "evaluation.eta: -1.0 is not between 0"),
        (["evaluation.eta=inf"], "evaluation.eta: inf is not"),
        (["evaluation.eta=nan"], "evaluation.eta: nan is not"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(folder, grooves, fail, wrong, message):
    checkpoint = f"model.params.ckpt_path={folder / 'random.ckpt'}"
    line = fail("eval_synctrack.py", "--config", EVAL_CONFIG, *keys(grooves), checkpoint, *wrong)
    assert message in line


def test_versions_leave_out_what_is_not_installed(monkeypatch):
    installed = importlib.metadata.version

    def version(name: str) -> str:
        if name == "pytorch_lightning":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert set(installed_versions("torch", "pytorch_lightning", "numpy")) == {"torch", "numpy"}
