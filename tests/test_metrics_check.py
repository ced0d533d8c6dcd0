"""`synctrack check` finds the stem that was put out of time, says by how much, and mends it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.commands import run_in
from synctrack.data.sources.grooves import render_groove
from synctrack.errors import InputError
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.check.folder import check_songs
from synctrack.metrics.check.mend import mend, mend_folder
from synctrack.metrics.check.timing import StemTiming, check_song
from synctrack.metrics.onsets import FileOnsets, onsets_of
from synctrack.metrics.score import score_folder

pytestmark = pytest.mark.medium

RATE = 16000
SECONDS = 12.0


def late(wave: np.ndarray, offset: float, drift: float = 0.0) -> np.ndarray:
    """The wave with each moment t moved to t (1 + drift) + offset."""
    times = (np.arange(len(wave)) / RATE - offset) / (1 + drift)
    return np.interp(times * RATE, np.arange(len(wave)), wave, left=0).astype(np.float32)


@pytest.fixture(scope="module")
def stems() -> dict[str, np.ndarray]:
    return render_groove(1003, SECONDS, RATE).stems


def timings(stems: dict[str, np.ndarray]) -> dict[str, StemTiming]:
    return check_song({stem: onsets_of(wave, RATE) for stem, wave in stems.items()})


def test_faultless_song_is_together(stems):
    assert {timing.finding for timing in timings(stems).values()} == {"together"}


@pytest.mark.parametrize("offset", [0.05, 0.25, -0.1])
@pytest.mark.parametrize("stem", ["drums", "piano"])
def test_late_and_early_stems_are_named_with_their_offset(stems, stem, offset):
    found = timings({**stems, stem: late(stems[stem], offset)})
    assert [name for name, timing in found.items() if timing.faulty] == [stem]
    assert found[stem].finding == "offset"
    assert found[stem].offset == pytest.approx(offset, abs=0.01)


@pytest.mark.parametrize("drift", [0.005, -0.02])
def test_drifting_stem_is_named_with_its_drift(stems, drift):
    found = timings({**stems, "bass": late(stems["bass"], 0, drift)})
    assert [name for name, timing in found.items() if timing.faulty] == ["bass"]
    assert found["bass"].finding == "drifting"
    assert found["bass"].drift == pytest.approx(drift, abs=0.001)


def test_what_cannot_be_told_says_why(stems):
    found = timings({**stems, "bass": np.zeros_like(stems["bass"])})
    assert (found["bass"].finding, found["bass"].reason) == ("cannot tell", "silent")
    found = timings({"bass": stems["bass"], "drums": np.zeros_like(stems["bass"])})
    assert found["bass"].reason == "no other stem has enough onsets"
    assert found["bass"].as_dict()["offset_ms"] is None


def test_mending_keeps_length_and_pitch():
    tone = np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE).astype(np.float32)
    mended = mend(tone, RATE, StemTiming("drifting", 0.1, 0.02, 1.0, ""))
    assert len(mended) == len(tone)
    spectrum = np.abs(np.fft.rfft(mended[RATE : 3 * RATE]))
    assert np.argmax(spectrum) / 2 == pytest.approx(440, abs=1)
    shifted = mend(tone, RATE, StemTiming("offset", -0.01, 0.0, 1.0, ""))
    np.testing.assert_array_equal(shifted[160:], tone[:-160])


@pytest.mark.parametrize("stem", ["bass", "drums", "guitar", "piano"])
def test_mended_drift_is_together_again(stems, stem):
    faulty = late(stems[stem], 0, -0.02)
    found = timings({**stems, stem: faulty})[stem]
    assert found.finding == "drifting"
    again = timings({**stems, stem: mend(faulty, RATE, found)})
    assert {timing.finding for timing in again.values()} == {"together"}


def write_song(folder: Path, stems: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for stem, wave in stems.items():
        soundfile.write(folder / f"{stem}.wav", wave, RATE)


def test_command_names_the_stem_mends_it_and_proves_it(stems, tmp_path: Path):
    stereo = {stem: np.stack([wave, 0.5 * wave], axis=1) for stem, wave in stems.items()}
    delayed = late(stems["piano"], 0.12)
    write_song(tmp_path / "songs" / "one two", {**stereo, "piano": np.stack([delayed, 0.5 * delayed], axis=1)})
    write_song(tmp_path / "songs" / "without guitar", {s: stems[s] for s in ("bass", "drums", "piano")})
    (tmp_path / "run.py").write_text("import runpy; runpy.run_module('synctrack.cli.main', run_name='__main__')")
    output = run_in(tmp_path, tmp_path / "run.py", "check", "songs", "--fix", "mended", "--json", "check.json").stdout
    assert "one two  piano  offset" in output
    assert "1 songs lack a stem and are checked without it: without guitar" in output
    assert "mended: 1 stems mended; checked again:" in output
    assert output.endswith("2 songs, 7 stems: 7 together\n")
    result = json.loads((tmp_path / "check.json").read_text())
    assert result["songs"]["one two"]["piano"]["offset_ms"] == pytest.approx(120, abs=10)
    assert result["fixed"]["one two"]["piano"]["finding"] == "together"
    mended, rate = soundfile.read(tmp_path / "mended" / "one two" / "piano.wav")
    assert (mended.shape, rate) == ((len(delayed), 2), RATE)
    for song, stem in (("one two", "drums"), ("without guitar", "piano")):
        path = Path(song, f"{stem}.wav")
        assert (tmp_path / "mended" / path).read_bytes() == (tmp_path / "songs" / path).read_bytes()
    again = run_in(tmp_path, tmp_path / "run.py", "check", "songs", "--fix", "mended", check=False)
    assert again.returncode == 2
    assert "holds files; name an empty folder" in again.stderr


def test_score_says_which_stem_is_late_in_which_song(stems, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    for stem, wave in {**stems, "piano": late(stems["piano"], 0.25)}.items():
        (tmp_path / "songs" / "Groove").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "songs" / "Groove" / f"{stem}.wav", wave, RATE)
    lines = run_in(tmp_path, "eval_metrics/score.py", "songs").stdout.splitlines()
    assert any(line.startswith("piano is late by 0.2") and line.endswith(" s in song Groove") for line in lines)


def played(song: int, lags: dict[str, float]) -> dict[str, FileOnsets]:
    """Four stems that play together on a random half of the eighths, each late by its lag with 2 ms of jitter."""
    rng = np.random.default_rng(song)
    eighths = np.arange(0.5, 19.5, 0.26)
    stems = {}
    for stem in ("bass", "drums", "guitar", "piano"):
        times = eighths[rng.random(len(eighths)) < 0.6] + lags.get(stem, 0.0)
        times = np.sort(times + rng.normal(0, 0.002, len(times)))
        stems[stem] = FileOnsets(20.0, 0.5, times, np.ones(len(times)), np.zeros((0, 12)))
    return stems


def test_lag_that_a_stem_has_in_all_songs_is_not_counted():
    songs = {str(n): played(n, {"bass": 0.013}) for n in range(8)}
    songs["late"] = played(8, {"bass": 0.013, "piano": 0.03})
    found, usual = check_songs(songs)
    assert usual["bass"].lag - usual["drums"].lag == pytest.approx(0.013, abs=0.003)
    assert found["late"]["piano"].finding == "offset"
    assert found["late"]["piano"].offset == pytest.approx(0.03, abs=0.004)
    assert {timing.finding for song in found if song != "late" for timing in found[song].values()} == {"together"}


def test_stem_that_is_late_in_all_songs_is_late():
    found, usual = check_songs({str(n): played(n, {"bass": 0.06}) for n in range(8)})
    assert "bass" not in usual
    assert [stems["bass"].finding for stems in found.values()] == ["offset"] * 8


def test_usual_lags_need_five_songs():
    assert check_songs({str(n): played(n, {"bass": 0.013}) for n in range(4)})[1] == {}


def test_stems_that_enter_after_the_searched_part_are_searched_where_they_play():
    songs = {}
    for name, lag in (("together", 0.0), ("late", 0.1)):
        stems = played(3, {}) | {"vocals": played(3, {"guitar": lag})["guitar"]}
        songs[name] = {
            stem: FileOnsets(70.0, 0.5, file.times + 50, file.strengths, file.chroma) for stem, file in stems.items()
        }
        for stem in ("drums", "bass"):
            intro = played(5, {})[stem].times
            times = np.concatenate([intro, intro + 25, songs[name][stem].times])
            songs[name][stem] = FileOnsets(70.0, 0.5, times, np.ones(len(times)), np.zeros((0, 12)))
    assert {timing.finding for timing in check_song(songs["together"]).values()} == {"together"}
    found = check_song(songs["late"])
    assert [stem for stem, timing in found.items() if timing.faulty] == ["vocals"]
    assert found["vocals"].offset == pytest.approx(0.1, abs=0.005)


def test_drift_found_in_a_later_part_is_told_from_the_songs_start():
    stems = {s: FileOnsets(70.0, 0.5, f.times + 45, f.strengths, f.chroma) for s, f in played(6, {}).items()}
    # Late by 0.1 s when the music begins, and by 0.2 s when it ends.
    bass = stems["bass"]
    stems["bass"] = FileOnsets(70.0, 0.5, bass.times * 1.005 - 0.125, bass.strengths, bass.chroma)
    found = check_song(stems)["bass"]
    assert found.finding == "drifting"
    assert (found.drift, found.offset) == (pytest.approx(0.005, abs=5e-4), pytest.approx(-0.125, abs=0.03))


def test_stems_that_never_play_together_cannot_be_told():
    first, second = played(0, {})["drums"], played(0, {})["bass"]
    later = FileOnsets(300.0, 0.5, second.times + 200, second.strengths, second.chroma)
    assert {timing.finding for timing in check_song({"drums": first, "bass": later}).values()} == {"cannot tell"}


def test_mended_stem_keeps_floats_beyond_full_scale_and_files_of_another_kind(stems, tmp_path):
    loud, rest = late(stems["drums"], 0.1) * 4, {stem: stems[stem] for stem in ("bass", "guitar", "piano")}
    assert np.abs(loud).max() > 1.5
    write_song(tmp_path / "songs" / "loud", rest)
    soundfile.write(tmp_path / "songs" / "loud" / "drums.wav", loud, RATE, "FLOAT")
    write_song(tmp_path / "songs" / "other", rest)
    with (tmp_path / "songs" / "other" / "drums.wav").open("wb") as file:
        soundfile.write(file, loud / 8, RATE, "PCM_S8", format="FLAC")
    layout = find_layout(tmp_path / "songs", "songs")
    timings = {song: {"drums": StemTiming("offset", 0.1, 0.0, 1.0, "")} for song in ("loud", "other")}
    for song, path in zip(timings, mend_folder(layout, timings, tmp_path / "out"), strict=True):
        samples, rate = soundfile.read(path, dtype="float32")
        assert (path, rate) == (tmp_path / "out" / song / "drums.wav", RATE)
        kept = loud if song == "loud" else np.round(loud / 8 * 128) / 128
        np.testing.assert_allclose(samples[:-1600], kept[1600:], atol=0 if song == "loud" else 0.008)


def test_cache_that_cannot_be_written_is_said_and_makes_no_file_unreadable(stems, tmp_path, fail, monkeypatch):
    write_song(tmp_path / "songs" / "one", stems)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "file"))
    (tmp_path / "run.py").write_text("import runpy; runpy.run_module('synctrack.cli.main', run_name='__main__')")
    assert "set SYNCTRACK_CACHE or use --no-cache" in fail(tmp_path / "run.py", "check", "songs")


def test_trackers_without_the_published_protocol_are_scored_from_python(stems, tmp_path):
    write_song(tmp_path / "songs" / "one", stems)
    assert list(score_folder(tmp_path / "songs", tracker="librosa", cache=False)["protocols"]) == ["corrected"]
    with pytest.raises(InputError, match="--protocol both"):
        score_folder(tmp_path / "songs", tracker="librosa", protocol="both", cache=False)
