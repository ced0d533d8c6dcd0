"""A queue of jobs for one worker: one job runs at a time, whoever asked for it, and each can be cancelled."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from synctrack.errors import InputError

MOST_WAITING = 16  # in the background as many again
WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"

logger = logging.getLogger(__name__)


class CancelledError(Exception):
    """Raised inside a job that is to stop."""


class Job:
    """Something that the worker does.

    Attributes:
        owner: what it is done for, such as a session; an owner has one job at a time, and may cancel it.
        background: whether it comes after all other work.
        state: `waiting`, `running`, `done`, `failed` or `cancelled`.
        result: what the work returned, once it is done.
        message: what went wrong, in one line, once it has failed.
    """

    def __init__(self, work: Callable[["Job"], Any], owner: str, background: bool) -> None:
        self.owner, self.background = owner, background
        self.state, self.message = WAITING, ""
        self.result: Any = None
        self.done = self.total = 0
        self._work: Callable[[Job], Any] | None = work
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._first_step, self._first_done = 0.0, 0

    @property
    def ended(self) -> bool:
        """Whether the job is done, failed or cancelled."""
        return self._ended.is_set()

    @property
    def seconds_left(self) -> float | None:
        """About how long the steps that are left take; None where that is not known yet."""
        # The first report also waits for what comes before the steps; the pace is that of the others. Songs that are
        # made together report the steps of all at once.
        since = self.done - self._first_done
        if self.state != RUNNING or since < 1 or self.done >= self.total:
            return None
        return (time.monotonic() - self._first_step) / since * (self.total - self.done)

    def report(self, done: int, total: int) -> None:
        """Say how many steps of all are done; called from within the job.

        Raises:
            CancelledError: the job is to stop.
        """
        self.check()
        if self.done == 0 < done:
            self._first_step, self._first_done = time.monotonic(), done
        self.done, self.total = done, total

    def check(self) -> None:
        """Raise CancelledError where the job is to stop; called from within the job."""
        if self._stop.is_set():
            raise CancelledError

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended, at most `timeout` seconds; gives whether it has."""
        return self._ended.wait(timeout)

    def _run(self) -> None:
        self.state = RUNNING
        try:
            self.check()
            self.result = self._work(self)
            self.state = DONE
        except CancelledError:
            self.state = CANCELLED
        except InputError as error:
            self.state, self.message = FAILED, " ".join(str(error).split())
        except Exception as error:
            # The worker must live on for the next job; the terminal has the traceback.
            logger.exception("a job of the studio failed")
            self.state, self.message = FAILED, f"{type(error).__name__}; the terminal that runs the studio says more"
        self._end()

    def _end(self) -> None:
        # What it worked with, such as the stems of a long song, goes; who follows the job may keep it for longer.
        self._work = None
        self._ended.set()


class JobQueue:
    """Jobs in the order in which they were submitted, run one by one in a thread of their own."""

    def __init__(self) -> None:
        self._waiting: list[Job] = []
        self._changed = threading.Condition()
        self._current: Job | None = None
        self._closed = False
        self._worker = threading.Thread(target=self._run, name="studio", daemon=True)
        self._worker.start()

    def submit(self, work: Callable[[Job], Any], owner: str, background: bool = False) -> Job:
        """Put work at the end of the queue.

        Args:
            work: is called with its job, whose `report` and `check` it calls now and then.
            owner: what it is done for.
            background: whether it comes after all other work, also that which is submitted later.

        Raises:
            InputError: the owner has a job already, too many are waiting, or the queue is closed.
        """
        with self._changed:
            if self._find(owner) is not None:
                raise InputError("queue: something is being made already; wait for it, or cancel it first")
            waiting = sum(job.background == background for job in self._waiting)
            if self._closed or waiting >= MOST_WAITING:
                raise InputError(f"queue: {waiting} jobs are waiting; try again when some of them are done")
            job = Job(work, owner, background)
            self._waiting.append(job)
            self._changed.notify_all()
        return job

    def find(self, owner: str) -> Job | None:
        """The job of an owner that waits or runs; None where there is none."""
        with self._changed:
            return self._find(owner)

    def _find(self, owner: str) -> Job | None:
        jobs = [job for job in (self._current, *self._waiting) if job is not None]
        return next((job for job in jobs if job.owner == owner and not job.ended), None)

    def before(self, job: Job) -> int:
        """How many jobs come before one that waits."""
        with self._changed:
            order = self._order()
            place = order.index(job) if job in order else 0
            return place + (self._current is not None and self._current is not job)

    def cancel(self, owner: str) -> bool:
        """Take an owner's job out of the queue, or stop it at its next step; gives whether there was one to stop."""
        with self._changed:
            job = self._find(owner)
            if job is None:
                return False
            job._stop.set()
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = CANCELLED
                job._end()
            return True

    def close(self, timeout: float = 10.0) -> None:
        """Stop all jobs and the worker."""
        with self._changed:
            self._closed = True
            owners = [job.owner for job in (self._current, *self._waiting) if job is not None]
            self._changed.notify_all()
        for owner in owners:
            self.cancel(owner)
        self._worker.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._current = None
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                self._current = self._order()[0]
                self._waiting.remove(self._current)
            self._current._run()

    def _order(self) -> list[Job]:
        """The waiting jobs in the order in which they will run."""
        return sorted(self._waiting, key=lambda job: job.background)
