"""Beats of Slakh2100 trees from their MIDI files, against times computed by hand."""

import json
import shutil
import sys
from pathlib import Path

import mido
import numpy as np
import pytest

from helpers.sources import FOUR_CLASSES, save_slakh_song, save_song
from synctrack.data.sources.slakh import write_slakh

pytestmark = pytest.mark.medium

# At 100 ticks per quarter: two quarters at 120 BPM, then 240 BPM; in three from the start.
CONDUCTOR = [
    mido.MetaMessage("time_signature", numerator=3, denominator=4),
    mido.MetaMessage("set_tempo", tempo=500000),
    mido.MetaMessage("set_tempo", tempo=250000, time=200),
]
NOTES = [mido.Message("note_on", channel=0, note=40, velocity=90, time=300)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five songs of two seconds: with all_src.mid, files of stems, a steady tempo, a damaged file, none."""
    root = tmp_path / "slakh"
    for number in range(1, 6):
        save_slakh_song(root / "train" / f"Track{number}", FOUR_CLASSES)
    save_song(root / "train" / "Track1" / "all_src.mid", CONDUCTOR, NOTES)
    save_song(root / "train" / "Track1" / "MIDI" / "S00.mid", NOTES)
    save_song(root / "train" / "Track2" / "MIDI" / "S00.mid", NOTES)
    save_song(root / "train" / "Track2" / "MIDI" / "S01.mid", [*CONDUCTOR, *NOTES])
    (root / "train" / "Track2" / "MIDI" / "S02.mid").write_text("damaged")
    (root / "train" / "Track2" / "MIDI" / "._S01.mid").write_text("of another system")
    save_song(root / "train" / "Track3" / "all_src.mid", [mido.MetaMessage("set_tempo", tempo=400000), *NOTES])
    (root / "train" / "Track4" / "all_src.mid").write_text("damaged")
    return root


def beats_of(out: Path, song: str) -> dict:
    return json.loads((out / "train" / song / "beats.json").read_text())


def test_beats_follow_the_tempo_map_to_the_end_of_the_audio(root, tmp_path):
    report = write_slakh(root, tmp_path / "out", ["train"], workers=1)
    for song in ("Track1", "Track2"):
        beats = beats_of(tmp_path / "out", song)
        # The MIDI ends at 1.25 s, the audio at 2 s.
        assert beats["beats"] == [0.0, 0.5, 1.0, 1.25, 1.5, 1.75]
        assert beats["downbeats"] == [0.0, 1.25]
        assert beats["meter"] == 3
        assert "tempo" not in beats
    steady = beats_of(tmp_path / "out", "Track3")
    np.testing.assert_allclose(steady["beats"], np.arange(5) * 0.4)
    assert steady["tempo"] == pytest.approx(150.0)
    assert steady["downbeats"] == [0.0, 1.6]
    assert steady["meter"] == 4
    assert report.songs == 5
    first, second = report.notes
    assert first.startswith("Track4 has no beats.json: ")
    assert "Track4/all_src.mid: is not a readable MIDI file" in first
    assert second == f"{tmp_path / 'out' / 'train'}: 2 of 5 songs have no beats.json"
    assert not list((tmp_path / "out").rglob("Track[45]/beats.json"))


def test_songs_that_were_complete_get_their_beats(root, tmp_path):
    out = tmp_path / "out"
    write_slakh(root, out, ["train"], workers=1)
    whole = {path: path.read_bytes() for path in out.rglob("*.*")}
    for path in out.rglob("beats.json"):
        path.unlink()
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*.wav")}
    report = write_slakh(root, out, ["train"], workers=1)
    assert len(report.notes) == 2
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == whole
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    # As prepared by hand, or by a tracker.
    (out / "train" / "Track1" / "beats.json").write_text("[0, 1]")
    write_slakh(root, out, ["train"], workers=1)
    assert (out / "train" / "Track1" / "beats.json").read_text() == "[0, 1]"


def test_settings_of_the_manifest_are_those_of_before(root, tmp_path):
    write_slakh(root, tmp_path / "out", ["train"], workers=1)
    settings = json.loads((tmp_path / "out" / "train" / "manifest.json").read_text())["settings"]
    assert list(settings) == ["stems", "sample_rate", "missing_stem", "suffix"]


def test_missing_mido_is_said_in_one_line_and_beats_come_later(root, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mido", None)
        report = write_slakh(root, out, ["train"], workers=0)
    lines = [line for line in capsys.readouterr().err.splitlines() if "mido" in line]
    assert len(lines) == 1
    assert "pip install 'synctrack[midi]'" in lines[0]
    assert report.notes == [f"{out / 'train'}: 5 of 5 songs have no beats.json"]
    report = write_slakh(root, out, ["train"], workers=0)
    assert report.notes[-1] == f"{out / 'train'}: 2 of 5 songs have no beats.json"
    assert beats_of(out, "Track1")["downbeats"] == [0.0, 1.25]


def test_trees_without_midi_need_no_mido(root, tmp_path, monkeypatch, capsys):
    for path in (root / "train").glob("*/all_src.mid"):
        path.unlink()
    shutil.rmtree(root / "train" / "Track1" / "MIDI")
    shutil.rmtree(root / "train" / "Track2" / "MIDI")
    monkeypatch.setitem(sys.modules, "mido", None)
    report = write_slakh(root, tmp_path / "out", ["train"], workers=0)
    assert report.notes == [f"{tmp_path / 'out' / 'train'}: 5 of 5 songs have no beats.json"]
    assert "mido" not in capsys.readouterr().err


def test_command_prints_how_many_songs_have_no_beats(root, tmp_path, run):
    result = run("prepare_data.py", "slakh", "--root", root, "--split", "train", "--out", "out", "--workers", 1)
    lines = result.stdout.splitlines()
    assert lines[-2:] == ["out/train: 2 of 5 songs have no beats.json", "5 songs"]
