"""Cross-stem beat synchronisation (CBS): how often the stems of a song have their beats together. Higher is better.

    song = mean over the windows in which any stem has a beat of (stems with a beat in the window / stems with a beat)
    CBS  = mean over songs

The windows are [i w, (i+1) w), i = 0 … ⌈(D - w) / w⌉, with w the window size and D the longest stem's duration. Stems
without any beat are not counted; songs with fewer than two stems with beats are left out.

Source: SyncTrack (section on rhythm metrics); the published evaluation runs it in protocol `paper`, w = 0.15 s.
"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from synctrack.cli.metrics import run_cbs
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(lambda: run_cbs(__doc__))
