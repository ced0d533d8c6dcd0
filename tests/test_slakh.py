"""Slakh2100 folders with every kind of fault, against sums computed directly from their FLACs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from helpers.sources import FOUR_CLASSES, save_slakh_song
from synctrack.audio.mel import AudioFormat
from synctrack.data.dataset import StemDataset
from synctrack.data.sources.instruments import FOUR_STEMS, load_stem_map
from synctrack.data.sources.slakh import write_slakh
from synctrack.errors import InputError
from synctrack.files import sha256

pytestmark = pytest.mark.medium

STEP = 2 / 32768  # what 16 bits may change


def _sum(folder: Path, names: list[str], samples: int) -> np.ndarray:
    total = np.zeros(samples)
    for name in names:
        wave, rate = soundfile.read(folder / "stems" / f"{name}.flac")
        wave = soxr.resample(wave, rate, 16000)
        total[: len(wave)] += wave[:samples]
    return total


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("slakh")
    more = {"S04": "Guitar", "S05": "Synth Lead", "S06": "Strings (continued)", "S07": "Strings", "S08": "Bass"}
    save_slakh_song(root / "train" / "Track00001", FOUR_CLASSES | more, {"S03": 0.0}, {"S04": 2.5, "S00": 1.7}, ["S08"])
    save_slakh_song(root / "train" / "Track00002", {"S00": "Bass", "S01": "Drums", "S02": "Piano"})
    save_slakh_song(root / "train" / "Track00003", FOUR_CLASSES, not_rendered=["S03"])
    save_slakh_song(root / "train" / "Track00004", FOUR_CLASSES)
    (root / "train" / "Track00004" / "stems" / "S02.flac").unlink()
    save_slakh_song(root / "train" / "Track00005", FOUR_CLASSES)
    cut = root / "train" / "Track00005" / "stems" / "S01.flac"
    cut.write_bytes(cut.read_bytes()[:50000])
    save_slakh_song(
        root / "train" / "Track00006", FOUR_CLASSES | {"S04": "Drums"}, {"S01": 0.9, "S04": 0.9, "S00": 0.9}
    )
    save_slakh_song(root / "train" / "Track00007", FOUR_CLASSES)
    (root / "train" / "Track00007" / "metadata.yaml").write_text("stems: [")
    save_slakh_song(root / "train" / "omitted" / "Track00008", FOUR_CLASSES)
    save_slakh_song(root / "omitted" / "Track00009", FOUR_CLASSES)
    save_slakh_song(root / "test" / "Track00010", FOUR_CLASSES)
    return root


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "slakh"
    return out, write_slakh(root, out, splits=("train", "test"), workers=2)


def test_complete_songs_are_kept_and_the_rest_reported(root, made):
    out, report = made
    assert sorted(p.relative_to(out).as_posix() for p in out.glob("*/*/")) == [
        "test/Track00010",
        "train/Track00001",
        "train/Track00006",
    ]
    assert report.songs == 3
    assert report.left_out == {"with missing stems": 2, "unreadable": 3}
    stated = "\n".join(report.lines)
    for line in ("Track00002: has no guitar", "Track00003: has no piano", "Track00004/stems/S02.flac: is not there"):
        assert line in stated
    for line in ("Track00005/stems/S01.flac: is cut off", "Track00007/metadata.yaml: is not valid YAML"):
        assert line in stated
    manifest = json.loads((out / "train" / "manifest.json").read_text())
    assert manifest["tracks"] == ["Track00001", "Track00006"]
    assert manifest["left_out"] == report.lines


def test_stems_are_the_sums_of_their_classes(root, made):
    out, _ = made
    source, folder = root / "train" / "Track00001", out / "train" / "Track00001"
    sources = {"bass": ["S00"], "drums": ["S01"], "guitar": ["S02", "S04"], "piano": ["S03"]}
    facts = json.loads((folder / "track.json").read_text())
    assert (facts["gain"], facts["sources"]) == (1.0, sources)
    assert facts["metadata_sha256"] == sha256(source / "metadata.yaml")
    for stem, names in sources.items():
        wave, rate = soundfile.read(folder / f"{stem}.wav")
        assert rate == 16000
        np.testing.assert_allclose(wave, _sum(source, names, 40000), atol=STEP, err_msg=stem)


def test_one_gain_keeps_all_stems_from_clipping(root, made):
    out, _ = made
    source, folder = root / "train" / "Track00006", out / "train" / "Track00006"
    gain = json.loads((folder / "track.json").read_text())["gain"]
    drums = _sum(source, ["S01", "S04"], 32000)
    assert gain == pytest.approx(1 / np.abs(drums).max(), rel=1e-4)
    for stem, names in {"drums": ["S01", "S04"], "bass": ["S00"], "piano": ["S03"]}.items():
        wave, _ = soundfile.read(folder / f"{stem}.wav")
        np.testing.assert_allclose(wave, gain * _sum(source, names, 32000), atol=STEP, err_msg=stem)


def test_missing_stems_may_be_silent_and_files_flac(root, tmp_path):
    report = write_slakh(root, tmp_path, ["train"], missing_stem="silent", file_format="flac", workers=1)
    assert report.left_out == {"unreadable": 3}
    wave, _ = soundfile.read(tmp_path / "train" / "Track00002" / "guitar.flac")
    assert wave.shape == (32000,)
    assert np.abs(wave).max() == 0
    dataset = StemDataset(tmp_path / "train", list(FOUR_STEMS), AudioFormat(frames=100), shift=False, seed=0)
    assert {segment.song.name for segment in dataset.segments} == {f"Track0000{n}" for n in (1, 2, 3, 6)}


def test_stem_map_gives_six_stems(root, tmp_path):
    text = "bass: Bass\ndrums: [drums]\nguitar: [Guitar]\npiano: [Piano]\nstrings: [Strings, Strings (continued)]\n"
    (tmp_path / "six.yaml").write_text(text + "lead: [Synth Lead]\n")
    write_slakh(root, tmp_path / "out", ["train"], stem_map=tmp_path / "six.yaml", sample_rate=22050, workers=1)
    folder = tmp_path / "out" / "train" / "Track00001"
    assert sorted(path.stem for path in folder.glob("*.wav")) == ["bass", "drums", "guitar", "lead", "piano", "strings"]
    strings, rate = soundfile.read(folder / "strings.wav")
    assert rate == 22050
    source = root / "train" / "Track00001" / "stems"
    total = sum(soundfile.read(source / f"{name}.flac")[0] for name in ("S06", "S07"))
    expected = soxr.resample(total, 44100, 22050)
    np.testing.assert_allclose(strings[: len(expected)], expected, atol=STEP)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bass: [Kazoo]", r"bass: \['Kazoo'\] is unknown; choose of Piano, "),
        ("bass: [Bass]\nlow: [Bass]", "Bass is in more than one stem"),
        ("bass: []", "is unknown"),
        ("- Bass", "is not a map of stems"),
        ("bass: 3", "is not a map of stems"),
        ("bass: [", "is not valid YAML"),
    ],
)
def test_wrong_maps_are_refused(tmp_path, text, message):
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        load_stem_map(tmp_path / "map.yaml")


def test_wrong_roots_are_refused_before_anything_is_written(root, tmp_path):
    (tmp_path / "train").mkdir()
    for wrong, message in [(tmp_path, "holds no song folder"), (root / "train", "--root is the folder that holds")]:
        with pytest.raises(InputError, match=message):
            write_slakh(wrong, tmp_path / "out", ["train"])
    with pytest.raises(InputError, match="validation: no such folder"):
        write_slakh(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_song_of_another_copy_of_the_same_name_is_refused(root, tmp_path):
    write_slakh(root, tmp_path / "out", splits=("test",), workers=0)
    assert write_slakh(root, tmp_path / "out", splits=("test",), workers=0).songs == 1
    save_slakh_song(tmp_path / "other" / "test" / "Track00010", FOUR_CLASSES | {"S04": "Bass"})
    with pytest.raises(InputError, match=r"Track00010: was made from another song than"):
        write_slakh(tmp_path / "other", tmp_path / "out", splits=("test",), workers=0)
