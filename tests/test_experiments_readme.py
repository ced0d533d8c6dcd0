"""experiments/README.md names every experiment, overlay and option as it is."""

import re

from ablation_setup import VARIANTS
from helpers.commands import ROOT

FOLDER = ROOT / "experiments"
README = (FOLDER / "README.md").read_text()
SOURCES = {path.name: path.read_text() for path in FOLDER.glob("*.py")}


def test_every_command_of_the_folder_has_a_line():
    commands = {name for name, source in SOURCES.items() if "run_command(main)" in source}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", README, re.MULTILINE)) == commands


def test_every_variant_is_listed_with_its_overlay():
    for name, title in VARIANTS.items():
        overlay = "nothing" if name == "full" else f"`{name}.yaml`"
        assert f"| {title} | {overlay} |" in README


def test_options_of_the_readme_exist():
    options = set(re.findall(r"(?<![-<!])--[a-z][a-z-]+", README)) - {"--help"}
    assert len(options) >= 6
    for option in options:
        assert any(f'"{option}"' in source for source in SOURCES.values()), option
