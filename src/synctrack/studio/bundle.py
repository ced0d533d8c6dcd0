"""A take to take along, as one zip file.

take_0003/song/bass.wav, …, mix.wav, song.json     stems and mix
take_0003/daw/01_bass.wav, …, 00_beats.mid         the same for music programs: whole bars, names that sort
take_0003/report.html                              scores and player, where there are scores
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from synctrack.documents import read_json
from synctrack.errors import InputError
from synctrack.files import atomic_path, write_json
from synctrack.manifest import SONG_FILE
from synctrack.metrics.beats.layout import find_layout
from synctrack.report.page.write import write_page
from synctrack.studio.sessions import FILE_FORMAT, SONG, Session, Take

REPORT = "report.html"


def write_bundle(session: Session, take: Take, scores: Mapping[str, Any] | None, check: Callable[[], None]) -> Path:
    """Write the zip file of a take into the session's folder, and return its path.

    Args:
        session: that the take is of.
        take: to pack.
        scores: of `score_take`; without them there is no report.
        check: raises where the job is to stop.

    Raises:
        InputError: the take's files are damaged, or the disk is full.
    """
    path = session.folder / "bundles" / f"{take.number:04d}.zip"
    path.parent.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".packing-", dir=path.parent))
    try:
        song = take.song()
        replace(song, info=without_places(song.info, session.folder)).save(place / "daw", FILE_FORMAT, daw=True)
        check()
        shutil.copytree(take.song_folder, place / "made" / SONG)
        facts = read_json(take.song_folder / SONG_FILE)
        write_json(place / "made" / SONG / SONG_FILE, without_places(facts, session.folder))
        if scores is not None:
            write_page(place / REPORT, scores, find_layout(place / "made", "songs"))
        check()
        folders = {SONG: place / "made" / SONG, "daw": place / "daw"}
        with atomic_path(path) as temporary:
            _zip(temporary, f"take_{take.number:04d}", folders, None if scores is None else place / REPORT)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); free or choose a place") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return path


def without_places(value: Any, folder: Path) -> Any:
    """JSON without what tells where the studio's files lie, and with them the secret name of a session.

    Absolute paths below `folder` are given from there on, others by their file's name alone.
    """
    if isinstance(value, dict):
        return {key: without_places(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [without_places(item, folder) for item in value]
    if not isinstance(value, str) or not Path(value).is_absolute():
        return value
    path = Path(value)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _zip(path: Path, name: str, folders: Mapping[str, Path], report: Path | None) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for inner, folder in folders.items():
            for file in sorted(folder.iterdir()):
                if not file.name.startswith("."):
                    archive.write(file, f"{name}/{inner}/{file.name}")
        if report is not None:
            archive.write(report, f"{name}/{REPORT}")
