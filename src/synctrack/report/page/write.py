"""The report page: one HTML file with scores, songs and a player, that opens from disk without a network."""

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

import synctrack
from synctrack.files import write_text
from synctrack.metrics.beats.layout import Layout
from synctrack.metrics.faults import out_of_time
from synctrack.metrics.score import Scored
from synctrack.metrics.tables import counts_line, notes, stem_rows
from synctrack.report.page.content import frechet_rows, matrices, metric_rows, strips, truth_rows
from synctrack.report.page.made import folder_facts, song_facts
from synctrack.report.page.songs import song_entries, song_order, unscored
from synctrack.report.page.sound import audio_lines, embed_audio

MAX_MB = 40.0


def _asset(name: str) -> str:
    return resources.files("synctrack.report.page").joinpath(name).read_text(encoding="utf-8")


def player_script() -> str:
    """The player as one JavaScript module that exports `mountPlayer(element, song, options)`; see player.js."""
    lines = "\n".join([_asset("tracks.js"), _asset("player.js")]).splitlines()
    return "\n".join(line for line in lines if not line.startswith("import "))


def player_style() -> str:
    """The player's style sheet; its colours are custom properties of `.synctrack-player`."""
    return _asset("player.css")


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(value, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render_page(
    result: Mapping[str, Any],
    folder: Layout | None = None,
    reference: Layout | None = None,
    made: Sequence[Sequence[str]] = (),
    max_mb: float = MAX_MB,
) -> str:
    """The page as HTML. Every name from files and scores is escaped.

    Args:
        result: what `score_folder` returned.
        folder: its files, to listen to; None leaves the player out.
        reference: files of the reference, played against them where songs have the same name.
        made: how the songs were made: names and values, of `folder_facts`.
        max_mb: megabytes of audio to embed at most.

    Raises:
        InputError: an audio file cannot be read.
    """
    order = song_order(result)
    audio = embed_audio(order, folder, reference, max_mb, unscored(result))
    songs = song_entries(result, order, audio)
    for entry in songs:
        entry["made"] = song_facts(folder, entry["name"])
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    raw = jinja2.utils.markupsafe.Markup
    return environment.from_string(_asset("report.html.j2")).render(
        result=result,
        version=synctrack.__version__,
        rows=metric_rows(result),
        stem_rows=stem_rows(result),
        frechet=frechet_rows(result),
        truth=truth_rows(result),
        matrices=matrices(result),
        strips=strips(result),
        lines=[*notes(result), counts_line(result)],
        faults=out_of_time(result),
        songs=songs,
        audio_lines=audio_lines(order, audio, max_mb) if folder is not None else ["No audio was given."],
        made=made,
        style=raw(player_style() + _asset("report.css")),
        script=raw(player_script() + _asset("report.js")),
        data=raw(_script_json({"songs": songs})),
    )


def write_page(path: str | Path, *arguments: Any, **options: Any) -> None:
    """Write `render_page` to a file, whole or not at all. Raises InputError where that cannot be done."""
    page = render_page(*arguments, **options)
    write_text(path, page)


def report_scored(path: str | Path, scored: Scored, source: Path | None, max_mb: float = MAX_MB) -> None:
    """Write the page of what was scored.

    Args:
        path: of the page.
        scored: of `score_files`.
        source: the folder that was scored, whose manifest says how its songs were made.
        max_mb: megabytes of audio to embed at most.

    Raises:
        InputError: an audio file cannot be read, or the page cannot be written.
    """
    write_page(path, scored.result, scored.folder, scored.reference, folder_facts(source), max_mb)
