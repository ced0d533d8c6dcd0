"""A hundred runs are killed at random times; each command, run again, ends in the same bytes as if never killed.

A round is a new folder in which a command is killed several times before it may finish.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from campaign.rounds import COMMANDS, copy_sources, words
from helpers.commands import PATIENCE
from helpers.forked_commands import KILLED, Ended

pytestmark = pytest.mark.slow

KILLS = {"synthetic": 25, "slakh": 15, "latents": 10, "generate": 20, "score": 15, "train": 15}
"""How many runs of each kind are killed."""
KILLS_IN_A_ROUND = 5
SEED = 0


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_command_run_again_gives_the_same_bytes(commands, sources, tmp_path, name):
    _, results = COMMANDS[name]
    rng = np.random.default_rng(SEED)
    outputs = tmp_path / "outputs"
    outputs.mkdir()

    def run(folder: Path, seconds: float = PATIENCE) -> Ended:
        return commands.run(folder, words(name, folder), seconds, outputs, alone=True)

    def finish(folder: Path) -> float:
        ended = run(folder)
        assert ended.status == 0, ended.err[-3000:]
        return ended.seconds

    def new_folder(round_name: str) -> Path:
        return copy_sources(sources, tmp_path / round_name)

    whole = new_folder("whole")
    longest = finish(whole)
    expected, killed, rounds = results(whole), 0, 0
    assert expected
    while killed < KILLS[name]:
        folder = new_folder(f"round_{rounds}")
        for _ in range(min(KILLS_IN_A_ROUND, KILLS[name] - killed)):
            ended = run(folder, rng.uniform(0, longest))
            assert ended.status in (0, KILLED), ended.err[-3000:]
            killed += ended.status == KILLED
            if ended.status == 0:
                # The machine is quicker than it was, or little was left to do.
                longest = min(longest, max(ended.seconds, longest / 2))
        finish(folder)
        assert results(folder) == expected
        shutil.rmtree(folder)
        rounds += 1
        assert rounds <= KILLS[name], "the command ends before it can be killed"


def test_the_campaign_kills_a_hundred_runs():
    assert sum(KILLS.values()) == 100
    assert KILLS.keys() == COMMANDS.keys()
