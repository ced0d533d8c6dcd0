"""`synctrack generate` with steering and `synctrack separate`, as a user runs them."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from helpers.commands import ROOT
from helpers.steered import RATE, STEMS, noise_song, save_steered
from synctrack import load_song, locks
from synctrack.audio.beat_files import regular_beats
from synctrack.checkpoint.pretrained import find_recorded
from synctrack.cli import main as command

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_steered(tmp_path_factory.mktemp("model") / "model.safetensors", trained_bpm=[70, 160])


@pytest.fixture
def synctrack(tmp_path, checkpoint, monkeypatch, capsys, caplog):
    """Run the command in an empty folder that holds a song: synctrack("generate", "--bpm", 120) -> what it says."""
    noise_song(2.56, beats=regular_beats(180, 3, 2.56)).save(tmp_path / "song")
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")

    def call(name: str, *arguments: object, status: int = 0) -> str:
        fixed = [name, *map(str, arguments), "--model", str(checkpoint), "--device", "cpu"]
        fixed += [] if "--again" in arguments else ["--steps", "2"]
        monkeypatch.setattr(sys, "argv", ["synctrack", *fixed])
        ended = 0
        try:
            command.main()
        except SystemExit as stopped:
            ended = stopped.code
        said = capsys.readouterr().err + caplog.text
        assert ended == status, said
        return said

    return call


def test_command_of_its_own_process_separates_with_one_line_of_output(tmp_path, checkpoint):
    noise_song(1.0).save(tmp_path / "song")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    call = [sys.executable, "-m", "synctrack.cli.main", "separate", "song/mix.wav", "--out", "stems", "--steps", "1"]
    call += ["--model", str(checkpoint), "--device", "cpu"]
    result = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    assert result.stdout == "stems\n"
    assert "generating: 100%" in result.stderr


def test_bars_at_a_tempo_for_a_music_program(synctrack, tmp_path):
    how = ("--daw", "--format", "wav24", "--sample-rate", 48000, "--report")
    synctrack("generate", "--out", "out", "--bpm", 150, "--bars", 2, *how)
    folder = tmp_path / "out" / "clip_000"
    info = soundfile.info(folder / "02_drums.wav")
    assert (info.frames, info.samplerate, info.subtype) == (round(2 * 4 * 60 / 150 * 48000), 48000, "PCM_24")
    assert (folder / "00_beats.mid").is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    stems = [f"0{number}_{stem}" for number, stem in enumerate(STEMS, start=1)]
    # The mix, 00_mix.wav, is not one of the stems.
    assert f"4 stems: {', '.join(stems)}; 1 songs: clip_000" in page
    assert "base64,ZkxhQ" in page
    assert "bars: 2" in re.sub(r"</th><td>", ": ", page)


def test_given_stem_is_the_same_file_content_and_the_others_are_made(synctrack, tmp_path):
    synctrack("generate", "--out", "out", "--clips", 2, "--given", "drums=song/drums.wav")
    stored = [soundfile.read(tmp_path / place / "drums.wav", dtype="int16")[0] for place in ("song", "out/clip_001")]
    assert (stored[0] == stored[1]).all()
    clips = [load_song(tmp_path / "out" / f"clip_00{clip}") for clip in (0, 1)]
    assert np.abs(clips[0]["bass"] - clips[1]["bass"]).max() > 1e-4


def test_another_take_of_bars_leaves_the_rest(synctrack, tmp_path):
    said = synctrack("generate", "--out", "out", "--from", "song", "--redo", "piano", "--bars", "2-2")
    old, new = load_song(tmp_path / "song"), load_song(tmp_path / "out" / "clip_000")
    assert (new["bass"] == old["bass"]).all()
    assert (new["piano"][: round(0.97 * RATE)] == old["piano"][: round(0.97 * RATE)]).all()
    assert (new["piano"] != old["piano"]).any()
    steering = json.loads((tmp_path / "out" / "clip_000" / "song.json").read_text())["steering"]
    assert steering["redo"] == ["piano"]
    assert steering["bars"] == "2-2"
    # One bar counts the whole work.
    assert "generating: 100%" in said


def test_extension_variation_and_loop(synctrack, tmp_path):
    synctrack("generate", "--out", "longer", "--from", "song", "--extend", 1)
    assert load_song(tmp_path / "longer" / "clip_000").num_samples == round(3.56 * RATE)
    synctrack("generate", "--out", "other", "--from", "song", "--strength", "drums=0.5", "piano=1")
    assert (load_song(tmp_path / "other" / "clip_000")["bass"] == load_song(tmp_path / "song")["bass"]).all()
    synctrack("generate", "--out", "loop", "--bpm", 120, "--bars", 1, "--loop", "--meter", 3)
    assert load_song(tmp_path / "loop" / "clip_000").num_samples == round(1.5 * RATE)


def test_complete_clips_are_kept_and_other_steering_is_refused(synctrack):
    synctrack("generate", "--out", "out", "--bpm", 120, "--bars", 1)
    again = synctrack("generate", "--out", "out", "--bpm", 120, "--bars", 1)
    assert "1 of 1 clips are there already" in again
    refused = synctrack("generate", "--out", "out", "--bpm", 130, "--bars", 1, status=2)
    assert "was created with different settings (bpm 120.0, now 130.0)" in refused


@pytest.mark.parametrize(
    "damage",
    ["song.json", "cut drums.wav", *(pytest.param(d, marks=pytest.mark.slow) for d in ("mix.wav", "empty bass.wav"))],
)
def test_damaged_clip_is_generated_again(synctrack, tmp_path, damage):
    arguments = ("generate", "--out", "out", "--bpm", 120, "--bars", 1)
    synctrack(*arguments)
    folder = tmp_path / "out" / "clip_000"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = folder / damage.split()[-1]
    path.write_bytes(b"" if damage.startswith("empty") else before[path.name][:-100])
    synctrack(*arguments)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_second_process_on_a_folder_is_refused(synctrack, tmp_path, monkeypatch):
    pytest.importorskip("fcntl", reason="folders are not locked on Windows")
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locks.locked(tmp_path / "out"):
        refused = synctrack("generate", "--out", "out", "--bpm", 120, "--bars", 1, status=2)
    assert "out: another process" in refused
    assert not list((tmp_path / "out").iterdir())


def test_song_is_made_again_by_its_folder(synctrack, tmp_path):
    synctrack("generate", "--out", "out", "--given", "drums=song/drums.wav", "--seed", 3)
    synctrack("generate", "--out", "again", "--again", "out/clip_000")
    for path in (tmp_path / "out" / "clip_000").iterdir():
        assert (tmp_path / "again" / "clip_000" / path.name).read_bytes() == path.read_bytes(), path.name
    refused = synctrack("generate", "--out", "x", "--again", "out/clip_000", "--bpm", 100, status=2)
    assert "--again: makes the song as it was" in refused
    more = ("--seed", 5, "--clips", 3, "--eta", 0.3, "--batch-size", 3)
    refused = synctrack("generate", "--out", "x", "--again", "out/clip_000", *more, status=2)
    assert "leave out eta, seed, clips, batch_size" in refused


def test_other_files_of_a_song_that_is_made_again_do_not_come_beside_those_that_are_there(synctrack, tmp_path):
    synctrack("generate", "--out", "out", "--seconds", 0.64)
    synctrack("generate", "--out", "again", "--again", "out/clip_000")
    refused = synctrack("generate", "--out", "again", "--again", "out/clip_000", "--daw", status=2)
    assert "again: was created with different settings (daw" in refused
    assert not list(tmp_path.glob("again/clip_000/01_*"))


def test_song_of_the_demo_is_made_again_where_its_weights_lie_elsewhere(synctrack, tmp_path, checkpoint, monkeypatch):
    """Another machine, or another environment: the path that the song names is not there."""
    synctrack("generate", "--out", "out", "--seconds", 0.64)
    path = tmp_path / "out" / "clip_000" / "song.json"
    path.write_text(path.read_text().replace(str(checkpoint), "/elsewhere/synctrack.safetensors"))
    digest = json.loads(path.read_text())["model"]["sha256"]
    assert find_recorded("/elsewhere/synctrack.safetensors", digest) == "/elsewhere/synctrack.safetensors"
    monkeypatch.setattr("synctrack.checkpoint.pretrained.demo_checkpoint", lambda: checkpoint)
    assert find_recorded("/elsewhere/synctrack.safetensors", digest) == "demo"
    assert find_recorded("/elsewhere/synctrack.safetensors", "0" * 64) == "/elsewhere/synctrack.safetensors"
    assert find_recorded(str(checkpoint), digest) == str(checkpoint)


def test_another_take_has_another_seed_than_the_original_unless_one_is_asked_for(synctrack, tmp_path):
    def seed_of(name: str) -> int:
        return json.loads((tmp_path / name / "clip_000" / "song.json").read_text())["seed"]

    synctrack("generate", "--out", "first", "--seconds", 0.64)
    assert seed_of("first") == 0
    said = synctrack("generate", "--out", "second", "--from", "first/clip_000", "--redo", "piano")
    assert "seed 1, as the original has 0" in said
    synctrack("generate", "--out", "third", "--from", "second/clip_000", "--redo", "piano")
    assert (seed_of("second"), seed_of("third")) == (1, 2)
    said = synctrack("generate", "--out", "same", "--from", "first/clip_000", "--redo", "piano", "--seed", 0)
    assert seed_of("same") == 0
    assert "seed: is that of the original" in said


def test_song_is_made_again_in_its_own_precision(synctrack, tmp_path):
    synctrack("generate", "--out", "out", "--precision", "bfloat16", "--seconds", 0.64)
    synctrack("generate", "--out", "again", "--again", "out/clip_000")
    for path in (tmp_path / "out" / "clip_000").iterdir():
        assert (tmp_path / "again" / "clip_000" / path.name).read_bytes() == path.read_bytes(), path.name
    refused = synctrack("generate", "--out", "x", "--again", "out/clip_000", "--precision", "float32", status=2)
    assert "was made in bfloat16, not float32" in refused


@pytest.mark.parametrize("method", ["masks", "generated"])
def test_separate_writes_the_stems_of_a_mix(synctrack, tmp_path, method):
    synctrack("separate", "song/mix.wav", "--out", "stems", "--method", method, "--format", "float")
    song = load_song(tmp_path / "stems")
    assert song.stems == STEMS
    if method == "masks":
        mix, _ = soundfile.read(tmp_path / "song" / "mix.wav", dtype="float32")
        np.testing.assert_allclose(np.sum([song[stem] for stem in STEMS], axis=0), mix, atol=1e-4)
    refused = synctrack("separate", "song/mix.wav", "--out", "stems", status=2)
    assert "stems: holds files; choose another --out" in refused
