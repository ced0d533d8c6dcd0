"""Fréchet audio distance (FAD): how far the sound of a folder of stems is from that of a reference. Lower is better.

    FAD = |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)

between the Gaussians of the embeddings of all patches, for each stem, for the mix, and for the sum of any --subset.
FAD-infinity is FAD extrapolated to endless sets, KAD the unbiased squared maximum mean discrepancy.

Source: K. Kilgour et al., "Fréchet audio distance", 2019.
"""

import sys
from pathlib import Path

# A copy of the source tree runs its own code, whatever is installed.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from synctrack.cli.fad import run_fad
from synctrack.errors import run_command

if __name__ == "__main__":
    run_command(lambda: run_fad(__doc__))
