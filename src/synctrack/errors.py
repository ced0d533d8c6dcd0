"""Errors in the user's input: every command reports them in one line and exits with status 2."""

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Error numbers for which the user's disk, not the program, is at fault.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
# And those for which the name that the user gave is: too long, a link to itself, a folder for a file or the reverse.
NAME_ERRORS = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR)


EXTRAS = {
    "train": ("pytorch_lightning", "tensorboard"),
    "midi": ("mido",),
    "madmom": ("madmom",),
    "beat-this": ("beat_this",),
    "truth": ("mir_eval",),
    "clap": ("transformers",),
    "hub": ("huggingface_hub",),
    "studio": ("gradio",),
}
"""Extra of pyproject.toml -> the modules that it installs."""


RANKS = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
"""Variables in which launchers tell a process its number: torchrun, SLURM, Lightning."""
WRAPPED = "Caught InputError in "
"""How torch begins the message of an error that a worker process raised."""
HEAD_START = 3.0
"""Seconds that the first process of a run has to report an error that all of them meet."""


class InputError(Exception):
    """An error that the user can correct; the message names the file or key, what is wrong and what to do."""


class LostProcessError(Exception):
    """Another process of a run on several devices has ended; the message says how to resume."""


class Interrupted(BaseException):
    """A signal has ended a run in order.

    Args:
        number: of the signal; the exit status is 128 more.
        hint: how to continue.
    """

    def __init__(self, number: int, hint: str = "run the same command again to continue") -> None:
        super().__init__(number, hint)
        self.number, self.hint = number, hint


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Import optional packages inside this context.

    Args:
        extra: a key of `EXTRAS`.
        what: the feature that needs it, for the message.

    Raises:
        InputError: a module is missing; if it belongs to the extra, the message names the extra to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or str(error)).partition(".")[0]
        if package == "synctrack":
            raise
        if package in EXTRAS[extra]:
            raise InputError(f"{what}: needs {package}; pip install 'synctrack[{extra}]'") from error
        raise InputError(f"{what}: needs {package}, which is not installed; install synctrack again") from error


def run_command(main: Callable[[], None]) -> None:
    """Run a script's ``main``; an `InputError` becomes one line on stderr and exit status 2, no traceback.

    A signal that `Interrupted` reports gives 128 and its number. Of several processes that meet the same error the
    first one reports it.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # Names of files may be no text; they are printed with escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        main()
    except InputError as error:
        _wait_for_first_process()
        say(f"error: {' '.join(_own_message(error).split())}")
        sys.exit(2)
    except LostProcessError as error:
        _wait_for_first_process()
        say(f"error: {' '.join(str(error).split())}")
        sys.exit(1)
    except Interrupted as stop:
        if is_first_process():
            say(f"interrupted; {stop.hint}")
        sys.exit(128 + stop.number)
    except BrokenPipeError:
        # The reader of our output, such as head, has closed the pipe; the rest is discarded.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if error.errno in NAME_ERRORS and error.filename is not None:
            say(f"error: {str(error.filename)[:300]}: cannot be opened ({error.strerror}); choose another name")
        elif error.errno in DISK_ERRORS:
            say(f"error: {error.filename or 'disk'}: {error.strerror}; free or choose another place")
        else:
            raise
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted; run the same command again to continue")
        sys.exit(130)


def _own_message(error: InputError) -> str:
    """The error's message; of one from a worker process, which torch wraps in its traceback, what it says itself."""
    text = str(error)
    return text.rpartition(f"{InputError.__module__}.InputError: ")[2] if text.startswith(WRAPPED) else text


def is_first_process() -> bool:
    """Whether this is the only process of a run, or the first of several on one or more machines."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def _wait_for_first_process() -> None:
    """Let the first process of a run report an error; its launcher then ends all others, which would repeat it.

    An error that only this process meets is reported after a moment.
    """
    if not is_first_process():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        time.sleep(HEAD_START)


def say(line: str) -> None:
    """Print on a new line of stderr, also if a progress bar occupies the current one."""
    bars = getattr(sys.modules["tqdm"].tqdm, "_instances", ()) if "tqdm" in sys.modules else ()
    print("\n" if bars else "", line, sep="", file=sys.stderr)
