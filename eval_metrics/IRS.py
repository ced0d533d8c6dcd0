"""Inter-beat-interval regularity score (IRS): how steady the beat of each stem is. Lower is better.

    IRS = mean over stems of the mean over the stem's files of std(d),   d_i = b_(i+1) - b_i

with b the beat times of one file in seconds and std the population standard deviation. Files with fewer than two beats
have no interval and are left out.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`.
"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from synctrack.cli.metrics import run_irs
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(lambda: run_irs(__doc__))
