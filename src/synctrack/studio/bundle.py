"""A take to take along, as one zip file.

take_0003/song/bass.wav, …, mix.wav, song.json     stems and mix
take_0003/daw/01_bass.wav, …, 00_beats.mid         the same for music programs: whole bars, names that sort
take_0003/report.html                              scores and player
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synctrack.errors import InputError
from synctrack.files import atomic_path
from synctrack.metrics.beats.layout import find_layout
from synctrack.report.page.write import write_page
from synctrack.studio.sessions import FILE_FORMAT, SONG, Session, Take

REPORT = "report.html"


def write_bundle(session: Session, take: Take, scores: Mapping[str, Any], check: Callable[[], None]) -> Path:
    """Write the zip file of a take into the session's folder, and return its path.

    Args:
        session: that the take is of.
        take: to pack.
        scores: of `score_take`.
        check: raises where the job is to stop.

    Raises:
        InputError: the take's files are damaged, or the disk is full.
    """
    path = session.folder / "bundles" / f"{take.number:04d}.zip"
    path.parent.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=".packing-", dir=path.parent))
    try:
        song = take.song()
        song.save(place / "daw", FILE_FORMAT, daw=True)
        check()
        write_page(place / REPORT, scores, find_layout(take.folder, "songs"))
        check()
        with atomic_path(path) as temporary:
            _zip(temporary, f"take_{take.number:04d}", {SONG: take.song_folder, "daw": place / "daw"}, place / REPORT)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}); free or choose a place") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return path


def _zip(path: Path, name: str, folders: Mapping[str, Path], report: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for inner, folder in folders.items():
            for file in sorted(folder.iterdir()):
                if not file.name.startswith("."):
                    archive.write(file, f"{name}/{inner}/{file.name}")
        archive.write(report, f"{name}/{REPORT}")
