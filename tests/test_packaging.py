"""The package as it is installed: what a wheel holds and declares, and that nothing heavy is imported early."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import synctrack
from synctrack.cli.main import COMMANDS
from synctrack.errors import EXTRAS, InputError, needs_extra

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def run_python(code: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{code}"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    # A copy, or the build would leave its files in the source tree.
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in listed:
        if name.startswith(("src/", "ckpt/demo/")) or "/" not in name:
            source, target = ROOT / name, folder / "source" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_file():
                target.write_bytes(source.read_bytes())
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", "out"]
    subprocess.run([*command, "./source"], cwd=folder, check=True)
    (path,) = (folder / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_list_of_packages_is_complete():
    folders = {str(f.parent.relative_to(ROOT / "src")).replace("/", ".") for f in (ROOT / "src").rglob("__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders | {"synctrack.demo"}


def test_wheel_holds_one_top_level_name_every_module_and_the_demo(wheel):
    names = set(wheel.namelist())
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"synctrack"}
    modules = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.py")}
    assert modules <= names
    for part in ("synctrack", "vae", "vocoder"):
        stored = wheel.read(f"synctrack/demo/{part}.safetensors")
        assert stored == (ROOT / "ckpt" / "demo" / f"{part}.safetensors").read_bytes()


def test_wheel_declares_dependencies_extras_licence_and_command(wheel):
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    text = wheel.read(metadata).decode()
    assert f"Version: {synctrack.__version__}\n" in text
    for line in ("Requires-Dist: torch>=2.5", "License-Expression: Apache-2.0", "Provides-Extra: train"):
        assert line in text
    for extra in ("train", "midi", "madmom", "beat-this", "hub", "studio"):
        assert f"Provides-Extra: {extra}\n" in text
    (entries,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "synctrack = synctrack.cli.main:main" in wheel.read(entries).decode()


def test_pinned_requirements_are_exact_and_cover_what_the_package_needs():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] not in "#-"]
    assert all("==" in line for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    needed = [*PROJECT["project"]["dependencies"], *extras["train"], *extras["midi"]]
    assert {name.partition(";")[0].partition(">")[0].strip() for name in needed} <= pinned


def test_importing_synctrack_imports_only_the_standard_library():
    code = (
        "before = set(sys.modules); import synctrack\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before} - {'synctrack'}\n"
        "print(sorted(new - sys.stdlib_module_names))"
    )
    assert run_python(code).stdout.strip() == "[]"


def test_generating_scoring_and_encoding_need_no_optional_package():
    optional = [module for modules in EXTRAS.values() for module in modules]
    result = run_python(
        f"for name in {optional}: sys.modules[name] = None\n"
        "import synctrack.pipeline, synctrack.metrics.scores, synctrack.checkpoint.commands\n"
        "import synctrack.generation.clips, synctrack.data.latents.encoding"
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "config/synctrack_train.yaml"], "train"),
        (["evaluate", "ckpt/demo/synctrack.safetensors"], "train"),
        (["data", "midi", "--midi", "x", "--out", "x"], "midi"),
        (["studio"], "studio"),
    ],
)
def test_missing_extra_is_one_line_that_names_it(arguments, extra):
    code = (
        "sys.modules['pytorch_lightning'] = sys.modules['mido'] = sys.modules['gradio'] = None\n"
        f"sys.argv = ['synctrack', *{arguments!r}]\n"
        "from synctrack.cli.main import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{code}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2, result.stderr
    assert f"synctrack[{extra}]" in result.stderr
    assert "Traceback" not in result.stderr


def test_modules_of_extras_are_those_of_the_project():
    def module_of(requirement: str) -> str:
        return re.match(r"[\w-]+", requirement)[0].removesuffix("-prebuilt").replace("-", "_")

    extras = PROJECT["project"]["optional-dependencies"]
    assert {extra: tuple(map(module_of, needed)) for extra, needed in extras.items()} == EXTRAS


def test_missing_module_of_no_extra_is_reported_as_itself(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    message = r"^training: needs scipy, which is not installed"
    with pytest.raises(InputError, match=message) as refused, needs_extra("train", "training"):
        import scipy.signal  # noqa: F401
    assert "synctrack[" not in str(refused.value)


def test_help_of_every_command_is_printed_and_the_quick_ones_import_no_torch():
    """In one process: first the commands whose help must be instant, then all others."""
    code = (
        "from synctrack.cli.main import COMMANDS, main\n"
        "def show(*words):\n"
        "    sys.argv = ['synctrack', *words, '--help']\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "quick = ('generate', 'score', 'studio')\n"
        "show()\n"
        "for name in quick: show(name)\n"
        "print({'torch', 'pytorch_lightning', 'librosa', 'gradio'} & set(sys.modules), file=sys.stderr)\n"
        "for name in COMMANDS:\n"
        "    if name not in quick: show(name)"
    )
    result = run_python(code)
    for command in ("COMMAND", *COMMANDS):
        assert f"usage: synctrack {command} " in result.stdout
    assert result.stderr.strip() == "set()"


def test_copied_source_tree_runs_its_own_code(tmp_path):
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copytree(ROOT / "eval_metrics", tmp_path / "eval_metrics")
    module = tmp_path / "src" / "synctrack" / "cli" / "metrics.py"
    module.write_text(module.read_text() + '\nprint("from the copy")\n')
    command = [sys.executable, str(tmp_path / "eval_metrics" / "IRS.py"), "--help"]
    assert "from the copy" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
