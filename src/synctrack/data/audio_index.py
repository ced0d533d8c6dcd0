"""Sample rates and lengths of a data set's files, read once and cached beside them."""

import logging
from pathlib import Path

from synctrack.audio.files import RATES, AudioInfo, audio_info
from synctrack.documents import LARGEST_LIST, read_json
from synctrack.errors import InputError
from synctrack.files import write_json

INDEX_NAME = ".audio_index.json"
ENTRY = (int, int, int, int)
"""Of a file: bytes, modification time in nanoseconds, and its `AudioInfo`."""

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
            self._kept = read_json(root / INDEX_NAME, {str: ENTRY}, LARGEST_LIST)
        except InputError as error:
            if (root / INDEX_NAME).exists():
                logger.warning("%s; all files are read again", error)

    def info(self, path: Path) -> AudioInfo:
        """As `audio_info`, from the index where the file is unchanged."""
        key, status = str(path.relative_to(self._root)), path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        entry = self._kept.get(key, [])
        # Only audio within these bounds has been written here.
        if entry[:2] != stamp or not (RATES[0] <= entry[2] <= RATES[1] and entry[3] > 0):
            entry = [*stamp, *audio_info(path)]
        self._used[key] = entry
        return AudioInfo(*entry[2:])

    def save(self) -> None:
        """Write the index; if the folder cannot be written, log a warning."""
        # Files that were not asked for this time, of other stems, will be again.
        entries = self._kept | self._used
        if entries != self._kept:
            try:
                write_json(self._root / INDEX_NAME, entries)
            except InputError as error:
                logger.warning("%s (until then all files are read each time)", error)
