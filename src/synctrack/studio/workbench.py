"""What the studio does: songs made, changed, separated, scored and packed, each as a job of one queue."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.metrics.score import score_folder
from synctrack.pipeline import SyncTrack
from synctrack.studio.asking import Asked
from synctrack.studio.bundle import write_bundle
from synctrack.studio.jobs import Job, JobQueue
from synctrack.studio.sessions import Session, Take, list_sessions
from synctrack.studio.words import score_lines, stem_beats

MAX_SECONDS = 300.0
SCORES_FILE = "scores.json"
GENERATION = "synctrack.generation"
"""Name of the logger whose warnings belong to a take."""


class Workbench:
    """A model, the folder of the sessions, and the queue.

    Attributes:
        model: loaded once, used by one job at a time.
        root: folder of the sessions.
        queue: of all jobs.
        max_seconds: longest song, and longest upload.
    """

    def __init__(self, model: SyncTrack, root: str | Path, max_seconds: float = MAX_SECONDS) -> None:
        self.model, self.root, self.max_seconds = model, Path(root).resolve(), max_seconds
        self.queue = JobQueue()

    def session(self, name: str | None = None) -> Session:
        """A session by its name, or a new one. Raises InputError where the name is not that of one."""
        return Session.new(self.root) if name is None else Session(self.root, name)

    def sessions(self) -> list[tuple[str, str]]:
        """See `list_sessions`."""
        return list_sessions(self.root)

    def make(self, session: Session, asked: Asked) -> Job:
        """Make a song; the job's result is its take.

        It fails where the model cannot do what is asked, or the song would be too long.

        Raises:
            InputError: the session has a job already, or the queue is full.
        """

        def work(job: Job) -> Take:
            # Here and not before: given audio is read and its beats are detected, which takes seconds and memory.
            with _warnings() as notes:
                production = self.model.check(**asked.settings)
            seconds = production.plan.num_samples / self.model.sample_rate
            if seconds > self.max_seconds:
                raise InputError(f"length: {seconds:g} s are asked for; up to {self.max_seconds:g} s are possible here")
            job.check()
            (song,) = self.model.produce(production, [(asked.seed, 0)], report=job.report)
            job.check()
            return session.add(song, asked.label, asked.before, notes)

        return self.queue.submit(work, session.name)

    def score(self, session: Session, take: Take) -> Job:
        """Score a take; the job's result is that of `score_take`. A job that does so already is given."""
        owner = scoring(session, take.number)
        known = self.queue.find(owner)
        return known or self.queue.submit(lambda job: score_take(take, job.check), owner, background=True)

    def pack(self, session: Session, take: Take) -> Job:
        """Pack a take to take along; the job's result is the path of the zip file, and why it has no report.

        Raises:
            InputError: the session has a job already, or the queue is full.
        """

        def work(job: Job) -> tuple[Path, str]:
            try:
                scores, reason = score_take(take, job.check), ""
            except InputError as error:
                # The stems are there all the same, such as those of a model with one stem.
                scores, reason = None, str(error)
            return write_bundle(session, take, scores, job.check), reason

        return self.queue.submit(work, session.name)

    def close(self) -> None:
        """Stop all jobs."""
        self.queue.close()


def scoring(session: Session, number: int) -> str:
    """The owner of the job that scores a take."""
    return f"{session.name}/{number}"


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the generation's modules warn of in this thread, inside this context, as a list that fills."""
    found: list[str] = []
    thread = threading.get_ident()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                found.append(record.getMessage())

    logger, handler = logging.getLogger(GENERATION), Keep(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def known_scores(take: Take) -> dict[str, Any] | None:
    """The scores of a take; None where they are not known yet, or damaged."""
    try:
        kept = json.loads((take.folder / SCORES_FILE).read_text())
        score_lines(kept)
        stem_beats(kept)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    return kept


def score_take(take: Take, check: Callable[[], None]) -> dict[str, Any]:
    """Score a take once, as `score_folder` does, and keep the scores beside it.

    Args:
        take: to score.
        check: raises where the job is to stop.

    Raises:
        InputError: the take's files are damaged, or the beat tracker is not installed.
    """
    kept = known_scores(take)
    if kept is None:
        kept = score_folder(take.folder, protocol="corrected", layout="songs", cache=False)
        check()
        # The folder's path says nothing to those who get the report.
        kept |= {"folder": f"take {take.number}, {take.label}", "layout": None}
        write_json(take.folder / SCORES_FILE, kept)
    return kept
