"""`synctrack checkpoint inspect | convert | diff`."""

from collections.abc import Sequence

from synctrack.checkpoint import commands


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    commands.main(argv, prog)
