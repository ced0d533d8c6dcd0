"""Values that a person gives in Python, as what they stand for: numbers, pairs of them, names, beats."""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from synctrack.audio.beat_files import Beats
from synctrack.bounds import check_whole, shortened
from synctrack.errors import InputError


def is_number(value: Any) -> bool:
    """Whether a value is a finite number of Python."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number of Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def whole(name: str, value: Any, lowest: int, highest: int) -> int:
    """A whole number, also of NumPy, as Python's. Raises InputError where it is none or out of its bounds."""
    try:
        check_whole(name, value, lowest, highest)
    except ValueError as error:
        raise InputError(str(error)) from error
    return int(value)


def pair(name: str, value: Any, wanted: str, kind: type) -> tuple[Any, Any]:
    """Two numbers from `5-8` or from a pair; a single whole number n is n-n.

    Raises:
        InputError: it is neither, and not `wanted`.
    """
    asked = value
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([\d.]+)\s*-\s*([\d.]+)\s*", value) or re.fullmatch(r"\s*(\d+)()\s*", value)
        value = () if found is None else (found[1], found[2] or found[1])
    elif is_whole(value):
        value = (value, value)
    try:
        first, last = (kind(item) for item in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: {asked} is not {wanted}") from error
    return first, last


def as_names(name: str, value: Any) -> list[str]:
    """A list of names from one name or several. Raises InputError where they are no names."""
    if value is None or isinstance(value, str):
        return [value] if value else []
    items = list(value) if isinstance(value, Iterable) else [None]
    if not all(isinstance(item, str) for item in items):
        raise InputError(f"{name}: {shortened(value)} is not a name of a stem, nor a list of such")
    return items


def as_beats(value: Any) -> Beats:
    """Beats without bars from a sequence of seconds. Raises InputError where it is none."""
    try:
        return Beats(np.asarray(value, np.float64))
    except (TypeError, ValueError, InputError) as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"beats: {shortened(value)} are not beats{reason}; give Beats, a file of beats, 'none' or a list of seconds"
        ) from error
