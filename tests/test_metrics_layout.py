"""Which files of a folder are taken as which stem of which song: right, or refused with the reason."""

import os
import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from synctrack.errors import InputError
from synctrack.metrics.beats.layout import find_layout, is_stem_name

STEMS = ("bass", "drums", "guitar", "piano")
SONGS = ("Für Elise", "song 2", "song 10")


def make(folder: Path, *names: str) -> Path:
    """Empty files, which is all that the layout looks at."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_song_major_folder_is_found_from_the_stems_names(tmp_path):
    make(tmp_path, *(f"{song}/{stem}.flac" for song in SONGS for stem in (*STEMS, "mix")))
    layout = find_layout(tmp_path)
    assert (layout.kind, list(layout.stems), layout.songs) == ("songs", list(STEMS), list(SONGS))
    assert layout.stems["bass"]["Für Elise"] == tmp_path / "Für Elise" / "bass.flac"
    assert layout.mixes["song 2"] == tmp_path / "song 2" / "mix.flac"
    assert "4 stems: bass, drums, guitar, piano; 3 songs: Für Elise, song 2, song 10" in layout.describe()


@pytest.mark.parametrize("stems", [STEMS, ("stem_0", "stem_1"), ("01 Bass", "02 Drums", "03 Synth pad", "other")])
def test_stem_major_folder_is_found_from_the_folders_names(tmp_path, stems):
    make(tmp_path, *(f"{stem}/{song}.ogg" for song in SONGS for stem in (*stems, "mix")))
    layout = find_layout(tmp_path)
    assert (layout.kind, list(layout.stems), layout.songs) == ("stems", list(stems), list(SONGS))


def test_six_stems_and_one_song(tmp_path):
    names = (*STEMS, "vocals", "other")
    make(tmp_path / "song", *(f"{name}.mp3" for name in names))
    assert sorted(find_layout(tmp_path / "song").stems) == sorted(names)
    assert find_layout(tmp_path / "song").kind == "song"


def test_evaluation_layout_leaves_out_mix_and_targets(tmp_path):
    make(tmp_path, *(f"{place}/a.wav" for place in ("stem_0", "stem_1", "mix", "targets/stem_0", "targets/stem_1")))
    assert list(find_layout(tmp_path).stems) == ["stem_0", "stem_1"]


def test_stem_missing_in_a_song_is_kept_as_missing(tmp_path):
    make(tmp_path, *(f"{song}/{stem}.wav" for song in SONGS for stem in STEMS))
    (tmp_path / "song 2" / "guitar.wav").unlink()
    layout = find_layout(tmp_path)
    assert layout.songs == list(SONGS)
    assert "song 2" not in layout.stems["guitar"]


def test_names_written_by_other_systems_and_in_capitals_are_the_same(tmp_path):
    composed, decomposed = unicodedata.normalize("NFC", "Für Elise"), unicodedata.normalize("NFD", "Für Elise")
    make(tmp_path / "a", f"bass/{composed}.wav", f"drums/{decomposed}.wav")
    assert find_layout(tmp_path / "a").songs == [composed]
    make(tmp_path / "b", "one/Bass.wav", "one/drums.wav", "two/bass.wav", "two/Drums.wav")
    assert {name: sorted(files) for name, files in find_layout(tmp_path / "b").stems.items()} == {
        "Bass": ["one", "two"],
        "drums": ["one", "two"],
    }


def test_a_song_called_like_a_stem_does_not_turn_the_folder_round(tmp_path):
    make(tmp_path, *(f"{song}/{stem}.wav" for song in ("Piano", *SONGS) for stem in STEMS))
    assert find_layout(tmp_path).songs == ["Für Elise", "Piano", "song 2", "song 10"]


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (
            ("left/a.wav", "left/b.wav", "right/a.wav"),
            "may be read in two ways: stems left, right, each",
        ),
        (("bass/piano.wav", "drums/piano.wav"), "or songs bass, drums, each with the stems piano"),
        (("bass/one.wav", "two/bass.wav", "two/drums.wav"), "mixes two layouts: bass looks like a stem"),
        (("stem_0/a.wav", "stem_1/a.wav", "song/bass.wav"), "holds stems (stem_0, stem_1) and songs (song)"),
        (("train/one/bass.wav", "train/one/drums.wav"), "name a folder above one"),
        (("one/bass.wav", "one/bass.flac"), "the same name"),
        (("one/bass.wav", "one/Bass.flac"), "the same stem"),
        (("notes.txt",), "holds no stem folder"),
    ],
)
def test_what_can_be_read_both_ways_or_not_at_all_is_refused(tmp_path, names, complaint):
    make(tmp_path, *names)
    with pytest.raises(InputError, match=re.escape(complaint)):
        find_layout(tmp_path)


def test_both_readings_can_be_chosen(tmp_path):
    make(tmp_path, "left/a.wav", "left/b.wav", "right/a.wav", "right/b.wav")
    assert list(find_layout(tmp_path, "stems").stems) == ["left", "right"]
    assert list(find_layout(tmp_path, "songs").stems) == ["a", "b"]


def test_stems_can_be_chosen_and_missing_ones_are_named(tmp_path):
    make(tmp_path, *(f"{song}/{stem}.wav" for song in SONGS for stem in STEMS))
    layout = find_layout(tmp_path, stems=["piano", "bass"])
    assert list(layout.stems) == ["piano", "bass"]
    assert "left out: drums (not among --stems)" in layout.describe()
    with pytest.raises(InputError, match=r"has no flute; its stems are bass, drums, guitar, piano"):
        find_layout(tmp_path, stems=["flute", "bass"])


@pytest.mark.parametrize("name", ["bass", "Bass", "02 bass", "bass_2", "stem_3", "DRUMS", "track 4"])
def test_stem_names(name):
    assert is_stem_name(name)


@pytest.mark.parametrize("name", ["Bass Song", "Groove00001", "stem", "einfach", ""])
def test_other_names(name):
    assert not is_stem_name(name)


@pytest.mark.medium
def test_layouts_of_the_same_audio_score_alike_in_real_commands(tmp_path, run, monkeypatch):
    from helpers.metrics_corpus import clicks

    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    for song, interval in (("one", 0.5), ("two", 0.6)):
        for stem in ("bass", "drums"):
            for path in (tmp_path / "by_song" / song / f"{stem}.wav", tmp_path / "by_stem" / stem / f"{song}.wav"):
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, clicks(np.arange(0.25, 5, interval), 5.0, 16000), 16000)
    outputs = [run("eval_metrics/score.py", folder).stdout.splitlines() for folder in ("by_song", "by_stem")]
    assert outputs[0][0] == "layout: one folder for each song; 2 stems: bass, drums; 2 songs: one, two"
    assert outputs[0][1:] == outputs[1][1:]
    assert "no interval: 2 songs have a value; an interval needs 5" in outputs[0]
    assert any(line.startswith("no chance level: 2 songs are in every stem") for line in outputs[0])


def test_numbered_mix_of_an_export_is_not_a_stem(tmp_path):
    for name in ("00_mix", "01_bass", "02_drums"):
        (tmp_path / "song").mkdir(exist_ok=True)
        (tmp_path / "song" / f"{name}.wav").write_bytes(b"")
    found = find_layout(tmp_path)
    assert list(found.stems) == ["01_bass", "02_drums"]
    assert found.mixes["song"].name == "00_mix.wav"


def test_names_with_signs_that_are_no_decimal_digits_are_sorted(tmp_path):
    make(tmp_path, *(f"take {n}/{stem}.wav" for n in ("2²", "10", "①") for stem in STEMS))
    assert set(find_layout(tmp_path).songs) == {"take 2²", "take 10", "take ①"}


def test_folders_beside_numbered_stems_are_said_to_be_left_out(tmp_path):
    make(tmp_path, *(f"{stem}/a.wav" for stem in ("stem_0", "stem_1", "bass", "mix")))
    layout = find_layout(tmp_path)
    assert (list(layout.stems), layout.left_out) == (["stem_0", "stem_1"], {"bass": "beside stem_0 …"})


def test_mixes_beside_songs_are_no_song_and_songs_may_be_called_mixture(tmp_path):
    make(tmp_path / "a", *(f"{song}/{stem}.wav" for song in SONGS for stem in STEMS), *(f"mix/{s}.wav" for s in SONGS))
    assert find_layout(tmp_path / "a").songs == list(SONGS)
    names = [f"mixture_{number:03d}" for number in range(3)]
    make(tmp_path / "b", *(f"{song}/{stem}.wav" for song in names for stem in (*STEMS, "mixture")))
    assert (find_layout(tmp_path / "b").songs, list(find_layout(tmp_path / "b").mixes)) == (names, names)
    make(tmp_path / "c", *(f"{stem}/track_{n}.wav" for stem in (*STEMS, "mix") for n in range(3)))
    assert list(find_layout(tmp_path / "c", "stems").stems) == list(STEMS)


def test_songs_of_slakh_are_songs_and_folders_called_track_alone_are_refused(tmp_path):
    songs = [f"Track{number:05d}" for number in range(1, 4)]
    make(tmp_path / "slakh", *(f"{song}/{stem}.flac" for song in songs for stem in STEMS))
    layout = find_layout(tmp_path / "slakh")
    assert (layout.kind, list(layout.stems), layout.songs) == ("songs", list(STEMS), songs)
    make(tmp_path / "quartets", *(f"Track0{n}/{stem}.wav" for n in range(3) for stem in ("violin", "cello", "flute")))
    with pytest.raises(InputError, match="may be read in two ways"):
        find_layout(tmp_path / "quartets")
    assert sorted(find_layout(tmp_path / "quartets", "songs").stems) == ["cello", "flute", "violin"]


@pytest.mark.parametrize("stems", [("stem_0", "stem_1"), ("violin", "cello")])
def test_songs_called_mix_are_songs_where_their_files_are_stems(tmp_path, stems):
    names = ["mix_01", "song_02", "song_03"]
    make(tmp_path / "some", *(f"{song}/{stem}.wav" for song in names for stem in stems))
    assert find_layout(tmp_path / "some", "songs").songs == names
    names = ["mixture_001", "mixture_002"]
    make(tmp_path / "all", *(f"{song}/{stem}.wav" for song in names for stem in stems))
    assert find_layout(tmp_path / "all", "songs").songs == names
    make(tmp_path / "beside", *(f"one/{stem}.wav" for stem in stems), "mix/one.wav", "mix/two.wav")
    layout = find_layout(tmp_path / "beside", "songs")
    assert layout.songs == ["one"]
    assert "left out: mix (holds mixes)" in layout.describe()


def test_name_that_is_no_text_is_refused(tmp_path):
    folder = os.fsencode(tmp_path / "songs") + b"/caf\xe9"
    try:
        os.makedirs(folder)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    for stem in (b"/bass.wav", b"/drums.wav"):
        open(folder + stem, "wb").close()
    with pytest.raises(InputError, match="its name is not UTF-8; rename it"):
        find_layout(tmp_path / "songs")


def test_folders_whose_names_are_the_same_but_for_their_writing_are_refused(tmp_path):
    for form in ("NFC", "NFD"):
        make(tmp_path / unicodedata.normalize(form, "Für Elise"), "bass.wav", "drums.wav")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system takes both for one name")
    with pytest.raises(InputError, match="has the same name, written otherwise"):
        find_layout(tmp_path)


def test_one_song_of_other_stems_is_read_on_request(tmp_path):
    make(tmp_path, "tom.wav", "cello.wav")
    assert list(find_layout(tmp_path, "song").stems) == ["cello", "tom"]
