"""Cross-stem beat deviation (CBD): how far apart the paired beats of a song's stems lie. Lower is better.

Each stem in turn is the reference, each other one the target. A reference beat r_i is paired with the nearest
target beat t (the earlier of two equally near), if r_i - p/2 <= t < r_i + n/2, with p and n the reference's
inter-beat intervals before and after it (at the ends there is only one, which is used for both). Its error is
|t - r_i| / (p/2) for an early t, or |t - r_i| / (n/2): 0 is together, 1 is half a beat apart.

    reference = mean (standard deviation, median) of the errors, pooled over its targets
    song      = mean over its references,      CBD = mean over songs

References need two beats and targets one. Beats that find no partner do not count: read CBD with its coverage.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`.
"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from synctrack.cli.metrics import run_cbd
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(lambda: run_cbd(__doc__))
