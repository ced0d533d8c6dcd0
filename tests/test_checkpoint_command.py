"""`python -m synctrack.checkpoint`: inspect, convert and diff."""

import subprocess
import sys

import pytest
import torch

from helpers import published_files as small
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import main
from synctrack.config import save_config
from synctrack.errors import run_command

pytestmark = pytest.mark.medium


@pytest.fixture
def command(monkeypatch, capsys):
    """Run `python -m synctrack.checkpoint …` in this process -> (exit status, stdout, stderr)."""
    monkeypatch.setattr("synctrack.checkpoint.files.PUBLISHED_CONFIG", small.PARAMS)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["checkpoint", *map(str, arguments)])
        status = 0
        try:
            run_command(main)
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return run


def test_inspect_says_what_a_file_is(tmp_path, command):
    status, out, _ = command("inspect", small.saved_file(tmp_path, "musicldm"))
    assert status == 0
    assert "MusicLDM checkpoint (published names, step 320000)" in out
    assert checkpoint.sha256(tmp_path / "musicldm.ckpt") in out
    assert "CLAP, which nothing here conditions on" in out
    assert "newly initialised: 81 keys of the U-Net" in out


def test_conversion_round_trip_on_the_command_line(tmp_path, command):
    source, ours, back = small.saved_file(tmp_path, "vocoder"), tmp_path / "v.safetensors", tmp_path / "back.ckpt"
    assert command("convert", source, ours)[0] == 0
    assert "HiFi-GAN checkpoint (our names)" in command("inspect", ours)[1]
    assert command("convert", ours, back)[0] == 0
    assert set(torch.load(back)["generator"]) == set(small.published_tensors("vocoder"))


def test_diff_lists_what_does_not_fit(tmp_path, command):
    save_config(small.CONFIG, tmp_path / "config.yaml")
    path = small.saved_file(tmp_path, "synctrack")
    assert command("diff", path, tmp_path / "config.yaml")[:2] == (
        0,
        f"{path}: SyncTrack checkpoint (published names, step 320000) fits\n",
    )
    status, out, _ = command(
        "diff",
        path,
        tmp_path / "config.yaml",
        "model.params.unet.instrument_prior=false",
        "model.params.vae.channels=64",
    )
    assert status == 1
    assert "unknown: model.diffusion_model.switcher_transform.0.weight\n" in out
    assert "of another shape or type: first_stage_model.decoder.conv_in.weight ([" in out


def test_wrong_input_is_one_line_and_status_2(tmp_path, command):
    (tmp_path / "x.ckpt").write_bytes(b"rubbish")
    for arguments in (("inspect", tmp_path / "x.ckpt"), ("convert", tmp_path / "none", tmp_path / "y.safetensors")):
        status, _, err = command(*arguments)
        assert status == 2
        assert err.startswith("error: ")
        assert err.count("\n") == 1


def test_module_runs_as_a_program(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "synctrack.checkpoint", "inspect", str(tmp_path / "none.ckpt")],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert (
        result.stderr
        == f"error: {tmp_path}/none.ckpt: no such file; see ckpt/README.md for the available checkpoints\n"
    )
