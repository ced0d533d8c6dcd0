"""The studio's queue: one job at a time, in order, each of which can be cancelled."""

import gc
import threading
import time
import weakref

import pytest

from helpers.commands import PATIENCE
from synctrack.errors import InputError
from synctrack.studio.jobs import CANCELLED, DONE, FAILED, MOST_WAITING, WAITING, JobQueue


@pytest.fixture
def queue():
    queue = JobQueue()
    yield queue
    queue.close()


@pytest.fixture
def blocked(queue):
    """The queue with a first job that runs until the event is set."""
    started, go = threading.Event(), threading.Event()

    def work(job):
        started.set()
        while not go.wait(0.01):
            job.report(1, 10)

    job = queue.submit(work, "first")
    assert started.wait(PATIENCE)
    yield job, go
    go.set()


def test_jobs_run_one_at_a_time_in_their_order(queue):
    running, together, order = [], [], []

    def work(number):
        def run(job):
            running.append(number)
            # Long enough that another job would begin meanwhile.
            time.sleep(0.005)
            together.append(len(running))
            running.remove(number)
            order.append(number)

        return run

    jobs = [queue.submit(work(number), f"owner {number}") for number in range(8)]
    assert all(job.wait(PATIENCE) for job in jobs)
    assert order == list(range(8))
    assert together == [1] * 8
    assert {job.state for job in jobs} == {DONE}


def test_background_job_runs_after_jobs_that_were_submitted_later(queue, blocked):
    order = []
    first = queue.submit(lambda job: order.append("background"), "a", background=True)
    second = queue.submit(lambda job: order.append("foreground"), "b")
    assert (queue.before(second), queue.before(first)) == (1, 2)
    blocked[1].set()
    assert first.wait(PATIENCE)
    assert order == ["foreground", "background"]


def test_cancelled_job_stops_at_its_next_step_and_the_next_one_runs(queue, blocked):
    job, _ = blocked
    after = queue.submit(lambda job: "made", "after")
    assert queue.cancel("first")
    assert job.wait(PATIENCE)
    assert job.state == CANCELLED
    assert after.wait(PATIENCE)
    assert after.result == "made"
    assert not queue.cancel("first")
    assert not queue.cancel("unknown")


def test_waiting_job_that_is_cancelled_never_runs(queue, blocked):
    ran = []
    waiting = queue.submit(lambda job: ran.append(1), "waiting")
    assert queue.cancel("waiting")
    assert waiting.wait(0)
    blocked[1].set()
    assert queue.submit(lambda job: None, "next").wait(PATIENCE)
    assert ran == []


def test_failing_job_says_why_and_the_worker_lives_on(queue, caplog):
    def refuse(job):
        raise InputError("steps: 0 is\nnot possible")

    def crash(job):
        raise ZeroDivisionError

    refused, crashed = queue.submit(refuse, "a"), queue.submit(crash, "b")
    assert queue.submit(lambda job: 1, "c").wait(PATIENCE)
    assert (refused.state, refused.message) == (FAILED, "steps: 0 is not possible")
    assert crashed.state == FAILED
    assert crashed.message.startswith("ZeroDivisionError")
    assert "Traceback" in caplog.text


def test_full_queue_refuses(queue, blocked):
    jobs = [queue.submit(lambda job: None, f"owner {number}") for number in range(MOST_WAITING)]
    with pytest.raises(InputError, match="try again"):
        queue.submit(lambda job: None, "one more")
    assert {job.state for job in jobs} == {WAITING}


def test_scoring_in_the_background_takes_no_place_of_others(queue, blocked):
    for number in range(MOST_WAITING):
        queue.submit(lambda job: None, f"scoring {number}", background=True)
    with pytest.raises(InputError, match="try again"):
        queue.submit(lambda job: None, "another", background=True)
    assert queue.submit(lambda job: None, "a song").state == WAITING


def test_owner_has_one_job_at_a_time(queue, blocked):
    job, go = blocked
    assert queue.find("first") is job
    assert queue.find("second") is None
    with pytest.raises(InputError, match="something is being made already"):
        queue.submit(lambda job: None, "first")
    go.set()
    assert job.wait(PATIENCE)
    assert queue.find("first") is None
    assert queue.submit(lambda job: "again", "first").wait(PATIENCE)


def test_job_that_has_ended_holds_nothing_of_what_it_worked_with(queue, blocked):
    class Stems:
        pass

    def of(stems: Stems):
        return lambda job: bool(stems)

    ran, waiting = Stems(), Stems()
    kept = [weakref.ref(ran), weakref.ref(waiting)]
    jobs = [queue.submit(of(ran), "ran"), queue.submit(of(waiting), "waiting")]
    del ran, waiting
    queue.cancel("waiting")
    blocked[1].set()
    assert all(job.wait(PATIENCE) for job in jobs)
    # The worker's own frame lets go with the next job.
    assert queue.submit(lambda job: None, "next").wait(PATIENCE)
    gc.collect()
    assert [reference() for reference in kept] == [None, None]


def test_time_left_is_the_pace_of_the_steps_times_those_left(queue, monkeypatch):
    clock = iter([10.0, 14.0])
    left = []

    def work(job):
        with monkeypatch.context() as patch:
            patch.setattr("synctrack.studio.jobs.time.monotonic", lambda: next(clock))
            job.report(0, 10)
            assert job.seconds_left is None
            job.report(1, 10)
            job.report(3, 10)
            left.append(job.seconds_left)

    assert queue.submit(work, "a").wait(PATIENCE)
    assert left == [14.0]


def test_closed_queue_stops_its_jobs(blocked, queue):
    job, _ = blocked
    queue.close()
    assert job.state == CANCELLED
    with pytest.raises(InputError):
        queue.submit(lambda job: None, "late")


def test_time_left_of_songs_that_are_made_together(queue, monkeypatch):
    """Eight at once: the first report is of eight steps, which say nothing of the pace yet."""
    now, left = [100.0], []
    monkeypatch.setattr("synctrack.studio.jobs.time.monotonic", lambda: now[0])

    def work(job):
        for done in (8, 16, 24):
            now[0] += 1.0
            job.report(done, 160)
            left.append(job.seconds_left)

    assert queue.submit(work, "a").wait(PATIENCE)
    assert left == [None, pytest.approx(18), pytest.approx(17)]
