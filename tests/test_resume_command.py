"""The command that an interrupted training prints, and that it resumes the run."""

import os
import signal
import subprocess
import sys

import pytest

from helpers.commands import PATIENCE, ROOT, ending, wait_for
from helpers.small_model import SMALL_KEYS
from synctrack.training.interruption import resume_command

pytestmark = pytest.mark.medium


def test_resume_command_repeats_the_script_with_the_key():
    argv = ["train_synctrack.py", "--config", "a b.yaml", "seed=1"]
    assert resume_command(argv) == "python train_synctrack.py --config 'a b.yaml' seed=1 trainer.resume=last"


def test_resume_command_is_quoted_as_the_system_reads_it(monkeypatch):
    argv = ["train_synctrack.py", "--config", r"C:\data\a.yaml", r"C:\my data\b.yaml"]
    monkeypatch.setattr(sys, "platform", "win32")
    expected = r'python train_synctrack.py --config C:\data\a.yaml "C:\my data\b.yaml" trainer.resume=last'
    assert resume_command(argv) == expected


def test_resume_command_replaces_an_older_checkpoint_and_knows_the_program():
    argv = ["/usr/bin/synctrack", "train", "a.yaml", "trainer.resume=old.ckpt"]
    assert resume_command(argv) == "synctrack train a.yaml trainer.resume=last"


def heed_interrupts() -> None:
    """A shell that runs the tests in the background has them ignore Ctrl-C, which child processes inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.medium
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_interrupted_training_prints_the_command_that_resumes_it(grooves, tmp_path, number):
    config = ROOT / "config" / "vae_train.yaml"
    keys = [f"data.params.path.train_data={grooves / 'train'}", "data.params.path.valid_data=null", "run_dir=run"]
    keys += ["trainer.max_steps=100000", "trainer.save_checkpoint_every_n_steps=2", "model.params.ckpt_path=null"]
    keys += ["first_stage.discriminator_start=null", "first_stage.crop_frames=32"]
    command = [sys.executable, str(ROOT / "train_first_stage.py"), "--config", str(config), *SMALL_KEYS, *keys]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("w") as log:
        how = {"stdout": log, "stderr": log, "env": environment, "preexec_fn": heed_interrupts}
        with ending(subprocess.Popen(command, cwd=tmp_path, **how)) as process:
            wait_for(process, tmp_path, "run/checkpoints/last.ckpt")
            process.send_signal(number)
            status = process.wait(timeout=PATIENCE)
    text = (tmp_path / "log").read_text()
    assert status == 128 + number, text[-2000:]
    assert "resume with: python" in text, text[-2000:]
    assert "trainer.resume=last" in text
    assert "Traceback" not in text, text[-3000:]
