"""All three metrics at once; the beats of each file are tracked once and cached.

IRS: how steady each stem's beat is (lower is better). CBS: how often the stems have their beats together (higher is
better). CBD: how far apart paired beats lie, in half beats (lower is better). See IRS.py, CBS.py and CBD.py.
"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from synctrack.cli.score import run_score
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(lambda: run_score(__doc__))
