"""Hundreds of malformed inputs through the real commands: each is refused in one line, with exit status 2."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaign import arguments, audio_files, beat_files, configuration, json_files, yaml_files
from campaign.cases import Case
from campaign.shared import make_shared
from helpers.commands import PATIENCE, ROOT
from helpers.forked_commands import Commands, Ended, refusal

TABLES = {
    "configuration": configuration.cases(),
    "yaml": yaml_files.cases(),
    "arguments": arguments.cases(),
    "json": json_files.cases(),
    "beats": beat_files.cases(),
    "audio": audio_files.cases(),
}
"""Root of the damage -> its cases."""
LEAST = 300
PROCESS_MEMORY = 12 * 2**30
"""Bytes that a process of its own may map; torch and its libraries map several."""
FAST = 60
"""Every so many cases one belongs to the fast sample."""
SAMPLED = 2
"""Cases of each table that run in processes of their own."""


def _parameters(every: int = 1) -> list:
    chosen = [case for cases in TABLES.values() for case in cases][::every]
    return [pytest.param(case, id=_id(case.name)) for case in chosen]


def _id(name: str) -> str:
    return name.encode("ascii", "backslashreplace").decode().replace("\n", " ").replace("\x01", " ")[:100]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shared(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def commands(shared: Path) -> Iterator[Commands]:
    with Commands(shared / "cache", shared / "bin") as running:
        yield running


def _refusal(ended: Ended, case: Case) -> str:
    """The one line that a command says; fails unless it is one that names what is wrong."""
    error = refusal(ended)
    line = error.replace("-", "_")
    assert any(name.replace("-", "_") in line for name in case.names), f"{case.names}: {error}"
    assert len(error) < 2000, error[:200]
    return error


def _run(case: Case, commands: Commands, shared: Path, folder: Path) -> Ended:
    own, outputs = folder / "own", folder / "outputs"
    own.mkdir()
    outputs.mkdir()
    case.set_up(own, shared)
    return commands.run(own, case.words(shared), PATIENCE, outputs)


def test_campaign_has_hundreds_of_cases_each_with_a_name_of_its_own():
    names = [case.name for cases in TABLES.values() for case in cases]
    assert len(names) == len(set(names))
    assert len(names) >= LEAST


@pytest.mark.medium
@pytest.mark.parametrize("case", _parameters(FAST))
def test_sample_of_malformed_inputs_is_refused_in_one_line(case, commands, shared, tmp_path):
    _refusal(_run(case, commands, shared, tmp_path), case)


@pytest.mark.slow
@pytest.mark.parametrize("case", _parameters())
def test_malformed_input_is_refused_in_one_line(case, commands, shared, tmp_path):
    _refusal(_run(case, commands, shared, tmp_path), case)


def _limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (PROCESS_MEMORY, PROCESS_MEMORY))


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("number", range(SAMPLED))
def test_malformed_input_is_refused_by_a_process_of_its_own(table, number, shared, tmp_path):
    pytest.importorskip("resource", reason="Windows has no such limits")
    cases = TABLES[table]
    case = cases[number * len(cases) // SAMPLED]
    case.set_up(tmp_path, shared)
    program, *rest = case.words(shared)
    start = ["-m", "synctrack.cli.main"] if program == "synctrack" else [str(ROOT / program)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, *start, *rest],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        timeout=PATIENCE,
        preexec_fn=_limit_memory,
    )
    _refusal(Ended(result.returncode, result.stdout, result.stderr, 0.0, False), case)
