"""Checks of settings: each raises a ValueError of one line that begins with the key."""

import math
from collections.abc import Sequence
from numbers import Integral, Real

LONGEST_NAME = 100
"""Characters of a file's name, its suffix not counted."""
DEVICES = frozenset(["con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))])
"""What Windows takes for a device, whatever follows the first full stop."""
MIX = "mix"
"""The name of the sum of all stems, which no stem may have."""
LARGEST_SEED = 2**63 - 1
MOST_STEPS = 10**12
"""Optimiser steps of a training."""


def check_number(
    key: str, value: float | None, lowest: float, highest: float = math.inf, *, optional: bool = False
) -> None:
    """Raise ValueError unless a value is a finite number from `lowest` to `highest`; `optional` accepts None too."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{key}: {shortened(value)} is not a number")
    if not math.isfinite(value):
        raise ValueError(f"{key}: {value} is not a finite number")
    if not lowest <= value <= highest:
        raise ValueError(f"{key}: {value} is not between {lowest} and {highest}")


def check_path(key: str, value: str | None, *, optional: bool = False) -> None:
    """Raise ValueError unless a value can be the path of a file or folder; `optional` accepts None too.

    It must not be empty, hold characters that cannot be printed, or be longer than file systems allow: 255 bytes for a
    name, 4095 for all of it.
    """
    if value is None and optional:
        return
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: {value!r} is not a path; name a file or folder")
    if not value.isprintable():
        raise ValueError(f"{key}: {shortened(value)} holds characters that cannot be printed; rename it")
    encoded = value.encode()
    if len(encoded) > 4095 or max(map(len, encoded.split(b"/"))) > 255:
        raise ValueError(f"{key}: {shortened(value)} has {len(encoded)} bytes, too long for a path or a name in it")


def shortened(value: object, longest: int = 60) -> str:
    """A value as Python writes it, without what lies beyond the first `longest` characters."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[:longest]}…"


def check_whole(key: str, value: int | None, lowest: int, highest: int, *, optional: bool = False) -> None:
    """Raise ValueError unless a value is a whole number from `lowest` to `highest`; `optional` accepts None too."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{key}: {shortened(value)} is not a whole number")
    check_number(key, value, lowest, highest)


def check_wholes(key: str, values: Sequence[int], lowest: int, highest: int, max_length: int = 16) -> None:
    """Raise ValueError unless a list has 1 to `max_length` entries, all whole numbers from `lowest` to `highest`."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{key}: {values!r} is not a list of whole numbers")
    if not 1 <= len(values) <= max_length:
        raise ValueError(f"{key}: has {len(values)} entries, not between 1 and {max_length}")
    for value in values:
        check_whole(key, value, lowest, highest)


def check_multiple(key: str, value: int, factor: int) -> None:
    """Raise ValueError unless a value is a positive multiple of `factor`."""
    if value < 1 or value % factor:
        raise ValueError(f"{key}: {value} is not a positive multiple of {factor}")


def check_choice(key: str, value: str, choices: Sequence[str]) -> None:
    """Raise ValueError unless a value is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{key}: {shortened(value)} must be one of {', '.join(choices)}")


def check_file_name(key: str, name: str) -> None:
    """Raise ValueError unless `name` is safe, on any system, as the name of a file in a folder.

    It must not be empty, hidden, longer than 100 characters or end in a blank or a full stop; nor hold characters that
    cannot be printed, lead out of the folder or have a meaning to a file system, nor be one of DEVICES.
    """
    safe = isinstance(name, str) and name.isprintable() and not any(character in '/\\:*?"<>|' for character in name)
    safe = safe and name.partition(".")[0].casefold() not in DEVICES
    if not safe or not 1 <= len(name) <= LONGEST_NAME or name.startswith((".", " ")) or name.endswith((".", " ")):
        shown = repr(name) if len(str(name)) <= LONGEST_NAME else f"{str(name)[:20]!r}… of {len(str(name))} characters"
        raise ValueError(f"{key}: {shown} is not a file name; use letters, digits, spaces, - and _")


def check_stems(key: str, stems: Sequence[str]) -> None:
    """Raise ValueError unless these are names of stems: file names, one or more, none twice in any case, none `mix`."""
    if isinstance(stems, str) or not isinstance(stems, Sequence) or not stems:
        raise ValueError(f"{key}: names no stem; give one or more, such as [bass, drums]")
    seen = {MIX: "the mix"}
    for stem in stems:
        check_file_name(key, stem)
        if stem.casefold() in seen:
            raise ValueError(f"{key}: {stem!r} is the name of {seen[stem.casefold()]} too; name each stem once")
        seen[stem.casefold()] = f"the stem {stem!r}"
