"""What works without the optional packages, and what the commands that need them say."""

import subprocess
import sys

import pytest

from synctrack.errors import InputError
from synctrack.extras import EXTRAS, needs_extra

OPTIONAL = sorted({module for modules in EXTRAS.values() for module in modules} | {"sklearn"})
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing!r})); {code}"


def python(code: str, missing: list[str]) -> subprocess.CompletedProcess:
    """Run code in an interpreter where importing `missing` fails as if they were not installed."""
    command = [sys.executable, "-c", WITHOUT.format(missing=missing, code=code)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "module",
    [
        "synctrack.generation.clips",
        "synctrack.checkpoint.loading",
        "synctrack.metrics.score",
        "synctrack.data.sources.grooves",
        "synctrack.data.latents.encoding",
        "synctrack.pipeline",
        "synctrack.cli.data",
        "synctrack.cli.main",
    ],
)
def test_imports_without_optional_packages(module):
    result = python(f"import {module}", OPTIONAL)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["synctrack.metrics.score", "synctrack.metrics.scores", "synctrack.cli.main"])
def test_imports_without_torch(module):
    result = python(f"import {module}", [*OPTIONAL, "torch"])
    assert result.returncode == 0, result.stderr


def test_the_package_imports_the_standard_library_alone():
    code = (
        "import synctrack; print({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - before)"
    )
    result = python(f"before = {{name.partition('.')[0] for name in sys.modules}}; {code}", [])
    assert result.stdout.strip() == "{'synctrack'}"


@pytest.mark.parametrize(
    ("arguments", "missing", "message"),
    [
        (
            ["train", "config/synctrack_train.yaml"],
            "pytorch_lightning",
            "pytorch-lightning: pip install 'synctrack[train]'",
        ),
        (["data", "midi", "--midi", ".", "--out", "unused"], "mido", "mido: pip install 'synctrack[midi]'"),
    ],
)
def test_commands_name_the_extra(arguments, missing, message):
    code = f"sys.argv[1:] = {arguments!r}; from synctrack.cli.main import main; main()"
    result = python(code, [missing])
    assert (result.returncode, result.stderr) == (2, f"error: this command needs {message}\n")


def test_other_failing_imports_are_raised_as_they_are():
    with pytest.raises(ModuleNotFoundError), needs_extra("train"):
        import no_such_module  # noqa: F401


def test_a_module_inside_a_missing_package_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "mido", None)
    with pytest.raises(InputError, match="the reader needs mido"), needs_extra("midi", "the reader"):
        import mido.midifiles  # noqa: F401
