"""One of several processes that share out the songs of a data set, such as the jobs of a job array."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from synctrack.data.songs import SongReport
from synctrack.errors import InputError
from synctrack.files import write_json

FINISHED = ".shards"
"""In a folder of songs: what each shard has left out, once it has written all of its songs."""
MOST = 100_000
LISTED = 10
"""Missing shards that a message lists."""
Job = TypeVar("Job")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shares of a data set's songs, counted from 1: every `count`-th song, by name."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """A shard as it is written on the command line, `3/16`.

        Raises:
            InputError: it is not two whole numbers of which the first is between 1 and the second.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count <= MOST:
            raise InputError(f"--shard {text}: is not one of so many, such as 3/16")
        return cls(number, count)

    @property
    def part(self) -> str:
        """Its name in names of files."""
        return f"{self.number}-of-{self.count}"

    def jobs(self, jobs: Mapping[str, Job]) -> dict[str, Job]:
        """This shard's share of the jobs, which are by song."""
        return {name: jobs[name] for name in sorted(jobs)[self.number - 1 :: self.count]}

    def finish(self, out: Path, report: SongReport) -> None:
        """Note in a folder of songs that this shard has written its own, and what it has left out."""
        write_json(out / FINISHED / f"{self.part}.json", {"left_out": report.left_out, "lines": report.lines})

    def missing(self, out: Path) -> list[int]:
        """The shards that have not written their songs yet."""
        return [n for n in range(1, self.count + 1) if not (out / FINISHED / f"{n}-of-{self.count}.json").is_file()]

    def unfinished(self, missing: list[int]) -> str:
        """For messages: which shards have not finished, the first ten by number."""
        more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
        return f"shard {', '.join(map(str, missing[:LISTED]))}{more} of {self.count} has not finished"

    def left_out(self, out: Path) -> SongReport:
        """What all shards together have left out.

        Raises:
            InputError: the note of a shard is damaged.
        """
        total = SongReport()
        for number in range(1, self.count + 1):
            path = out / FINISHED / f"{number}-of-{self.count}.json"
            try:
                note = json.loads(path.read_text())
                total.add(SongReport(left_out=Counter(note["left_out"]), lines=list(note["lines"])))
            except (OSError, ValueError, LookupError, TypeError) as error:
                raise InputError(
                    f"{path}: is damaged; remove it and run --shard {number}/{self.count} again"
                ) from error
        return total


def missing_shards(out: Path) -> str:
    """For messages about a folder that is not complete: which shards have not finished; empty if it has none."""
    for note in (out / FINISHED).glob("*-of-*.json"):
        found = re.fullmatch(r"[0-9]+-of-([0-9]{1,6})", note.stem)
        if found is None or not 1 <= int(found[1]) <= MOST:
            continue
        shard = Shard(1, int(found[1]))
        missing = shard.missing(out)
        if missing:
            return shard.unfinished(missing)
    return ""
