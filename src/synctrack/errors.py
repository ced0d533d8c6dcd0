"""Wrong input, said once: every command answers it with one clear line and exit status 2."""

import sys
from collections.abc import Callable


class InputError(Exception):
    """Something the user can put right: names the file or key, what is wrong with it and what to do."""


def run_command(main: Callable[[], None]) -> None:
    """Run a script's ``main``; an `InputError` becomes one line on stderr and exit status 2, no traceback."""
    try:
        main()
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
