"""The folder of a run, held by its first process for all of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch_lightning.utilities.rank_zero import rank_zero_only

from synctrack.locks import locked

PROCESSES = ("WORLD_SIZE", "SLURM_NTASKS")
"""Environment variables in which torchrun and SLURM say how many processes they have started."""


@contextmanager
def held_by_first_process(folder: str | Path) -> Iterator[bool]:
    """Lock a folder against other runs, see `synctrack.locks.locked`; the other processes of this run pass.

    What killed runs left is removed, unless a launcher has started several processes, of which one may write already.

    Yields:
        Whether this process has locked the folder.

    Raises:
        InputError: another run holds the folder.
    """
    if rank_zero_only.rank != 0:
        yield False
        return
    # Lightning sets LOCAL_RANK where it has started processes for an earlier Trainer of this command.
    alone = all(os.environ.get(name, "1") == "1" for name in PROCESSES) and "LOCAL_RANK" not in os.environ
    with locked(folder, clear=alone) as is_locked:
        yield is_locked
