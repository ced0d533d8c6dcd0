"""Songs in memory and on disk: gain, formats, round trip, and what is refused."""

import json

import numpy as np
import pytest
import soundfile
import soxr

from synctrack import Song, load_songs
from synctrack.audio.beat_files import read_beats, regular_beats
from synctrack.errors import InputError
from synctrack.generation.song import FILE_FORMATS, load_song

LIMIT = 10 ** (-1 / 20)
STEPS = {"wav16": 2**-15, "wav24": 2**-23, "float": 1e-7, "flac": 2**-23}


def song(peak: float = 0.2, stems: tuple[str, ...] = ("bass", "drums"), num_samples: int = 4000) -> Song:
    rng = np.random.default_rng(0)
    waves = {stem: rng.uniform(-peak, peak, num_samples).astype(np.float32) for stem in stems}
    return Song(waves, 8000, {"seed": 5})


def test_mix_is_the_sum_of_the_stems():
    quiet = song()
    np.testing.assert_allclose(quiet.mix, quiet["bass"] + quiet["drums"], atol=1e-7)
    assert quiet.mix.dtype == np.float32
    assert quiet.seconds == 0.5


def test_quiet_song_keeps_its_level():
    kept = song().within_peak()
    assert kept.info["gain"] == 1.0
    assert (kept["bass"] == song()["bass"]).all()


def test_loud_song_gets_one_gain_that_leaves_the_mix_at_minus_1_dbfs():
    loud = song(peak=0.9)
    limited = loud.within_peak()
    assert np.abs(limited.mix).max() == pytest.approx(LIMIT, rel=1e-5)
    for stem in loud.stems:
        np.testing.assert_allclose(limited[stem], limited.info["gain"] * loud[stem], rtol=1e-5)


def test_loud_stem_with_a_quiet_mix_is_limited_too():
    wave = np.full(100, 1.5, np.float32)
    limited = Song({"a": wave, "b": -wave}, 8000).within_peak()
    assert np.abs(limited["a"]).max() == pytest.approx(LIMIT, rel=1e-5)


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_saved_song_is_loaded_to_the_formats_precision(tmp_path, file_format):
    original = song(peak=0.9).within_peak()
    (loaded,) = load_songs(original.save(tmp_path / "song", file_format))
    assert loaded.stems == original.stems
    assert loaded.sample_rate == 8000
    assert loaded.info == original.info
    for stem in original.stems:
        np.testing.assert_allclose(loaded[stem], original[stem], atol=1.01 * STEPS[file_format])
    suffix, subtype = FILE_FORMATS[file_format]
    info = soundfile.info(tmp_path / "song" / f"mix{suffix}")
    assert info.subtype == subtype
    mix, _ = soundfile.read(tmp_path / "song" / f"mix{suffix}")
    np.testing.assert_allclose(mix, original.mix, atol=2e-4)


def test_saving_a_song_that_would_clip_records_the_gain(tmp_path):
    song(peak=0.9).save(tmp_path)
    facts = json.loads((tmp_path / "song.json").read_text())
    assert 0 < facts["gain"] < 1
    assert np.abs(soundfile.read(tmp_path / "mix.wav")[0]).max() <= LIMIT + 2**-14


def test_load_songs_of_a_folder_gives_them_in_order(tmp_path):
    for number in (2, 0, 1):
        song(num_samples=1000 + number).save(tmp_path / f"clip_{number:03d}")
    assert [loaded.num_samples for loaded in load_songs(tmp_path)] == [1000, 1001, 1002]


def test_unknown_stem_is_a_key_error_that_lists_the_stems():
    with pytest.raises(KeyError, match="the song's stems are bass, drums"):
        song()["piano"]


@pytest.mark.parametrize("stem", ["../out", "a/b", "..", "", ".hidden", "a\\b", "nul\0"])
def test_stem_name_that_leaves_the_folder_is_refused(tmp_path, stem):
    with pytest.raises(InputError, match="is not a file name"):
        Song({stem: np.zeros(10, np.float32), "drums": np.zeros(10, np.float32)}, 8000).save(tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_stem_called_mix_and_unknown_format_are_refused(tmp_path):
    with pytest.raises(InputError, match="is the name of the mix"):
        Song({"Mix": np.zeros(10, np.float32)}, 8000).save(tmp_path)
    with pytest.raises(InputError, match="'mp3' must be one of wav16, wav24, float, flac"):
        song().save(tmp_path, "mp3")


@pytest.mark.parametrize("waves", [{}, {"a": np.zeros(3), "b": np.zeros(4)}, {"a": np.zeros((2, 3))}])
def test_stems_of_other_shapes_are_refused(waves):
    with pytest.raises(InputError, match="each must be"):
        Song(waves, 8000)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"stems": []},
        {"stems": ["bass", "bass"]},
        {"stems": ["../bass"]},
        {"stems": "bass"},
        {"sample_rate": 0},
        {"num_samples": True},
        {"num_samples": 3999},
        {"file_format": "exe"},
        {"file_format": "flac"},
    ],
)
def test_damaged_song_json_is_one_clear_error(tmp_path, change):
    song().save(tmp_path)
    path = tmp_path / "song.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=str(tmp_path)):
        load_song(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00"])
def test_song_json_that_is_not_json_is_one_clear_error(tmp_path, text):
    song().save(tmp_path)
    (tmp_path / "song.json").write_text(text)
    with pytest.raises(InputError, match=r"song\.json"):
        load_song(tmp_path)


def test_folders_without_songs_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        load_songs(tmp_path / "gone")
    with pytest.raises(InputError, match=r"holds no song\.json"):
        load_songs(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        load_song(tmp_path)


def kept_song(num_samples: int = 4000) -> Song:
    """A song that keeps given audio: every step of 16 bits, the extremes included."""
    steps = np.resize(np.r_[-(2**15), np.arange(-1999, 2000) * 16, 2**15 - 1], num_samples)
    waves = {stem: (steps / 2**15).astype(np.float32) for stem in ("bass", "drums")}
    return Song(waves, 8000, {"gain": 0.5, "mix_gain": 1.0})


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_song_with_given_audio_scales_its_mix_alone_and_writes_its_stems_to_the_bit(tmp_path, file_format):
    original = kept_song()
    loaded = load_song(original.save(tmp_path, file_format))
    for stem in original.stems:
        assert (loaded[stem] == original[stem]).all()
    assert loaded.info["gain"] == 0.5
    assert loaded.info["mix_gain"] == pytest.approx(LIMIT / 2, rel=1e-3)
    mix, _ = soundfile.read(tmp_path / f"mix{FILE_FORMATS[file_format][0]}")
    assert np.abs(mix).max() == pytest.approx(LIMIT, abs=1e-3)
    again = load_song(loaded.save(tmp_path / "again", file_format))
    assert (again["bass"] == original["bass"]).all()


def test_beats_are_saved_and_loaded(tmp_path):
    beats = regular_beats(120, 3, 2.0)
    loaded = load_song(Song(song(num_samples=16000).waveforms, 8000, {}, beats).save(tmp_path))
    assert (loaded.beats.beats == beats.beats).all()
    assert (loaded.beats.downbeats == beats.downbeats).all()
    path = tmp_path / "song.json"
    path.write_text(path.read_text().replace('"downbeats"', '"bars"'))
    with pytest.raises(InputError, match="its beats are damaged"):
        load_song(tmp_path)


def test_daw_export_holds_whole_bars_from_the_first_downbeat(tmp_path):
    beats = regular_beats(120, 4, 5.3, first=0.25)
    original = Song(song(num_samples=round(5.3 * 8000)).waveforms, 8000, {}, beats)
    original.save(tmp_path, "wav24", daw=True, sample_rate=48000)
    names = ["00_beats.mid", "00_mix.wav", "01_bass.wav", "02_drums.wav", "song.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    info = soundfile.info(tmp_path / "01_bass.wav")
    assert (info.samplerate, info.subtype, info.frames) == (48000, "PCM_24", 4 * 48000)
    written = read_beats(tmp_path / "00_beats.mid")
    np.testing.assert_allclose(written.beats, np.arange(8) * 0.5, atol=1e-4)
    np.testing.assert_allclose(written.downbeats, [0, 2], atol=1e-4)
    loaded = load_song(tmp_path)
    assert (loaded.stems, loaded.sample_rate, loaded.seconds) == (("bass", "drums"), 48000, 4.0)
    expected = soxr.resample(original["bass"], 8000, 48000)[12000 : 12000 + 4 * 48000]
    np.testing.assert_allclose(loaded["bass"], expected, atol=1e-5)


@pytest.mark.parametrize(("first", "length", "said"), [(0.01, 4.0, ""), (0.25, 4.0, ""), (0.25, 4.5, "whole bars")])
def test_daw_export_of_a_loop_is_turned_to_its_first_downbeat_and_goes_round(tmp_path, caplog, first, length, said):
    beats = regular_beats(120, 4, length, first=first)
    original = Song(song(num_samples=round(length * 8000)).waveforms, 8000, {"steering": {"loop": True}}, beats)
    loaded = load_song(original.save(tmp_path, "float", daw=True))
    assert loaded.loops
    np.testing.assert_array_equal(loaded["bass"], np.roll(original["bass"], -round(first * 8000)))
    np.testing.assert_allclose(loaded.beats.beats, np.arange(len(beats.beats)) / 2, atol=1e-4)
    np.testing.assert_allclose(loaded.beats.downbeats, np.arange(len(beats.downbeats)) * 2, atol=1e-4)
    assert bool(said) == ("does not hold whole bars" in caplog.text)


def test_daw_export_without_beats_is_whole_and_says_so(tmp_path, caplog):
    song().save(tmp_path, daw=True)
    assert "bars are is not known" in caplog.text
    assert not (tmp_path / "00_beats.mid").exists()
    assert load_song(tmp_path).num_samples == 4000


@pytest.mark.parametrize("rate", [0, 7999, 10**6, 48000.5])
def test_rates_out_of_bounds_are_refused(tmp_path, rate):
    with pytest.raises(InputError, match="is not between 8000 and 384000 Hz"):
        song().save(tmp_path, sample_rate=rate)


def test_names_in_song_json_cannot_leave_the_folder(tmp_path):
    song().save(tmp_path / "song", daw=True)
    path = tmp_path / "song" / "song.json"
    path.write_text(path.read_text().replace("01_bass.wav", "../bass.wav"))
    with pytest.raises(InputError, match="is not a file name"):
        load_song(tmp_path / "song")


def test_large_waveforms_lie_in_a_temporary_file_and_are_written_alike(tmp_path, monkeypatch):
    song(peak=0.9).within_peak().save(tmp_path / "small")
    monkeypatch.setattr("synctrack.audio.files.IN_MEMORY", 1000)
    monkeypatch.setattr("synctrack.audio.files.BLOCK", 333)
    monkeypatch.setattr("synctrack.generation.song.BLOCK", 333)
    limited = song(peak=0.9).within_peak()
    assert isinstance(limited["bass"], np.memmap)
    limited.save(tmp_path / "large")
    for path in (tmp_path / "small").iterdir():
        assert (tmp_path / "large" / path.name).read_bytes() == path.read_bytes()
