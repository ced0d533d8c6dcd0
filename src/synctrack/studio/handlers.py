"""What happens when something on the page is pressed: jobs are started and followed, and the page is told.

Every handler takes the hidden field `where` (session and take, as JSON), and gives status and `where` anew; `where`
only where another take is to be shown, as the person may have chosen one while a job ran. A session has one job at a
time, whatever page asked for it. Nothing else of a session is kept in memory, so that an open page survives a restart.
"""

import asyncio
import contextlib
import html
import json
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import gradio

from synctrack.errors import InputError
from synctrack.studio.asking import (
    MAX_SEED,
    Asked,
    Form,
    ask_again,
    ask_longer,
    ask_loop,
    ask_new,
    ask_separation,
    ask_variation,
)
from synctrack.studio.jobs import CANCELLED, DONE, FAILED, WAITING, Job
from synctrack.studio.sessions import Session, Take
from synctrack.studio.workbench import Workbench, known_scores, scoring

PERIOD = 0.25  # seconds between two looks at a job
Shown = tuple[str, Any]
"""Status as HTML, and `where`, or Gradio's word for no change."""
SAME = gradio.skip()


class Handlers:
    """The handlers of one studio.

    Attributes:
        bench: does the work.
        listed: whether the page lists the sessions on disk, which all who can open it then see.
    """

    def __init__(self, bench: Workbench, listed: bool) -> None:
        self.bench, self.listed = bench, listed

    def open(self, where: str) -> tuple[str, str, Any]:
        """Open the session that the page's address names, or a new one: status, `where` and the list of sessions."""
        choices = gradio.update(choices=self.bench.sessions() if self.listed else [], value=None)
        try:
            name = json.loads(where or "{}").get("session")
            session = self.bench.session(name)
            if name and not session.exists:
                raise InputError("session: there is no such session any more; this is a new one")
        except (InputError, ValueError, AttributeError) as error:
            return problem(error), _where(self.bench.session(), None), choices
        return (
            said("Make a song, or separate a mix." if session.current is None else "Welcome back."),
            _where(session, session.current),
            choices,
        )

    def reopen(self, where: str, name: str | None) -> tuple[Any, Any]:
        """Open a session of the list: status and `where`."""
        # The take that is being made would be shown in the session that is opened.
        if not (name and self.listed) or self._busy(where):
            return SAME, SAME
        try:
            session = self.bench.session(name)
        except InputError as error:
            return problem(error), SAME
        return said("Welcome back."), _where(session, session.current)

    def history(self, where: str) -> Any:
        """The list of takes, the last one first."""
        try:
            session, number = self._place(where)
            takes = session.takes()
        except InputError:
            return gradio.update(choices=[], value=None)
        return gradio.update(choices=[(take.title, take.number) for take in reversed(takes)], value=number)

    def choose(self, where: str, number: int | None) -> Shown:
        """Make a take of the history the current one."""
        return self._moved(where, lambda session, _: session.choose(number))

    def undo(self, where: str) -> Shown:
        """Go back to the take before."""
        return self._moved(where, lambda session, number: session.undo(number))

    def cancel(self, where: str) -> None:
        """Stop the job of this session, or else the scoring of the take; who follows it says so."""
        with contextlib.suppress(InputError):
            session, number = self._place(where)
            if not self.bench.queue.cancel(session.name) and number is not None:
                self.bench.queue.cancel(scoring(session, number))

    async def follow(self, where: str) -> AsyncIterator[Shown]:
        """Say how a job goes that the session has already, such as after the page was loaded again."""

        def start() -> Job | None:
            return self.bench.queue.find(self._place(where)[0].name)

        async for job, shown in self._follow(where, start, "Making it"):
            # A zip file that is packed is no take.
            made = job is not None and job.state == DONE and isinstance(job.result, Take)
            yield _made(self._place(where)[0], job.result) if made else shown

    async def make(self, where: str, *fields: Any) -> AsyncIterator[Shown]:
        """A new song, from the fields of `Form` in their order."""

        def ask(session: Session, number: int | None) -> Asked:
            return ask_new(session, Form(*fields[:-1], uploads=_uploads(fields[-1])), number)

        async for shown in self._take(where, ask):
            yield shown

    async def separate(self, where: str, uploads: str) -> AsyncIterator[Shown]:
        """The stems of the mix that was given."""

        def ask(session: Session, number: int | None) -> Asked:
            return ask_separation(session, _uploads(uploads).get("mix", ""), number)

        async for shown in self._take(where, ask):
            yield shown

    async def again(self, where: str, stems: Sequence[str], bars: str, span: str) -> AsyncIterator[Shown]:
        """Another take of some stems."""
        async for shown in self._change(where, lambda take, seed: ask_again(take, stems, bars, span, seed)):
            yield shown

    async def longer(self, where: str, seconds: float | None) -> AsyncIterator[Shown]:
        """The song and what follows it."""
        async for shown in self._change(where, lambda take, seed: ask_longer(take, seconds, seed)):
            yield shown

    async def vary(self, where: str, *strengths: float) -> AsyncIterator[Shown]:
        """A variation; the strengths are in the order of the model's stems."""
        by_stem = dict(zip(self.bench.model.stems, strengths, strict=True))
        async for shown in self._change(where, lambda take, seed: ask_variation(take, by_stem, seed)):
            yield shown

    async def loop(self, where: str, stems: Sequence[str]) -> AsyncIterator[Shown]:
        """Some stems anew, as a loop."""
        async for shown in self._change(where, lambda take, seed: ask_loop(take, stems, seed)):
            yield shown

    async def score(self, where: str) -> AsyncIterator[str]:
        """Score the shown take, unless its scores are known; yields the status as HTML."""

        def start() -> Job | None:
            session, number = self._place(where)
            take = session.take(number) if number is not None else None
            return None if take is None or known_scores(take) else self.bench.score(session, take)

        # Known scores need no job; what was said of another take goes.
        yield ""
        async for job, (status, *_) in self._follow(where, start, "Scoring"):
            yield status if job is None or not job.ended or job.state == FAILED else ""

    async def pack(self, where: str) -> AsyncIterator[tuple[str, Any, Any]]:
        """Pack the take that is shown; gives the link to the zip file as well."""
        if self._busy(where):
            yield SAME, SAME, SAME
            return

        def start() -> Job:
            session, number = self._place(where)
            return self.bench.pack(session, session.take(number))

        async for job, shown in self._follow(where, start, "Packing"):
            if job is not None and job.state == DONE:
                session, number = self._place(where)
                _, reason = job.result
                report = "" if reason else ", report"
                text = f"take_{number:04d}.zip: stems, mix, DAW pack{report} and song.json"
                link = f'<a id="zip" download href="studio/{session.name}/bundles/{number}.zip">{text}</a>'
                without = f" It has no report: {reason}" if reason else ""
                yield said(f"Packed: the link takes it along.{without}"), SAME, link
            else:
                yield *shown, SAME

    async def _change(self, where: str, ask: Callable[[Take, int], Asked]) -> AsyncIterator[Shown]:
        def ask_here(session: Session, number: int | None) -> Asked:
            # Not that of a take before, whose noise would make the same again; song.json tells it.
            return ask(session.take(number), secrets.randbelow(MAX_SEED))

        async for shown in self._take(where, ask_here):
            yield shown

    async def _take(self, where: str, ask: Callable[[Session, int | None], Asked]) -> AsyncIterator[Shown]:
        if self._busy(where):
            yield SAME, SAME
            return
        session: Session | None = None

        def start() -> Job:
            nonlocal session
            session, number = self._place(where)
            return self.bench.make(session, ask(session, number))

        async for job, shown in self._follow(where, start, "Making it"):
            yield _made(session, job.result) if job is not None and job.state == DONE else shown

    async def _follow(
        self, where: str, start: Callable[[], Job | None], doing: str
    ) -> AsyncIterator[tuple[Job | None, Shown]]:
        """Start a job and say how it goes, until it has ended."""
        try:
            job = await asyncio.to_thread(start)
        except InputError as error:
            yield None, (problem(error), SAME)
            return
        if job is None:
            # Gradio empties the fields of a handler that yields nothing.
            yield None, (SAME, SAME)
            return
        while not job.ended:
            yield job, (said(self._progress(job, doing)), SAME)
            await asyncio.sleep(PERIOD)
        if job.state == FAILED:
            yield job, (problem(job.message), SAME)
        elif job.state == CANCELLED:
            yield job, (said("Cancelled."), SAME)
        else:
            yield job, (said("Done."), SAME)

    def _progress(self, job: Job, doing: str) -> str:
        if job.state == WAITING:
            before = self.bench.queue.before(job)
            return f"Waiting: {before} job{'' if before == 1 else 's'} before this one."
        if not job.total:
            return f"{doing} …"
        if job.done >= job.total:
            return "All steps are done; decoding …"
        left = f", about {job.seconds_left:.0f} s left" if job.seconds_left is not None else ""
        return f"Step {job.done} of {job.total}{left}."

    def _moved(self, where: str, move: Callable[[Session, int | None], Take]) -> Shown:
        try:
            session, number = self._place(where)
            take = move(session, number)
        except InputError as error:
            return problem(error), SAME
        return said(f"Take {take.number}: {take.label}."), _where(session, take)

    def _busy(self, where: str) -> bool:
        """Whether a job of this session is under way; says so."""
        try:
            busy = self.bench.queue.find(self._place(where)[0].name) is not None
        except InputError:
            # Who goes on says what is wrong.
            return False
        if busy:
            gradio.Warning("Something is being made in this session already; wait for it, or cancel it first.")
        return busy

    def _place(self, where: str) -> tuple[Session, int | None]:
        try:
            facts = json.loads(where)
            return self.bench.session(facts["session"] or ""), facts.get("take")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise InputError("session: the page has lost it; reload the page") from error


def said(text: str) -> str:
    """A message as HTML."""
    return f"<p>{html.escape(text)}</p>"


def problem(error: Exception | str) -> str:
    """What is wrong, as HTML that is read out at once."""
    return f'<p role="alert" class="problem">{html.escape(str(error))}</p>'


def _where(session: Session, take: Take | None) -> str:
    return json.dumps({"session": session.name, "take": take.number if take else None})


def _made(session: Session, take: Take) -> Shown:
    return said(" ".join([f"Take {take.number}: {take.label}.", *take.notes])), _where(session, take)


def _uploads(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(token, str) for token in found.values()):
        raise InputError("upload: the page has lost it; give the file again")
    return found
