"""The house: sizes of files, one package, and docstring examples that run."""

import doctest
import importlib

import pytest

from helpers.commands import ROOT

pytestmark = pytest.mark.medium

FOLDERS = ("src", "eval_metrics", "benchmarks", "experiments", "tests")
FILES = sorted([*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))])


def test_no_file_is_over_300_lines():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    assert {name: count for name, count in long.items() if count > 300} == {}


def test_source_holds_one_package():
    assert [path.name for path in (ROOT / "src").iterdir() if path.is_dir() and path.suffix != ".egg-info"] == [
        "synctrack"
    ]


@pytest.mark.parametrize(
    "name", ["synctrack.audio.beats", "synctrack.pipeline", "synctrack.generation.song", "synctrack.metrics.scores"]
)
def test_docstring_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
