"""Writes data sets: one folder per song, whole or not at all, several at a time, resumed where it stopped."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from synctrack.audio.files import is_complete, write_wav
from synctrack.data.shards import Shard
from synctrack.data.songs import STEM_SUFFIXES, LeftOutError, SongReport
from synctrack.documents import LARGEST_LIST, read_json
from synctrack.errors import InputError
from synctrack.files import sha256, write_json
from synctrack.locks import locked
from synctrack.manifest import MANIFEST, claim
from synctrack.processors import MOST_PROCESSES, processors

PARTIAL = ".partial"
OWN_SETTINGS = "made_of.json"
"""In a song's folder: what its content alone depends on."""
Job = TypeVar("Job")


def write_songs(
    out: str | Path,
    settings: dict[str, Any],
    jobs: Mapping[str, Job],
    write: Callable[[Path, Job], None],
    workers: int | None = None,
    holds: Callable[[Job], Iterable[str]] = lambda job: (),
    is_of: Callable[[Path, Job], bool] = lambda folder, job: True,
    *,
    own_settings: Callable[[Job], dict[str, Any]] | None = None,
    shard: Shard | None = None,
    setup: Callable[[], None] | None = None,
) -> SongReport:
    """Make a folder `out`/<name> for every job; `write(folder, job)` fills it, in worker processes.

    Complete songs are kept, those that lack a file or hold a damaged one are made again. `out`/manifest.json holds the
    settings, the names of the songs and what was left out; a run with different settings is refused, since it would mix
    two data sets.

    Args:
        settings: what decides the content, as JSON.
        write: picklable where there are workers; raises `LeftOutError` for a song to leave out.
        workers: number of processes; None is one for each CPU core, 0 is this process alone.
        holds: the names of the files that a job's complete song holds.
        is_of: whether a complete song's folder was made from this job.
        own_settings: what the content of a job's song alone depends on, as JSON. Until all songs are there, those whose
            own settings have changed are made again, and those that are no job any more are removed.
        shard: writes its share of the songs alone; the last of them to finish completes the manifest.
        setup: called in each worker when it starts, which is then a new process and no copy of this one.

    Raises:
        InputError: `out` cannot be written, holds something else, is being written by another process or was created
            with different settings, or a song of it from another source; a worker died; no song could be made.
    """
    out = Path(out)
    own = jobs if shard is None else shard.jobs(jobs)
    with locked(out, "" if shard is None else shard.part):
        each = {name: {} if own_settings is None else own_settings(job) for name, job in jobs.items()}
        everything = settings | {key: value for one in each.values() for key, value in one.items()}
        complete = _is_complete(out)
        _claim(out, everything if complete else settings, None if shard is None else list(own))
        report = SongReport(notes=_remove_damaged(out, own, holds))
        if own_settings is not None and not complete:
            report.notes += _remove_changed(out, each, own)
        for name, job in own.items():
            if (out / name).is_dir() and not is_of(out / name, job):
                raise InputError(f"{out / name}: was made from another song than {job}; choose a new or empty folder")
        _write_all(out, own, each, write, _parallel_map(workers, len(own), setup), report)
        if shard is not None:
            notes = report.notes
            shard.finish(out, report)
            missing = shard.missing(out)
            if missing:
                report.songs = sum((out / name).is_dir() for name in own)
                report.notes.append(f"{out}: not complete yet: {shard.unfinished(missing)}")
                return report
            report = shard.left_out(out)
            report.notes = notes
        names = sorted(path.name for path in out.iterdir() if path.is_dir() and not path.name.startswith("."))
        if not names:
            counts = ", ".join(f"{count} {reason}" for reason, count in report.left_out.items())
            raise InputError(f"{out}: none of the {len(jobs)} songs is usable: {counts}; such as {report.lines[-1]}")
        report.songs = len(names)
        write_json(out / MANIFEST, {"settings": everything, "tracks": names, "left_out": report.lines})
    return report


def _write_all(
    out: Path,
    jobs: Mapping[str, Job],
    each: Mapping[str, dict[str, Any]],
    write: Callable[[Path, Job], None],
    processes: AbstractContextManager[Callable[..., Iterable[Any]]],
    report: SongReport,
) -> None:
    """Make the songs that are not there, and add to the report what is left out."""
    try:
        with processes as parallel_map:
            settings = [each[name] for name in jobs]
            outcomes = parallel_map(partial(_write_song_folder, out, write), jobs.keys(), jobs.values(), settings)
            for reason in tqdm(outcomes, desc=out.name, total=len(jobs), unit="song"):
                if reason:
                    report.leave_out(reason)
    except BrokenProcessPool as error:
        raise InputError(f"{out}: a worker was killed, possibly out of memory; lower --workers") from error


def _remove_damaged(out: Path, jobs: Mapping[str, Job], holds: Callable[[Job], Iterable[str]]) -> list[str]:
    """Remove the songs that do not hold what they should; gives a line for each."""
    lines = []
    for name, job in jobs.items():
        folder = out / name
        damaged = [file for file in holds(job) if not _is_whole(folder / file)] if folder.is_dir() else []
        if damaged:
            shutil.rmtree(folder)
            lines.append(f"{folder}: {', '.join(damaged)} was missing or damaged; the song is made again")
    return lines


def _is_complete(out: Path) -> bool:
    """Whether the manifest says that all songs are there."""
    try:
        read_json(out / MANIFEST, {"tracks": [str]}, LARGEST_LIST)
    except InputError:
        return False
    return True


def _remove_changed(out: Path, each: Mapping[str, dict[str, Any]], own: Mapping[str, Any]) -> list[str]:
    """Remove the songs that are no job any more, and of one's own those with other settings; gives a line for each."""
    lines = []
    for folder in sorted(path for path in out.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if folder.name not in each:
            lines.append(f"{folder}: is no longer among the songs; it is removed")
        elif folder.name in own and not _has_settings(folder, each[folder.name]):
            lines.append(f"{folder}: its song has changed; it is made again")
        else:
            continue
        shutil.rmtree(folder, ignore_errors=True)
    return lines


def _has_settings(folder: Path, settings: dict[str, Any]) -> bool:
    try:
        return read_json(folder / OWN_SETTINGS) == json.loads(json.dumps(settings))
    except InputError:
        return False


def _is_whole(file: Path) -> bool:
    if file.suffix in STEM_SUFFIXES:
        return is_complete(file)
    try:
        if file.suffix == ".json":
            read_json(file)
    except InputError:
        return False
    return file.is_file() and file.stat().st_size > 0


def scaled_to_peak(stems: dict[str, np.ndarray], peak: float) -> dict[str, np.ndarray]:
    """The stems (n,) with one gain for all, so that the loudest of them and of their mix reaches `peak`."""
    loudest = max(float(np.abs(wave).max()) for wave in [sum(stems.values()), *stems.values()])
    gain = np.float32(peak / loudest if loudest > 0 else 1.0)
    return {stem: wave * gain for stem, wave in stems.items()}


def write_stems(folder: Path, stems: dict[str, np.ndarray], sample_rate: int, suffix: str = ".wav") -> None:
    """Write each stem (n,) as a mono 16-bit file, WAV or FLAC by its suffix."""
    for stem, wave in stems.items():
        write_wav(folder / f"{stem}{suffix}", wave, sample_rate)


@contextmanager
def _parallel_map(
    workers: int | None, jobs: int, setup: Callable[[], None] | None
) -> Iterator[Callable[..., Iterable[Any]]]:
    if workers == 0:
        yield map
        return
    # A process beyond the number of songs would have nothing to do.
    workers = max(1, min(workers or processors(), jobs, MOST_PROCESSES))
    context = None if setup is None else multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (setup,)) as pool:
        yield pool.map


def _claim(out: Path, settings: dict[str, Any], own: list[str] | None) -> None:
    """Write a manifest with these settings, or check that of an earlier run and remove its incomplete files.

    Where other shards may be at work, only the incomplete folders of one's `own` songs are removed.
    """
    claim(out, settings, "choose a new or empty folder")
    if own is not None:
        for name in own:
            shutil.rmtree(out / f".{name}{PARTIAL}", ignore_errors=True)
        return
    # Incomplete folders and files of a killed run.
    for folder in out.glob(f".*{PARTIAL}"):
        shutil.rmtree(folder)
    for file in out.glob(f".{Path(MANIFEST).stem}-*"):
        file.unlink()


def _write_song_folder(
    out: Path, write: Callable[[Path, Job], None], name: str, job: Job, settings: dict[str, Any]
) -> LeftOutError | None:
    folder, temporary = out / name, out / f".{name}{PARTIAL}"
    if folder.exists():
        return None
    try:
        # Outside the removal below: what is there already another process may be making.
        temporary.mkdir()
        try:
            write(temporary, job)
            if settings:
                write_json(temporary / OWN_SETTINGS, settings)
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except LeftOutError as reason:
        return reason
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror or error}); free space for it") from error
    return None


def made_of(file: Path, key: str, source: Path) -> bool:
    """Whether a song's JSON `file` holds, under `key`, the SHA-256 of its `source`; earlier versions wrote none."""
    return read_json(file, {}).get(key) in (None, sha256(source))


def _start_worker(setup: Callable[[], None] | None) -> None:
    """Leave Ctrl-C to the parent, and exit when the parent is killed; otherwise the worker would continue to write."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        connection.wait([parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    if setup is not None:
        setup()
