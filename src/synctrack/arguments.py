"""Command lines: a parser whose refusals are one line like all others, and types with bounds for its options."""

import argparse
import math
import re
from collections.abc import Callable
from typing import NoReturn

from synctrack.bounds import LARGEST_SEED, shortened
from synctrack.errors import InputError

MOST_WORKERS = 512


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` that raises `InputError` instead of printing its usage."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line.

        Raises:
            InputError: always.
        """
        told = re.sub(r"^argument (\S+?)(/\S+)?: ", r"\1: ", message)
        raise InputError(f"{told[:1000]}; {self.prog} --help lists the arguments")


def whole(lowest: int, highest: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from `lowest` to `highest`, for `add_argument`."""

    def read(text: str) -> int:
        # Python's int accepts underscores, blanks and digits of other scripts.
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,40}", text) else None
        if value is None or not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{shortened(text)} is not a whole number from {lowest} to {highest}")
        return value

    return read


def number(lowest: float, highest: float) -> Callable[[str], float]:
    """The type of an option that takes a number from `lowest` to `highest`, for `add_argument`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not lowest <= value <= highest:
            bounds = f"{lowest:g} to {highest:g}"
            raise argparse.ArgumentTypeError(f"{shortened(text)} is not a number from {bounds}")
        return value

    return read


seed = whole(0, LARGEST_SEED)
workers = whole(1, MOST_WORKERS)
