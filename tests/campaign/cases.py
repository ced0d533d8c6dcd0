"""A malformed input of the campaign: the files that it needs, the command that reads it, and what must be named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

SHARED = "{shared}"
TRAIN = ("train_synctrack.py", "--config", "{shared}/small.yaml")
QUICK = ("--model", "{shared}/small.safetensors", "--steps", "1")
GENERATE = ("synctrack", "generate", "--out", "out", *QUICK)
"""Commands that several tables share, of the small configuration and weights."""


@dataclass(frozen=True)
class Case:
    """One malformed input.

    Attributes:
        name: of the test.
        command: `synctrack` or a script of the repository, and its arguments. `{shared}` in a word stands for the
            folder of data, weights and songs that all cases read; other paths are relative to the case's own folder.
        names: key, option or file, of which the line of the refusal must name one.
        files: written to the case's folder before: content by name.
        prepare: called with the case's folder and the shared one, for what is more than a few bytes.
    """

    name: str
    command: tuple[str, ...]
    names: tuple[str, ...]
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    prepare: Callable[[Path, Path], None] | None = None

    def set_up(self, folder: Path, shared: Path) -> None:
        """Write the case's files."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        if self.prepare is not None:
            self.prepare(folder, shared)

    def words(self, shared: Path) -> list[str]:
        """The command with the shared folder's path in its place."""
        return [word.replace(SHARED, str(shared)) for word in self.command]
