"""What a wheel of this tree holds and declares."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = {"train", "midi", "madmom", "beat-this", "hub", "all"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy, so that an old `build/` beside the sources cannot add to it."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "ckpt/demo"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    built = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as archive:
        yield archive


def declared(wheel: zipfile.ZipFile, file: str) -> str:
    return wheel.read(next(name for name in wheel.namelist() if name.endswith(f".dist-info/{file}"))).decode()


def test_list_of_packages_is_complete():
    packages = {".".join(file.parent.relative_to(SRC).parts) for file in SRC.rglob("__init__.py")}
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert listed == sorted(listed)
    assert set(listed) == packages | {"synctrack.demo"}


def test_wheel_holds_one_package(wheel):
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"synctrack"}


def test_wheel_holds_every_module(wheel):
    modules = {file.relative_to(SRC).as_posix() for file in SRC.rglob("*.py")}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == modules


def test_wheel_holds_the_demo(wheel):
    names = [name for name in wheel.namelist() if name.startswith("synctrack/demo/")]
    assert sorted(names) == [f"synctrack/demo/{name}.safetensors" for name in ("synctrack", "vae", "vocoder")]


def test_wheel_declares_dependencies_and_extras(wheel):
    metadata = Parser().parsestr(declared(wheel, "METADATA"))
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra")) == EXTRAS
    base = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert len(base) == len(PROJECT["project"]["dependencies"])
    assert not any(line.startswith(("pytorch-lightning", "mido", "madmom", "beat-this")) for line in base)
    assert "synctrack = synctrack.cli.main:main" in declared(wheel, "entry_points.txt")


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_requirements_are_pinned(file):
    lines = (ROOT / file).read_text(encoding="utf-8").split("\n")
    loose = [line for line in lines if line and "==" not in line and not line.startswith("-")]
    assert loose == []
