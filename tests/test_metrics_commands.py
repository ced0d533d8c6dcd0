"""The four scripts as users run them."""

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.commands import run_in
from helpers.metrics_corpus import clicks
from synctrack.errors import InputError
from synctrack.metrics.score import score_folder

pytestmark = pytest.mark.medium

RATE = 16000
SECONDS = 6.0
INTERVALS = {"one": 0.5, "two": 0.6, "three": 0.65, "four": 0.55, "five": 0.7}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "beats"


@pytest.fixture(scope="session")
def click_stems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five songs of four stems of the same clicks each, as the generator lays them out: with mix and targets."""
    folder = tmp_path_factory.mktemp("clicks")
    for song, interval in INTERVALS.items():
        samples = clicks(np.arange(0.25, SECONDS, interval), SECONDS, RATE)
        for place in ("stem_0", "stem_1", "stem_2", "stem_3", "mix", "targets/stem_0"):
            (folder / place).mkdir(parents=True, exist_ok=True)
            soundfile.write(folder / place / f"{song}_from_0.wav", samples, RATE)
    return folder


@pytest.fixture
def stems(click_stems: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(click_stems, tmp_path / "stems"))


def names_and_values(output: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\w+): ([\d.]+|nan)$", output, re.MULTILINE)}


def refusal(folder: Path, *arguments: object, script: str = "eval_metrics/score.py") -> str:
    """The one line with which a command refuses its input."""
    result = run_in(folder, script, *arguments, check=False)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    return result.stderr


def test_published_scripts_score_stems_in_time_from_any_folder(stems, run):
    values = names_and_values(run("eval_metrics/IRS.py", "--folder", stems).stdout)
    assert values["avg_interval_std"] < 0.005
    assert values["avg_interval_mean"] == pytest.approx(np.mean(list(INTERVALS.values())) * 2 / 3, abs=0.005)
    output = run("eval_metrics/CBS.py", "--folder", stems, "--window_size", "0.2").stdout
    assert output.splitlines()[-1] == "mean_beat_ratio: 1.000000"
    output = run("eval_metrics/CBD.py", "--folder", stems).stdout
    assert [line.split(":")[0] for line in output.splitlines()[-3:]] == [
        "avg_std_error",
        "avg_error",
        "avg_median_error",
    ]
    assert names_and_values(output)["avg_error"] == 0


def test_protocols_differ_by_the_decoders_clock(stems, run):
    output = run("eval_metrics/IRS.py", "--folder", stems, "--protocol", "both").stdout
    means = [float(value) for value in re.findall(r"avg_interval_mean: (\S+)", output)]
    assert means[0] == pytest.approx(means[1] * 2 / 3, rel=0.01)
    assert means[1] == pytest.approx(np.mean(list(INTERVALS.values())), rel=0.01)


def test_score_writes_everything_and_can_read_it_again(stems, run, tmp_path):
    first = run(
        "eval_metrics/score.py", "--folder", stems, "--reference", stems, "--json", "all.json", "--csv", "songs.csv"
    )
    result = json.loads((tmp_path / "all.json").read_text())
    assert list(result["protocols"]) == ["corrected", "paper"]
    assert result["stems"] == ["stem_0", "stem_1", "stem_2", "stem_3"]
    corrected = result["protocols"]["corrected"]
    assert corrected["mean_beat_ratio"] == 1
    assert corrected["avg_error"] == 0
    assert corrected["coverage"] == 1
    assert corrected["interval_95"]["mean_beat_ratio"] == [1, 1]
    assert corrected["chance_floor"]["mean_beat_ratio"] < 0.8
    assert np.diff(result["beats"]["corrected"]["one_from_0"]["stem_0"]) == pytest.approx(0.5, abs=0.011)
    assert "madmom" in result["tracker"]
    assert result["reference"]["protocols"] == result["protocols"]
    rows = list(csv.DictReader((tmp_path / "songs.csv").open()))
    found = [row for row in rows if row["metric"] == "cbs" and row["protocol"] == "corrected" and not row["pair"]]
    assert [row["song"] for row in found] == ["", *sorted(f"{song}_from_0" for song in INTERVALS)]
    assert {row["value"] for row in found} == {"1.0"}
    assert {row["pair"] for row in rows if row["metric"] == "lag"} >= {"stem_0/stem_1", "stem_3/stem_2"}
    again = run("eval_metrics/score.py", "--beats", "all.json", "--reference", "all.json")
    assert again.stdout.splitlines()[:13] == first.stdout.splitlines()[1:14]


def test_beats_are_cached_by_content_and_not_without_cache(stems, cache):
    first = score_folder(stems, protocol="corrected", cache=False)
    assert not cache.exists()
    assert score_folder(stems, protocol="corrected") == first
    kept = {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")}
    assert len(kept) == len(INTERVALS)  # the stems of a song have the same content
    shutil.move(stems / "stem_3", stems / "stem_4")
    renamed = score_folder(stems, protocol="corrected")
    assert renamed["protocols"]["corrected"]["mean_beat_ratio"] == first["protocols"]["corrected"]["mean_beat_ratio"]
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.json")} == kept


def test_changed_cache_entry_is_used(stems, cache):
    score_folder(stems, protocol="corrected")
    for entry in cache.rglob("*.json"):
        kept = json.loads(entry.read_text())
        kept["beats"]["corrected"] = [1.0, 2.0, 4.0]
        entry.write_text(json.dumps(kept))
    result = score_folder(stems, protocol="corrected")
    assert result["protocols"]["corrected"]["avg_interval_std"] == pytest.approx(0.5)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_the_number_of_workers_changes_nothing(stems, workers):
    expected = score_folder(stems, cache=False)
    assert score_folder(stems, cache=False, workers=workers) == expected


def test_named_stems_of_other_formats_and_rates(tmp_path):
    for stem, suffix, rate in (("bass", "flac", 8000), ("drums", "ogg", 44100), ("keys", "mp3", 48000)):
        (tmp_path / "named" / stem).mkdir(parents=True)
        for song, interval in INTERVALS.items():
            samples = clicks(np.arange(0.25, SECONDS, interval), SECONDS, rate)
            soundfile.write(tmp_path / "named" / stem / f"{song}.{suffix}", samples, rate)
    (tmp_path / "named" / "mix").mkdir()
    shutil.copy(tmp_path / "named" / "bass" / "one.flac", tmp_path / "named" / "mix")
    result = score_folder(tmp_path / "named", protocol="corrected")
    assert result["stems"] == ["bass", "drums", "keys"]
    assert result["protocols"]["corrected"]["avg_error"] < 0.1


def test_silent_and_sparse_stems_are_counted(stems):
    soundfile.write(stems / "stem_0" / "one_from_0.wav", np.zeros(RATE), RATE)
    result = score_folder(stems)
    assert result["counts"]["silent_files"] == 1
    row = result["protocols"]["paper"]["stems"]["stem_0"]
    assert (row["silent_files"], row["files_without_beats"], row["files_with_fewer_than_two_beats"]) == (1, 1, 1)
    assert result["protocols"]["paper"]["songs"]["one_from_0"]["interval_std"]["stem_0"] is None


def test_songs_that_a_stem_lacks_are_left_out_and_counted(stems, run):
    (stems / "stem_2" / "two_from_0.wav").unlink()
    output = run("eval_metrics/score.py", "--folder", stems)
    assert "songs not in every stem: 1" in output.stdout
    assert "1 of 5 file names are not in every stem folder" in output.stderr
    assert "\n4 songs x 4 stems; 19 files" in output.stdout


def test_unreadable_files_are_skipped_and_counted_or_refused(stems, run):
    (stems / "stem_1" / "one_from_0.wav").write_text("this is no audio")
    output = run("eval_metrics/score.py", "--folder", stems)
    assert "unreadable files: 1" in output.stdout
    assert "one_from_0.wav: is not a readable audio file" in output.stderr
    assert "one_from_0.wav: is not a readable audio file" in refusal(stems, "--folder", stems, "--strict")


def test_cut_empty_and_odd_files_are_skipped_and_named_or_refused_also_when_cached(stems, run):
    run("eval_metrics/score.py", "--folder", stems)
    path = stems / "stem_1" / "one_from_0.wav"
    path.write_bytes(path.read_bytes()[:-5000])
    soundfile.write(stems / "stem_1" / "two_from_0.wav", np.zeros(0), RATE)
    soundfile.write(stems / "stem_1" / "three_from_0.wav", np.zeros(100), 1)
    output = run("eval_metrics/score.py", "--folder", stems)
    assert "unreadable files: 3" in output.stdout
    for line in ("one_from_0.wav: is cut off", "two_from_0.wav: holds no audio", "three_from_0.wav: has a sample rate"):
        assert line in output.stderr
    assert "one_from_0.wav: is cut off" in refusal(stems, "--folder", stems, "--strict")


DAMAGED_ENTRIES = (
    "",
    "[" * 100_000,
    '{"beats": {}}',
    '{"tracker": "x", "duration": 1, "peak": 1, "beats": {"paper": [2, 1]}}',
    '{"tracker": "x", "duration": "a", "peak": 1, "beats": {"paper": [1], "corrected": [1]}}',
)


def test_damaged_entries_of_the_cache_are_misses(stems, cache):
    before = score_folder(stems)
    for content in DAMAGED_ENTRIES:
        for entry in cache.rglob("*.json"):
            entry.write_text(content)
        assert score_folder(stems) == before
        assert all(json.loads(entry.read_text())["beats"] for entry in cache.rglob("*.json"))


def test_wrong_folders_are_named(stems, tmp_path):
    assert "no such folder" in refusal(tmp_path, "--folder", "nowhere")
    (tmp_path / "empty").mkdir()
    assert "empty: holds no stem folder" in refusal(tmp_path, "--folder", "empty")
    (tmp_path / "single").mkdir()
    shutil.copytree(stems / "stem_0", tmp_path / "single" / "stem_0")
    assert "only one stem folder (stem_0)" in refusal(tmp_path, "--folder", "single", script="eval_metrics/CBD.py")
    (tmp_path / "single" / "stem_1").mkdir()
    assert "stem_1: holds no audio file" in refusal(tmp_path, "--folder", "single", script="eval_metrics/IRS.py")
    shutil.copy(stems / "stem_0" / "one_from_0.wav", tmp_path / "single" / "stem_1" / "another.wav")
    assert "no file name is common" in refusal(tmp_path, "--folder", "single", script="eval_metrics/CBS.py")


@pytest.mark.parametrize("window_size", ["0", "-0.15", "nan", "wide"])
def test_wrong_window_sizes_are_named(tmp_path, window_size):
    line = refusal(tmp_path, "--folder", "x", f"--window_size={window_size}", script="eval_metrics/CBS.py")
    assert f"--window_size: '{window_size}' is not a number from 0.01 to 60" in line


def test_trackers_refuse_what_they_cannot_do(tmp_path):
    assert "--weights goes with --tracker beat_this" in refusal(tmp_path, "--folder", "x", "--weights", "y")


def test_a_cache_that_cannot_be_written_is_named(stems, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "file"))
    assert "--no-cache" in refusal(tmp_path, "--folder", stems)


GIVEN = {"beats": {"a": {"bass": [0.5, 1.0, 1.5], "drums": [0.5, 1.0, 1.5]}}, "durations": {"a": 2.0}}


def given(tmp_path: Path, change: Callable[[dict], None]) -> Path:
    content = json.loads(json.dumps(GIVEN))
    change(content)
    (tmp_path / "beats.json").write_text(json.dumps(content))
    return tmp_path / "beats.json"


def test_given_beats_are_scored_without_audio(tmp_path, run):
    output = run("eval_metrics/CBS.py", "--beats", given(tmp_path, lambda content: None)).stdout
    assert output.splitlines() == ["protocol: given", "mean_beat_ratio: 1.000000"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda c: c.pop("beats"), '"beats" with'),
        (lambda c: c.pop("durations"), '"durations" with'),
        (lambda c: c["durations"].update(a=-1), "no number of seconds from 0 to 86400 for song a"),
        (lambda c: c["beats"]["a"].update(bass=[1.0, 0.5]), "song a, stem bass: beats must be a list of ascending"),
        (lambda c: c["beats"]["a"].update(bass=[1.0, 5.0]), "song a, stem bass: beats must be a list of ascending"),
        (lambda c: c["beats"]["a"].update(bass=["x"]), "song a, stem bass: beats must be a list of seconds"),
        (lambda c: c["beats"]["a"].pop("bass"), "only one stem"),
        (lambda c: c["beats"].update(a=3), "song a must hold"),
    ],
)
def test_malformed_given_beats_are_named(tmp_path, change, complaint):
    from synctrack.metrics.beats.given import read_given_beats

    with pytest.raises(InputError, match=re.escape(complaint)):
        read_given_beats(given(tmp_path, change))


def test_given_beats_know_no_protocol_of_a_tracker(tmp_path):
    path = given(tmp_path, lambda content: None)
    assert "come in protocol given only" in refusal(tmp_path, "--beats", path, "--protocol", "paper")


def test_scripts_start_without_torch_or_madmom(tmp_path, run):
    path = given(tmp_path, lambda content: None)
    (tmp_path / "probe.py").write_text(
        "import runpy, sys\n"
        f"sys.argv = ['score.py', '--beats', {str(path)!r}]\n"
        "from synctrack.cli import score\n"
        "score.run_score('')\n"
        "heavy = {'torch', 'pytorch_lightning', 'madmom', 'librosa', 'numba', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run(tmp_path / "probe.py")


def test_song_without_a_readable_stem_is_skipped_and_named(stems, run, tmp_path):
    for stem in range(4):
        (stems / f"stem_{stem}" / "two_from_0.wav").write_bytes(b"")
    result = run("eval_metrics/score.py", stems, "--tracker", "librosa", "--json", "all.json")
    assert result.stderr.count("two_from_0.wav") == 4
    written = json.loads((tmp_path / "all.json").read_text())
    assert "two_from_0" not in written["durations"]
    assert written["counts"]["unreadable_files"] == 4
    run("eval_metrics/score.py", "--beats", "all.json")
