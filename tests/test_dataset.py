"""The segment rules against the golden tables, and the data set on good, odd and broken folders."""

import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from torch.utils.data import DataLoader

from synctrack.audio.mel import AudioFormat
from synctrack.data import audio_index
from synctrack.data.dataset import StemDataset
from synctrack.data.segments import shifted_start
from synctrack.errors import InputError, run_command

GOLDEN = json.loads((Path(__file__).parent / "fixtures" / "golden_segments.json").read_text())
SHORT = AudioFormat(frames=64)  # segments of 0.64 s
STEMS = ("bass", "drums")


def write_song_folder(folder: Path, seconds: float = 2.0, rate: int = 16000, suffix: str = ".wav", stems=STEMS) -> None:
    folder.mkdir(parents=True)
    for number, stem in enumerate(stems):
        wave = 0.3 * np.random.default_rng(number).uniform(-1, 1, round(seconds * rate))
        soundfile.write(folder / f"{stem}{suffix}", wave, rate)


def _dataset(roots, shift: bool = False, **options) -> StemDataset:
    return StemDataset(roots, options.pop("stems", STEMS), SHORT, shift=shift, seed=3, **options)


def _names(dataset: StemDataset) -> list[str]:
    return [dataset[0, index]["name"] for index in range(len(dataset))]


def test_segments_equal_golden(tmp_path):
    for case in GOLDEN["segments"]:
        folder = tmp_path / f"{case['seconds']:07.3f}"
        folder.mkdir()
        soundfile.write(folder / "bass.flac", np.zeros(round(case["seconds"] * 16000)), 16000)
    dataset = StemDataset(tmp_path, ["bass"], AudioFormat(), shift=False, seed=0)
    for case in GOLDEN["segments"]:
        starts = [s.start for s in dataset.segments if s.song.name == f"{case['seconds']:07.3f}"]
        assert starts == case["starts"]
        assert bool(starts) == case["kept"]
    assert dataset.report.left_out == {"too short": 1, "too long": 1}


def test_shifts_equal_golden():
    for case in GOLDEN["shifts"]:
        start = shifted_start(case["start"], case["shift"], case["song"], 163840)
        assert start / 16000 == pytest.approx(case["seconds"], abs=1e-9), case


def test_shifted_segments_stay_in_the_song():
    for song in (163840, 163841, 200000, 3 * 163840 + 1):
        for start in range(0, song - 163840 + 1, 163840):
            for shift in range(-81920, 81920, 997):
                assert 0 <= shifted_start(start, shift, song, 163840) <= song - 163840


def test_items_are_the_stems_in_order(tmp_path):
    write_song_folder(tmp_path / "song", seconds=1.5)
    dataset = _dataset([tmp_path])
    assert len(dataset) == 2
    item = dataset[7, 1]
    assert (item["index"], item["epoch"], item["name"]) == (1, 7, "song_from_0000.64")
    assert item["waveform"].shape == (2, 10240)
    assert item["waveform"].dtype == torch.float32
    for row, stem in zip(item["waveform"], STEMS, strict=True):
        stored, _ = soundfile.read(tmp_path / "song" / f"{stem}.wav", dtype="float32")
        np.testing.assert_array_equal(row, stored[10240:20480])


def test_44100_hz_stereo_flac_and_8_khz_wav_of_one_song(tmp_path):
    folder = tmp_path / "song"
    folder.mkdir()
    rng = np.random.default_rng(0)
    soundfile.write(folder / "bass.flac", 0.3 * rng.uniform(-1, 1, (88211, 2)), 44100)
    soundfile.write(folder / "drums.wav", 0.3 * rng.uniform(-1, 1, 16002), 8000)
    item = _dataset(tmp_path)[0, 2]
    stereo, _ = soundfile.read(folder / "bass.flac", dtype="float32")
    slow, _ = soundfile.read(folder / "drums.wav", dtype="float32")
    expected = [soxr.resample(stereo.mean(1), 44100, 16000), soxr.resample(slow, 8000, 16000)]
    np.testing.assert_allclose(item["waveform"], [wave[20480:30720] for wave in expected], atol=1e-4)


def test_shift_depends_on_seed_epoch_and_index_alone(tmp_path):
    write_song_folder(tmp_path / "song", seconds=20.0)
    dataset = _dataset(tmp_path, shift=True)
    names = [[dataset[epoch, index]["name"] for index in range(len(dataset))] for epoch in range(2)]
    assert names[0] != names[1]
    assert names[1] == [dataset[1, index]["name"] for index in reversed(range(len(dataset)))][::-1]
    copy = pickle.loads(pickle.dumps(dataset))
    torch.testing.assert_close(copy[1, 5]["waveform"], dataset[1, 5]["waveform"], atol=0, rtol=0)
    other = StemDataset(tmp_path, STEMS, SHORT, shift=True, seed=4)
    assert [other[0, index]["name"] for index in range(len(other))] != names[0]


def test_shifts_cover_half_a_segment_in_both_directions(tmp_path):
    write_song_folder(tmp_path / "song", seconds=3.2)
    dataset = _dataset(tmp_path, shift=True)
    starts = [float(dataset[epoch, 2]["name"].rpartition("_")[2]) for epoch in range(400)]
    assert min(starts) < 1.28 - 0.3
    assert max(starts) > 1.28 + 0.3
    assert np.mean(starts) == pytest.approx(1.28, abs=0.04)
    assert all(1.28 - 0.33 < start < 1.28 + 0.33 for start in starts)


def test_several_roots_keep_names_apart(tmp_path):
    for root, song in [("a", "one"), ("b", "one"), ("b", "two")]:
        write_song_folder(tmp_path / root / song, seconds=0.7)
    assert _names(_dataset([tmp_path / "b"])) == ["one_from_0000.00", "two_from_0000.00"]
    names = _names(_dataset([tmp_path / "a", str(tmp_path / "b")]))
    assert names == ["1_one_from_0000.00", "2_one_from_0000.00", "2_two_from_0000.00"]


def test_missing_stems_are_skipped_and_counted_or_silent(tmp_path):
    write_song_folder(tmp_path / "full")
    write_song_folder(tmp_path / "half", stems=("drums", "other"))
    write_song_folder(tmp_path / "none", stems=("other",))
    dataset = _dataset(tmp_path)
    assert {segment.song.name for segment in dataset.segments} == {"full"}
    assert dataset.report.left_out == {"with missing stems": 2}
    assert dataset.report.lines[0] == f"{tmp_path / 'half'}: has no bass"
    silent = _dataset(tmp_path, missing_stem="silent")
    assert {segment.song.name for segment in silent.segments} == {"full", "half"}
    assert silent.report.left_out == {"with missing stems": 1}
    waveform = silent[0, len(silent) - 1]["waveform"]
    assert waveform[0].abs().max() == 0
    assert waveform[1].abs().max() > 0.2


def _break(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "text": b"no audio", "empty": b""}[how])


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("how", ["cut", "text", "empty"])
def test_unreadable_files_are_named_and_skipped_or_refused(tmp_path, caplog, suffix, how):
    write_song_folder(tmp_path / "good", suffix=suffix)
    write_song_folder(tmp_path / "bad", suffix=suffix)
    _break(tmp_path / "bad" / f"drums{suffix}", how)
    with caplog.at_level(logging.WARNING):
        dataset = _dataset(tmp_path)
    assert [record.getMessage().count(f"bad/drums{suffix}: ") for record in caplog.records] == [0, 1]
    assert caplog.records[0].getMessage() == f"{tmp_path}: 1 songs; left out: 1 unreadable"
    assert all(dataset[0, index]["waveform"].abs().max() > 0 for index in range(len(dataset)))
    with pytest.raises(InputError, match=rf"bad/drums{suffix}: "):
        _dataset(tmp_path, unreadable="refuse")


def test_stems_of_different_length_are_refused(tmp_path):
    write_song_folder(tmp_path / "song", seconds=2.0, stems=("bass",))
    soundfile.write(tmp_path / "song" / "drums.wav", np.zeros(32002), 16000)
    with pytest.raises(InputError, match=r"song: its stems differ in length \(bass 2\.0000 s, drums 2\.0001 s\)"):
        _dataset(tmp_path)


def test_a_stem_in_two_formats_is_refused(tmp_path):
    write_song_folder(tmp_path / "song")
    soundfile.write(tmp_path / "song" / "bass.flac", np.zeros(32000), 16000)
    with pytest.raises(InputError, match=r"song: holds bass twice \(bass\.wav, bass\.flac\)"):
        _dataset(tmp_path)


def test_missing_and_empty_roots_are_refused(tmp_path):
    write_song_folder(tmp_path / "good" / "song")
    write_song_folder(tmp_path / "short" / "song", seconds=0.5)
    (tmp_path / "empty" / ".hidden").mkdir(parents=True)
    good = tmp_path / "good"
    with pytest.raises(InputError, match="missing: is not a readable folder"):
        _dataset([good, tmp_path / "missing"])
    with pytest.raises(InputError, match="empty: holds no song folder"):
        _dataset([good, tmp_path / "empty"])
    with pytest.raises(InputError, match=r"none of its 1 folders is usable \(.*song: 0\.50 s"):
        _dataset([good, tmp_path / "short"])
    with pytest.raises(InputError, match="song: holds no song folder"):
        _dataset(good / "song")
    with pytest.raises(InputError, match="no data folder"):
        _dataset([])


def test_second_scan_opens_no_unchanged_file(tmp_path, monkeypatch):
    write_song_folder(tmp_path / "one")
    write_song_folder(tmp_path / "two")
    first = _dataset(tmp_path)
    opened = []
    real = audio_index.audio_info
    monkeypatch.setattr(audio_index, "audio_info", lambda path: opened.append(path) or real(path))
    assert _dataset(tmp_path).segments == first.segments
    assert opened == []
    soundfile.write(tmp_path / "two" / "bass.wav", np.zeros(40000), 16000)
    soundfile.write(tmp_path / "two" / "drums.wav", np.zeros(40000), 16000)
    changed = _dataset(tmp_path)
    assert opened == [tmp_path / "two" / "bass.wav", tmp_path / "two" / "drums.wav"]
    assert {segment.song.samples for segment in changed.segments} == {32000, 40000}


DAMAGED_INDEX = ["{", "[]", "3", '{"song/bass.wav": 1}', '{"song/bass.wav": [1, 2]}', "[" * 100_000]
DAMAGED_INDEX += ['{"song/bass.wav": [1, 2, "a", 4]}', '{"song/bass.wav": [1, 2, NaN, 4]}']


@pytest.mark.parametrize("content", DAMAGED_INDEX)
def test_damaged_index_is_rebuilt(tmp_path, caplog, content):
    write_song_folder(tmp_path / "song")
    segments = _dataset(tmp_path).segments
    index = tmp_path / audio_index.INDEX_NAME
    whole = index.read_bytes()
    index.write_text(content)
    assert _dataset(tmp_path).segments == segments
    assert "all files are read again" in caplog.text
    assert index.read_bytes() == whole


def test_index_survives_a_refusal_and_a_scan_of_fewer_stems(tmp_path, monkeypatch):
    write_song_folder(tmp_path / "one")
    write_song_folder(tmp_path / "two")
    soundfile.write(tmp_path / "two" / "bass.wav", np.zeros(50000), 16000)
    with pytest.raises(InputError, match="differ in length"):
        _dataset(tmp_path)
    index = tmp_path / audio_index.INDEX_NAME
    assert {"one/bass.wav", "one/drums.wav"} <= set(json.loads(index.read_text()))
    soundfile.write(tmp_path / "two" / "bass.wav", np.zeros(32000), 16000)
    _dataset(tmp_path)
    everything = json.loads(index.read_text())
    (tmp_path / "one" / "pad.wav").write_bytes((tmp_path / "one" / "bass.wav").read_bytes())
    _dataset(tmp_path, stems=("bass", "pad"))
    assert json.loads(index.read_text()).items() >= everything.items()
    assert "one/pad.wav" in json.loads(index.read_text())


def test_index_of_impossible_rates_is_rebuilt(tmp_path):
    write_song_folder(tmp_path / "song")
    segments = _dataset(tmp_path).segments
    index = tmp_path / audio_index.INDEX_NAME
    entries = json.loads(index.read_text())
    index.write_text(json.dumps({name: [*entry[:2], 0, -5] for name, entry in entries.items()}))
    assert _dataset(tmp_path).segments == segments
    assert json.loads(index.read_text()) == entries


def test_folder_where_the_index_cannot_be_written_is_read(tmp_path, caplog):
    write_song_folder(tmp_path / "song")
    (tmp_path / audio_index.INDEX_NAME / "in the way").mkdir(parents=True)
    assert len(_dataset(tmp_path)) == 3
    assert f"{audio_index.INDEX_NAME}: is a folder" in caplog.text


def test_songs_that_are_left_out_are_named(tmp_path, caplog):
    write_song_folder(tmp_path / "full")
    for number in range(12):
        write_song_folder(tmp_path / f"half {number:02d}", stems=("drums",))
    _dataset(tmp_path)
    said = [record.getMessage() for record in caplog.records]
    assert f"left out: {tmp_path / 'half 03'}: has no bass" in said
    assert said[-1] == "left out: 2 more"


def test_names_that_differ_in_case_alone_are_kept_apart(tmp_path):
    for root, song in (("a", "Song"), ("b", "song")):
        write_song_folder(tmp_path / root / song, seconds=0.7)
    assert _names(_dataset([tmp_path / "a", tmp_path / "b"])) == ["1_Song_from_0000.00", "2_song_from_0000.00"]


def test_damaged_beats_are_refused_when_the_data_set_is_made(tmp_path):
    write_song_folder(tmp_path / "song")
    (tmp_path / "song" / "beats.json").write_text('{"beats": [1.0, 0.5]}')
    assert len(_dataset(tmp_path))
    with pytest.raises(InputError, match=r"song/beats\.json: beats: number 2"):
        _dataset(tmp_path, signals=["click"])


def test_error_of_a_worker_process_is_its_own_line(tmp_path, capsys):
    write_song_folder(tmp_path / "song")
    wave, rate = soundfile.read(tmp_path / "song" / "drums.wav")
    wave[len(wave) // 2] = np.nan
    soundfile.write(tmp_path / "song" / "drums.wav", wave, rate, "FLOAT")
    dataset = _dataset(tmp_path)
    items = [(0, index) for index in range(len(dataset))]
    with pytest.raises(SystemExit):
        run_command(lambda: list(DataLoader(dataset, sampler=items, num_workers=1)))
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        line
        == f"error: {tmp_path / 'song' / 'drums.wav'}: holds samples that are not numbers; replace it or leave it out"
    )
