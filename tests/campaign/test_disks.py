"""Disks that are full or read-only: one line and status 2; with room again, the same bytes as if there always had been.

The working folder of each command is a file system in memory of a known size, for which mounting must be permitted.
"""

import mmap
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campaign.rounds import COMMANDS, copy_sources, words
from helpers.commands import PATIENCE
from helpers.forked_commands import Ended, refusal

pytestmark = pytest.mark.slow

SHARES = (0.0, 0.3, 0.7, 0.95)
"""Of what a command needs, the room that it has."""
PAGE = mmap.PAGESIZE


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system in memory with options, again with others; gives its folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = False

    def mount(options: str) -> Path:
        nonlocal mounted
        again = "remount," if mounted else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{again}{options}", "tmpfs", str(folder)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("FULL AND READ-ONLY DISKS ARE NOT TESTED: mounting is not permitted here")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def run(commands, tmp_path) -> Callable[..., Ended]:
    """Runs one of the commands in a folder."""
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    def run_in(name: str, folder: Path) -> Ended:
        return commands.run(folder, words(name, folder), PATIENCE, outputs)

    return run_in


def used(folder: Path) -> int:
    """Bytes that are in use on the disk of `folder`."""
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def empty(folder: Path) -> None:
    """Remove all that a folder holds; a mounted one cannot be removed itself."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk_is_one_line_and_with_room_again_the_command_ends_in_the_same_bytes(run, sources, disk, name, share):
    _, results = COMMANDS[name]
    folder = disk("size=1g")
    copy_sources(sources, folder)
    before = used(folder)
    ended = run(name, folder)
    assert ended.status == 0, ended.err[-3000:]
    expected, needed = results(folder), used(folder) - before
    empty(folder)
    copy_sources(sources, folder)
    disk(f"size={used(folder) + PAGE * int(share * needed / PAGE)}")
    assert re.search("No space left on device|cannot be written|are free", refusal(run(name, folder)))
    disk("size=1g")
    ended = run(name, folder)
    assert ended.status == 0, ended.err[-3000:]
    assert results(folder) == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_read_only_disk_is_one_line(run, sources, disk, name):
    folder = disk("size=1g")
    copy_sources(sources, folder)
    disk("ro")
    assert "Read-only file system" in refusal(run(name, folder))
