"""experiments/front_page.py: the numbers in the README files are those of docs/results."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import ablation_report
import front_page
import song_figure
from helpers.ablation_runs import Folder, made_up, write_measured
from helpers.commands import ROOT
from synctrack import Song
from synctrack.audio.beats import Beats
from synctrack.audio.mel import AudioFormat
from synctrack.errors import InputError


@pytest.fixture
def root(tmp_path) -> Path:
    """Texts with empty blocks, and no results."""
    for path, name in front_page.BLOCKS:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"before\n<!-- measured: {name} -->\n<!-- end of {name} -->\nafter\n")
    (tmp_path / front_page.RESULTS).mkdir(parents=True)
    return tmp_path


def test_numbers_of_the_committed_texts_are_those_of_the_results():
    assert front_page.differing(ROOT, write=False) == []


def test_steering_rows_are_the_means_of_the_songs_values():
    content = front_page.load(ROOT, "steering")
    text = (ROOT / "README.md").read_text()
    known = [(question, name) for question, name in front_page.STEERED if question in content["results"]]
    assert len(known) >= 6
    for question, name in known:
        result = content["results"][question]
        (measure,) = (m for m in result["measures"] if m["name"] == name)
        mean = np.mean(measure["values"])
        assert f"| {result['title']}: {name} | {mean:.{1 if 'dB' in name else 3}f} (" in text


def test_wrong_number_is_found_and_filled_in_again(root):
    shutil.copy(ROOT / front_page.RESULTS / "steering.json", root / front_page.RESULTS)
    assert len(front_page.differing(root, write=True)) == 3
    assert front_page.differing(root, write=False) == []
    path = root / "README.md"
    good = path.read_text()
    assert good.startswith("before\n")
    assert good.endswith("\nafter\n")
    content = json.loads((root / front_page.RESULTS / "steering.json").read_text())
    number = content["results"]["click"]["measures"][0]["generated"].split()[0]
    path.write_text(good.replace(number, "0.999"))
    assert front_page.differing(root, write=False) == ["README.md (what it can do)"]
    front_page.differing(root, write=True)
    assert path.read_text() == good


def test_missing_results_are_called_not_measured(root):
    front_page.differing(root, write=True)
    assert "| what the attentions are worth | not measured yet |" in (root / "README.md").read_text()
    assert "**Not run yet at this size.**" in (root / "experiments" / "README.md").read_text()


def test_ablation_rows_are_of_the_last_step_that_all_variants_have(root):
    measured = [made_up("full", 500), made_up("full", 1000), made_up("bin_scope", 500)]
    write_measured(root / "run", measured, made_up("data", 0))
    ablation_report.write_report(Folder(root / "run", [500, 1000, 1500]))
    shutil.copy(root / "run" / "ablation.json", root / front_page.RESULTS)
    front_page.differing(root, write=True)
    text = (root / "README.md").read_text()
    full, other = (np.array(measured[i]["values"]["cbs"]) for i in (0, 2))
    assert f"| ablation, full, 500 steps (CBS) | {full.mean():.3f} (" in text
    assert f"; minus full {(other - full).mean():+.3f} (" in text
    assert "1,000 steps" not in text


def test_smallest_detected_fault_is_the_one_from_which_all_are_detected(root):
    lines = ["fault,size,protocol,metric,score,worse_low,worse_high"]
    lines += [
        f"delay,{size},corrected,CBS,0.5,{low},1" for size, low in ((0.0, 0), (0.01, 0.1), (0.02, -1), (0.05, 0.1))
    ]
    lines += ["drift,0.005,corrected,CBS,0.5,-0.1,1", "delay,0.01,paper,CBS,0.5,1,1"]
    (root / front_page.RESULTS / "calibration.csv").write_text("\n".join(lines) + "\n")
    text = front_page.front_table(root)
    assert "| metrics: delay between stems that CBS detects | from 0.05 s on |" in text
    assert "| metrics: drift between stems that CBS detects | not detected |" in text


def test_results_of_other_weights_are_marked(root):
    shutil.copy(ROOT / front_page.RESULTS / "steering.json", root / front_page.RESULTS)
    weights = root / "ckpt" / "demo" / "synctrack.safetensors"
    assert front_page.OLD_WEIGHTS not in front_page.front_table(root)
    weights.write_bytes(b"others")
    assert front_page.front_table(root).endswith(front_page.OLD_WEIGHTS)
    assert front_page.steering_table(root).endswith(front_page.OLD_WEIGHTS)


def test_taken_results_are_copied_and_those_with_absolute_paths_refused(root):
    with pytest.raises(InputError, match=r"--take demo: runs/demo/scores.json is not there; run make demo first"):
        front_page.take(root, ["demo"])
    source = root / "runs" / "demo" / "scores.json"
    source.parent.mkdir(parents=True)
    source.write_text('{"folder": "/somewhere"}')
    with pytest.raises(InputError, match="absolute path"):
        front_page.take(root, ["demo"])
    source.write_text('{"folder": "runs/demo"}')
    front_page.take(root, ["demo"])
    assert (root / front_page.RESULTS / "demo.json").read_text() == source.read_text()


def test_text_without_its_block_is_named(root):
    (root / "README.md").write_text("nothing")
    with pytest.raises(InputError, match=r"README.md: holds no block between <!-- measured: what it can do -->"):
        front_page.differing(root, write=True)


def test_picture_of_a_song_is_a_small_png(tmp_path):
    audio = AudioFormat(frames=128)
    wave = np.random.default_rng(0).normal(0, 0.1, audio.segment_samples).astype(np.float32)
    song = Song({"bass": wave, "drums": wave}, audio.sample_rate, beats=Beats([0.1, 0.6, 1.1], [0.1]))
    song_figure.write_figure(tmp_path / "song.png", song, audio, "title")
    content = (tmp_path / "song.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert len(content) < 300_000
