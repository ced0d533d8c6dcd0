"""Make the compact golden fixtures of the model and of its checkpoints from the golden folder.

    python tests/helpers/make_fixtures.py GOLDEN_FOLDER

Of every large array each STRIDE-th value is kept, in C order. The strides are odd and all axes are powers of two
long (but for waveforms), so that what is kept still visits every place of every axis.
"""

import gzip
import json
import sys
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parents[1] / "fixtures"
STRIDES = {"unet_tiny": 13, "block": 5, "vae": 5, "hifigan": 3, "ddim_tiny": 29, "schedule": 1, "instrument_prior": 1}


def wanted(file: str, array: str) -> bool:
    """Leave out what our model does not compute: songs mixed within a batch, one-line facts, unused buffers."""
    if file == "unet_tiny":
        return array != "out_b2"
    if file == "block":
        return array.endswith("_b1") or array.startswith("15_")
    if file == "ddim_tiny":
        return array.startswith(("x", "final"))
    return True


def main() -> None:
    golden = Path(sys.argv[1])
    for name, stride in STRIDES.items():
        with np.load(golden / f"golden_{name}.npz") as source:
            arrays = {k: source[k] for k in source.files if k != "meta" and wanted(name, k)}
        np.savez_compressed(
            FIXTURES / f"golden_{name}.npz",
            stride=stride,
            **{key: array.reshape(-1)[::stride] for key, array in arrays.items()},
        )
    read = {
        kind: json.loads((golden / f"keys_{kind}.json").read_text()) for kind in ("full", "vae", "hifigan", "musicldm")
    }
    keys = {
        "synctrack": read["full"]["keys"],
        "musicldm": read["musicldm"]["full_key_list"],
        "vae": read["vae"]["required"] + read["vae"]["optional_loss"] + read["vae"]["ignored_vocoder"],
        "vocoder": read["hifigan"]["keys"],
        "new_in_synctrack": read["musicldm"]["unet_missing_in_musicldm"],
    }
    with np.load(golden / "golden_unet_tiny.npz") as source:
        keys["unet_tiny"] = json.loads(str(source["meta"]))["keys"]
    # Without a time stamp, so that the same input gives the same file.
    (FIXTURES / "published_keys.json.gz").write_bytes(gzip.compress(json.dumps(keys).encode(), mtime=0))


if __name__ == "__main__":
    main()
