"""Sessions on disk: the takes of one person's work, found again after a restart.

sessions/20261125-071502-h3Xk…/     one session; its name cannot be guessed
    session.json                    the take that is current
    takes/0001/take.json            what the take is, written last
    takes/0001/song/                the song, as `Song.save` writes it
    takes/0001/scores.json          its scores, once they are known
    uploads/001.wav, …              what was given
    bundles/0001.zip                to take along
"""

import json
import re
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.generation.song import Song, load_song

NAME = re.compile(r"\d{8}-\d{6}-[A-Za-z0-9_-]{16}")
TAKE_FILE, SESSION_FILE = "take.json", "session.json"
SONG = "song"
FILE_FORMAT = "wav24"
MOST_TAKES = 1000
MOST_LISTED = 50


@dataclass(frozen=True)
class Take:
    """One song of a session.

    Attributes:
        number: from 1 on, in the order in which takes were made.
        label: what was done, in words.
        before: the take that was current when it was asked for; None for the first.
        made: when, ISO 8601, UTC.
        seconds: duration.
        stems: names of the stems, in order.
        notes: what there was to say when it was made.
        folder: of the take.
    """

    number: int
    label: str
    before: int | None
    made: str
    seconds: float
    stems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    folder: Path = field(default=Path(), compare=False)

    @property
    def song_folder(self) -> Path:
        """Where `Song.save` wrote the song."""
        return self.folder / SONG

    @property
    def title(self) -> str:
        """Number and label, for lists."""
        return f"{self.number}. {self.label} ({self.seconds:.2f} s)"

    def song(self) -> Song:
        """The song itself. Raises InputError where its files are gone or damaged."""
        return load_song(self.song_folder)


class Session:
    """The work of one person: takes, uploads, and which take is current.

    Raises:
        InputError: the name is not that of a session.
    """

    def __init__(self, root: str | Path, name: str) -> None:
        if not (isinstance(name, str) and _begun(name)):
            raise InputError("session: there is no such session; open the page without its name for a new one")
        self.name, self.folder = name, Path(root).resolve() / "sessions" / name

    @classmethod
    def new(cls, root: str | Path) -> "Session":
        """A session of a new name; its folder is made with its first file."""
        return cls(root, f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_urlsafe(12)}")

    @property
    def exists(self) -> bool:
        """Whether anything of it is on disk."""
        return self.folder.is_dir()

    def takes(self) -> list[Take]:
        """The complete takes, in order; damaged ones are left out."""
        found = [_read_take(path.parent) for path in sorted(self.folder.glob(f"takes/*/{TAKE_FILE}"))]
        return [take for take in found if take is not None]

    def take(self, number: int | None) -> Take:
        """A take by its number. Raises InputError where there is none."""
        if type(number) is int and 0 < number <= MOST_TAKES:
            found = _read_take(self._take_folder(number))
            if found is not None:
                return found
        raise InputError(f"take: the session has no take {number}; make a song first, or choose one of the history")

    @property
    def current(self) -> Take | None:
        """The take that was chosen or made last; None where there is none."""
        try:
            return self.take(json.loads((self.folder / SESSION_FILE).read_text())["current"])
        except (OSError, ValueError, LookupError, TypeError, InputError):
            return next(iter(reversed(self.takes())), None)

    def choose(self, number: int) -> Take:
        """Make a take current and return it. Raises InputError where there is none."""
        take = self.take(number)
        write_json(self.folder / SESSION_FILE, {"current": take.number})
        return take

    def undo(self, number: int | None) -> Take:
        """Make the take before another current and return it. Raises InputError where there is none before it."""
        take = self.take(number)
        if take.before is None:
            raise InputError(f"undo: nothing comes before take {take.number}")
        return self.choose(take.before)

    def add(self, song: Song, label: str, before: int | None, notes: Sequence[str] = ()) -> Take:
        """Keep a song as a new take, which becomes the current one.

        Raises:
            InputError: the session is full, or the disk is.
        """
        number, folder = self._new_folder()
        try:
            song.save(folder / SONG, FILE_FORMAT)
            made = datetime.now(UTC).isoformat(timespec="seconds")
            take = Take(number, label, before, made, song.seconds, song.stems, tuple(notes), folder)
            facts = asdict(take)
            del facts["folder"]
            write_json(folder / TAKE_FILE, facts)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return self.choose(number)

    def _take_folder(self, number: int) -> Path:
        return self.folder / "takes" / f"{number:04d}"

    def _new_folder(self) -> tuple[int, Path]:
        numbers = [int(path.name) for path in self.folder.glob("takes/[0-9]*") if path.name.isdecimal()]
        for number in range(max(numbers, default=0) + 1, MOST_TAKES + 1):
            folder = self._take_folder(number)
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            except OSError as error:
                raise InputError(f"{folder}: cannot be written ({error.strerror}); free or choose a place") from error
            return number, folder
        raise InputError(f"session: holds {MOST_TAKES} takes, as many as there may be; open a new session")


def list_sessions(root: str | Path) -> list[tuple[str, str]]:
    """Title and name of the sessions that hold takes, the last ones first, at most MOST_LISTED."""
    folders = [path for path in (Path(root) / "sessions").glob("*") if _begun(path.name)]
    listed = []
    for folder in sorted(folders, key=lambda path: path.name, reverse=True)[:MOST_LISTED]:
        count = len(list(folder.glob(f"takes/*/{TAKE_FILE}")))
        if count:
            listed.append((f"{_begun(folder.name)} UTC, {count} take{'s' if count > 1 else ''}", folder.name))
    return listed


def _begun(name: str) -> str:
    """When a session of this name began, UTC; empty where it is no session's name."""
    if not NAME.fullmatch(name):
        return ""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.strptime(name[:15], "%Y%m%d-%H%M%S"))
    except ValueError:
        return ""


def _read_take(folder: Path) -> Take | None:
    try:
        facts: dict[str, Any] = json.loads((folder / TAKE_FILE).read_text())
        take = Take(**facts | {"stems": tuple(facts["stems"]), "notes": tuple(facts["notes"])}, folder=folder)
        return take if take.number == int(folder.name) and (folder / SONG).is_dir() else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
