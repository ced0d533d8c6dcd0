"""What a training's run folder holds."""

import csv
from pathlib import Path


def logged(run_dir: Path, name: str) -> dict[int, float]:
    """The values of `name` by step, over all parts of a run."""
    values = {}
    for file in sorted(run_dir.glob("csv/version_*/metrics.csv")):
        for row in csv.DictReader(file.open()):
            if row.get(name):
                values[int(row["step"])] = float(row[name])
    return values
