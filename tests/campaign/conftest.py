"""Fixtures of the campaigns that stop commands: what runs them, and what they read."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign.rounds import make_sources
from helpers.forked_commands import Commands


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    """Runs commands with a cache of beats in their working folder."""
    with Commands(Path("cache")) as running:
        yield running


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of what the commands of `rounds` read."""
    return make_sources(tmp_path_factory.mktemp("sources"))
