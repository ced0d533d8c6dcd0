"""`synctrack evaluate`: a test set's clips from a checkpoint alone, for several numbers of steps."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from helpers.commands import ROOT, run_here, run_in
from helpers.small_model import SMALL_KEYS, awaken
from synctrack.checkpoint.loading import header
from synctrack.cli import main as command
from synctrack.cli.evaluate import evaluation_config
from synctrack.config import load_config, save_config
from synctrack.errors import InputError
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium
TRAINER = ["trainer.accelerator=cpu", "trainer.devices=1", "data.params.num_workers=0", "data.params.batch_size=2"]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, grooves):
    """A run folder with its configuration and a last checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("evaluate") / "run"
    config = load_config([ROOT / "config" / "synctrack_train.yaml"], [*SMALL_KEYS, "model.params.ckpt_path=null"])
    config.data.params.path.valid_data = str(grooves / "valid")
    torch.manual_seed(0)
    module = SyncTrackModule(config)
    awaken(module.ema.module)
    module.model.scale_factor.fill_(4.0)
    saved = {"state_dict": module.state_dict(), "global_step": 7, "synctrack": header("synctrack", config)}
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(saved, folder / "checkpoints" / "last.ckpt")
    save_config(config, folder / "config.yaml")
    return folder


def evaluate_run(run_folder, *words: str) -> subprocess.CompletedProcess:
    """Evaluate the run with two numbers of steps by one command, in a process of its own."""
    script = run_folder.parent / "synctrack.py"
    # Further processes run what the first one was called as.
    argv = [str(script), "evaluate", run_folder.name, "--steps", "2", "3", *words]
    script.write_text(
        f"import sys; sys.path[0] = {str(ROOT / 'src')!r}; sys.argv = {argv!r}\n"
        "from synctrack.cli.main import main; main()\n"
    )
    return run_in(run_folder.parent, str(script))


@pytest.fixture(scope="module")
def evaluated(run_folder):
    """The run, evaluated with two numbers of steps by one command."""
    return evaluate_run(run_folder, "evaluation.clips=2")


def test_every_number_of_steps_has_its_clips_and_all_share_the_targets(run_folder, evaluated):
    out = run_folder / "evaluation"
    assert {path.name for path in out.iterdir()} == {"steps_002", "steps_003", "targets", "evaluation.json"}
    for folder in ("steps_002", "steps_003", "targets"):
        for stem in ("stem_0", "stem_1", "stem_2", "stem_3", "mix"):
            assert len(list((out / folder / stem).glob("*.wav"))) == 2
    assert not (out / "steps_002" / "targets").exists()


@pytest.mark.slow
def test_devices_without_a_clip_wait_for_every_number_of_steps(run_folder, evaluated):
    """Of two devices and one clip: the second has nothing to generate, and both have two numbers of steps."""
    keys = [*TRAINER, "trainer.devices=2", "evaluation.clips=1", "evaluation.score=false"]
    evaluate_run(run_folder, "--out", "two", *keys)
    for folder in ("steps_002", "steps_003"):
        (one,) = (run_folder.parent / "two" / folder / "mix").iterdir()
        other = run_folder / "evaluation" / folder / "mix" / one.name
        np.testing.assert_allclose(soundfile.read(one)[0], soundfile.read(other)[0], atol=0.02)


def test_one_table_and_one_file_hold_all_scores(run_folder, evaluated):
    rows = [line for line in evaluated.stderr.splitlines() if line.startswith(("paper", "corrected"))]
    assert [row.split()[1] for row in rows] == ["2", "3", "targets"] * 2
    scores = json.loads((run_folder / "evaluation" / "evaluation.json").read_text())
    assert list(scores) == ["2 steps", "3 steps", "targets"]
    assert scores["targets"]["counts"]["songs"] == 2
    assert not {"reference", "comparison"} & set(scores["3 steps"])
    assert (run_folder / "evaluation" / "steps_003" / "report.html").is_file()


def test_clips_are_those_of_the_published_script(run_folder, evaluated, grooves, tmp_path):
    keys = [*SMALL_KEYS, f"data.params.path.valid_data={grooves / 'valid'}", "evaluation.clips=2", "evaluation.steps=3"]
    keys += [f"model.params.ckpt_path={run_folder / 'checkpoints' / 'last.ckpt'}", "evaluation.out=out"]
    keys += ["evaluation.score=false"]
    run_here(tmp_path, "eval_synctrack.py", "--config", ROOT / "config" / "synctrack_eval.yaml", *keys)
    made = list((tmp_path / "out").glob("stem_*/*.wav"))
    assert len(made) == 4 * 2
    for theirs in made:
        ours = run_folder / "evaluation" / "steps_003" / theirs.parent.name / theirs.name
        first, second = soundfile.read(ours)[0], soundfile.read(theirs)[0]
        assert np.abs(first - second).mean() < 0.02 * np.abs(first).mean() + 1e-4


def test_checkpoint_file_needs_no_configuration(run_folder):
    path = run_folder / "checkpoints" / "last.ckpt"
    config = evaluation_config(str(path), [*TRAINER, "data.params.path.valid_data=somewhere"], None)
    assert config.model.params.unet.model_channels == 32
    assert config.model.params.ckpt_path == str(path)
    assert config.evaluation.out == "evaluation_last"
    assert config.mode == "test"


@pytest.mark.parametrize("pair", ["model.params.unet.model_channels=64", "data.params.path.stems=[a,b]"])
def test_keys_taken_from_the_checkpoint_are_refused(run_folder, pair):
    with pytest.raises(InputError, match="is taken from the checkpoint"):
        evaluation_config(str(run_folder), [pair], None)


@pytest.mark.parametrize("steps", ["0", "1001", "ten", "-3"])
def test_steps_out_of_bounds_are_one_line_and_status_2(run_folder, steps, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["synctrack", "evaluate", str(run_folder), f"--steps={steps}"])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2
    assert f"--steps {steps}: must be whole numbers between 1 and 1000" in capsys.readouterr().err
