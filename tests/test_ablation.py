"""experiments/ablation.py as a command: it trains, measures, resumes what was stopped, and refuses other settings."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ablation
import ablation_measures
import ablation_setup
import ablation_training
from helpers.commands import PATIENCE, ROOT, ending, wait_for
from synctrack import locks
from synctrack.config import load_config
from synctrack.errors import InputError
from synctrack.metrics.score import score_folder
from synctrack.training.run import train

TINY = ["model.params.audio.frames=128", "model.params.unet.prior_channels=32", "data.params.num_workers=0"]
TINY += ["model.params.unet.channel_mult=[1,1]", "model.params.unet.attention_resolutions=[2]"]
CLIPS = 5
SIZES = ["--steps", "1", "2", "--clips", CLIPS, "--calls", "1", "--songs", "2", "--batch-size", "2", "--devices", "1"]
CONTROL = "no_cross_stem_attention"


def run(out: Path, *options: object, keys: tuple[str, ...] = ()) -> None:
    """The command in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["ablation.py", *TINY, *keys, *map(str, SIZES), "--out", str(out), *map(str, options)]
        )
        ablation.main()


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_stopped_ablation_resumes_where_it_was_and_tells_what_it_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ablation_measures, "KEPT_CLIPS", CLIPS)
    out, trained = tmp_path / "out", []

    def train_here(files: list[Path], pairs: list[str], devices: int) -> None:
        values = dict(pair.split("=", 1) for pair in pairs)
        trained.append((Path(values["run_dir"]).parent.name, values["trainer.max_steps"], values["trainer.resume"]))
        train(load_config(files, pairs))

    monkeypatch.setattr(ablation_training, "run_training", train_here)
    run(out, "--variants", "full", "--stop-at", 1, "--no-samplers")
    assert trained == [("full_seed0", "1", "null")]
    with monkeypatch.context() as patch:
        patch.setattr(ablation, "losses", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(out, "--variants", "full", "--no-samplers")
    clips = sorted((out / "full_seed0" / "clips" / "step_00002").rglob("*.wav"))
    before = {path: path.stat().st_mtime_ns for path in [*clips, out / "full_seed0" / "measured" / "step_00001.json"]}
    assert len(clips) == CLIPS * 5
    monkeypatch.setattr(ablation, "SAMPLER_CALLS", (1,))
    run(out, "--variants", CONTROL, "full")
    assert trained[1:] == [
        ("full_seed0", "2", "last"),
        (f"{CONTROL}_seed0", "1", "null"),
        (f"{CONTROL}_seed0", "2", "last"),
    ]
    assert {path: path.stat().st_mtime_ns for path in before} == before

    content = json.loads((out / "ablation.json").read_text())
    found = {(row["variant"], row["step"]): row["metrics"] for row in content["rows"] if row["kind"] == "step"}
    assert list(found) == [(variant, step) for variant in ("full", CONTROL) for step in (1, 2)]
    (sampler,) = (row for row in content["rows"] if row["kind"] == "sampler")
    assert (sampler["sampler"], sampler["calls"], sampler["step"]) == ("ddim", 1, 2)
    scores = score_folder(out / "full_seed0" / "clips" / "step_00002", protocol="corrected", cache=False)
    scored = scores["protocols"]["corrected"]
    for metric in ("cbs", "cbd", "irs"):
        assert found["full", 2][metric]["value"] == pytest.approx(scored[metric], nan_ok=True)
    assert found["full", 2]["cbs"]["interval_95"] == pytest.approx(scored["interval_95"]["cbs"])
    assert (out / "ablation.md").read_text() in capsys.readouterr().out

    with pytest.raises(
        InputError, match=r"was created with different settings \(calls 1, now 2\); choose another --out"
    ):
        run(out, "--calls", 2)
    with pytest.raises(InputError, match=r"base_learning_rate 0\.0008, now 0\.1"):
        run(out, keys=("model.params.base_learning_rate=0.1",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--variants", "half"], "--variants: 'half' must be one of full, no_global_attention"),
        (["--clips", "0"], "--clips: 0 is not 1 or more"),
        (["--batch-size", "3", "--devices", "2"], "--batch-size: 3 songs do not divide among 2 devices"),
        (["--stop-at", "0"], "--stop-at: 0 is before the first of --steps, 1"),
        (["--steps", "0", "5"], "--steps, --seeds: steps are 1 or more"),
    ],
)
def test_wrong_option_is_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_folder_in_use_by_another_run_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")
    monkeypatch.setattr(locks, "PATIENCE", 0.0)
    out = tmp_path / "out"
    with locks.locked(out), pytest.raises(InputError, match=r"another process .* is writing there"):
        run(out)


def test_training_beyond_a_step_without_its_weights_is_named(tmp_path, monkeypatch):
    setup = ablation_setup.Setup(tmp_path, 1, 1, 1, (1,), 1, 1, "cpu")
    monkeypatch.setattr(ablation_training, "_reached", lambda last: 700)
    with pytest.raises(InputError, match=r"last.ckpt: is at step 700, and .*step_00500.safetensors is missing"):
        ablation_training.train_to(setup, "full", 0, 500)


@pytest.mark.medium
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_terminated_command_ends_its_training(tmp_path):
    (tmp_path / "train_synctrack.py").write_text(
        "import os, pathlib, time\npathlib.Path('pid.part').write_text(str(os.getpid()))\n"
        "os.rename('pid.part', 'pid')\ntime.sleep(600)\n"
    )
    program = (
        "import ablation_training, pathlib, synctrack.errors\nablation_training.ROOT = pathlib.Path.cwd()\n"
        "synctrack.errors.run_command(lambda: ablation_training.run_training([], [], 1))"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'experiments'}"}
    how = {"cwd": tmp_path, "env": environment, "start_new_session": True}
    with ending(subprocess.Popen([sys.executable, "-c", program], **how)) as process:
        wait_for(process, tmp_path, "pid")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
