"""How many processors a process may use, and how many processes it may start."""

import os
import sys

MOST_PROCESSES = 61 if sys.platform == "win32" else 4096
"""More at a time cannot be waited for: on Windows the limit of its system calls."""


def processors() -> int:
    """How many processors this process may use: on a cluster fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
