"""Sample rates and lengths of a data set's files, read once and cached beside them."""

import json
import logging
from pathlib import Path

from synctrack.audio.files import AudioInfo, audio_info
from synctrack.errors import InputError
from synctrack.files import write_json

INDEX_NAME = ".audio_index.json"

logger = logging.getLogger(__name__)


class AudioIndex:
    """`audio_info` of the files in a root folder, cached in the root's index file.

    An entry is valid as long as the file's size and modification time are unchanged.
    """

    def __init__(self, root: Path):
        self._root = root
        self._kept: dict[str, list[int]] = {}
        self._used: dict[str, list[int]] = {}
        try:
            self._kept = json.loads((root / INDEX_NAME).read_text())
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            logger.warning("%s: is damaged; all files are read again", root / INDEX_NAME)

    def info(self, path: Path) -> AudioInfo:
        """As `audio_info`, from the index where the file is unchanged."""
        key, status = str(path.relative_to(self._root)), path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._kept.get(key, [])
        if entry[:2] != stamp:
            entry = [*stamp, *audio_info(path)]
        self._used[key] = entry
        return AudioInfo(*entry[2:])

    def save(self) -> None:
        """Write the index; if the folder cannot be written, log a warning."""
        if self._used != self._kept:
            try:
                write_json(self._root / INDEX_NAME, self._used)
            except InputError as error:
                logger.warning("%s (until then all files are read each time)", error)
