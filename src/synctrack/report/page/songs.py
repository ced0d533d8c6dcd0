"""The songs of the report page, from worst to best, and what its script is told of each."""

from collections.abc import Mapping, Sequence
from typing import Any

from synctrack.metrics.compare import match_stems
from synctrack.metrics.faults import faults_of
from synctrack.metrics.tables import cell

PUBLISHED = "paper"
SONG_SCORES = {"CBS": "cbs", "CBD": "cbd", "IRS": "irs", "CBS, tempi folded": "folded_cbs"}


def song_order(result: Mapping[str, Any]) -> list[str]:
    """The songs from worst to best: those with a stem out of time first, then by CBS, those without a value last."""
    songs = next(iter(result["protocols"].values()))["songs"]

    def key(song: str) -> tuple:
        value = songs[song]["cbs"]
        return -len(faults_of(result, song)), value is None, value or 0.0, song

    return sorted(songs, key=key)


def unscored(result: Mapping[str, Any]) -> set[str]:
    """The songs of which CBS has no value."""
    songs = next(iter(result["protocols"].values()))["songs"]
    return {song for song, values in songs.items() if values["cbs"] is None}


def song_entries(result: Mapping[str, Any], order: Sequence[str], audio: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the page's script needs of each song: its scores and faults as text, beats, and audio where there is any.

    Args:
        result: what `score_folder` returned.
        order: the songs as they are listed.
        audio: of `embed_audio`.
    """
    protocol, values = next(iter(result["protocols"].items()))
    onsets = result.get("onset_synchrony", {}).get("songs", {})
    reference = result.get("reference")
    theirs = match_stems(result["stems"], reference["stems"]) if reference else {}
    entries = []
    for song in order:
        scores = [[title, cell(values["songs"][song][name])] for title, name in SONG_SCORES.items()]
        scores.append(["onset synchrony", cell(onsets.get(song, {}).get("onset_synchrony"))])
        entry = {"name": song, "scores": scores, "audio": audio.get(song)}
        if "seconds" in audio.get(song, {}):
            entry["cut"] = f"The first {audio[song]['seconds']:.1f} of {result['durations'][song]:.1f} s."
        entry["faults"] = [f"{stem} {phrase}" for stem, phrase in faults_of(result, song).items()]
        # Beats of the published protocol lie at two thirds of their times: they would be drawn in the wrong places.
        if protocol != PUBLISHED:
            entry["beats"] = result["beats"][protocol][song]
            target = reference["beats"][protocol].get(song, {}) if reference else {}
            entry["targetBeats"] = {stem: target[name] for stem, name in theirs.items() if name in target}
        entries.append(entry)
    return entries
