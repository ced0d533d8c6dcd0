"""Inner loops that numba compiles."""

from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` without the interpreter's lock; what is compiled is kept on the disk, if there is a place for it.

    Args:
        options: more of `numba.njit`.
    """

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            # Neither the package's folder nor the user's cache can be written: each process compiles for itself.
            return numba.njit(nogil=True, **options)(function)

    return decorate
