"""`synctrack score`: IRS, CBS and CBD of a folder of stems."""

from collections.abc import Sequence

from synctrack.cli.metrics import run_score

DESCRIPTION = """Score the rhythm of stems from any system.

IRS: how steady each stem's beat is, in seconds (lower is better). CBS: how often the stems have their beats together,
0 to 1 (higher is better). CBD: how far apart paired beats lie, in half beats (lower is better)."""


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    run_score(DESCRIPTION, argv, prog)
