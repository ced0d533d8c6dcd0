"""What the report page holds, without a browser: which audio, how songs were made, and what it refuses."""

import json

import numpy as np
import pytest
import soundfile

from synctrack.audio.mel import AudioFormat
from synctrack.cli import report
from synctrack.errors import InputError
from synctrack.metrics.beats.layout import find_layout
from synctrack.report.page.content import metric_rows
from synctrack.report.page.made import folder_facts
from synctrack.report.page.songs import unscored
from synctrack.report.page.sound import audio_lines, choose, embed_audio
from synctrack.report.plots import plot_mels


def test_worst_best_and_middle_come_first():
    assert choose(["a", "b", "c", "d", "e"]) == ["a", "e", "c", "b", "d"]
    assert choose([]) == []


def test_songs_without_scores_are_neither_best_nor_worst():
    values = {"a": 0.1, "b": 0.9, "c": None, "d": None, "e": 0.5}
    songs = {song: {"cbs": value} for song, value in values.items()}
    assert unscored({"protocols": {"corrected": {"songs": songs}}}) == {"c", "d"}


def test_large_set_embeds_the_worst_the_best_and_a_sample_and_cuts_long_songs(tmp_path):
    rng, songs = np.random.default_rng(0), [f"song {number}" for number in range(9)]
    for song in songs:
        for stem in ("bass", "drums"):
            (tmp_path / song).mkdir(exist_ok=True)
            soundfile.write(tmp_path / song / f"{stem}.wav", rng.uniform(-1, 1, 16000), 16000)
    layout = find_layout(tmp_path)
    # A second of noise takes 42 kB in base 64: three songs of two stems.
    audio = embed_audio(songs, layout, None, 0.27)
    assert list(audio) == ["song 0", "song 8", "song 4"]
    audio_of_scored = embed_audio(songs, layout, None, 0.27, {"song 8", "song 0"})
    assert list(audio_of_scored) == ["song 1", "song 7", "song 4"]
    line = audio_lines(songs, audio, 0.27)[0]
    assert "6 of 9 songs have no audio here: the worst, the best and a sample" in line
    cut = embed_audio(songs, layout, None, 0.1)
    size = sum(len(url) for found in cut.values() for url in found["stems"].values())
    assert 0.7 * 0.1 * 2**20 < size <= 0.1 * 2**20
    assert all(0.3 < found["seconds"] < 0.5 for found in cut.values())
    assert "3 songs are cut to their beginnings" in audio_lines(songs, cut, 0.1)[1]
    assert audio_lines(songs, embed_audio(songs, layout, None, 10.0), 10.0) == []


def test_facts_of_a_manifest_are_named_by_section_cut_where_long_and_none_where_it_is_damaged(tmp_path):
    settings = {"seed": 3, "path": {"data": "x" * 1000, "stems": ["bass", "drums"]}, "notes": {}}
    (tmp_path / "manifest.json").write_text(json.dumps({"complete": True, "settings": settings, "clips": [1, 2]}))
    facts = dict(folder_facts(tmp_path))
    assert list(facts) == ["settings.seed", "settings.path.data", "settings.path.stems", "settings.notes"]
    assert facts["settings.path.stems"] == '["bass", "drums"]'
    assert len(facts["settings.path.data"]) == 400
    (tmp_path / "manifest.json").write_text("[1]")
    assert folder_facts(tmp_path) == folder_facts(tmp_path / "nowhere") == folder_facts(None) == []


@pytest.mark.parametrize(
    ("options", "message"), [(["--max-mb", "nan"], "--max-mb: 'nan' is not"), (["--plot", "a.txt"], "--plot a.txt: ")]
)
def test_wrong_options_are_refused_before_anything_is_scored(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        report.main([str(tmp_path / "nowhere"), *options], "synctrack report")


@pytest.mark.parametrize(("interval", "mark"), [([-0.01, 0.2], "not better than chance"), ([0.01, 0.2], "")])
def test_onset_synchrony_that_chance_reaches_is_marked(interval, mark):
    onsets = {"value": 0.1, "interval_95": interval}
    (row,) = metric_rows({"protocols": {}, "onset_synchrony": onsets})
    assert row["mark"] == mark


def test_names_with_dollar_signs_are_plotted(tmp_path):
    plot_mels(tmp_path / "mels.png", np.zeros((1, 16000), np.float32), ["$b_$1"], AudioFormat(), "song $1 #2$ $_$")
    assert (tmp_path / "mels.png").stat().st_size > 0
