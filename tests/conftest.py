"""Small models, small data sets and the real commands, shared by the tests."""

import contextlib
import functools
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from synctrack.audio.mel import AudioFormat
from synctrack.data.sources.grooves import write_grooves
from synctrack.models.latent_diffusion import LatentDiffusion, ModelConfig, VocoderConfig
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAEConfig

ROOT = Path(__file__).parent.parent
STEMS = ("bass", "drums", "guitar", "piano")
SMALL_AUDIO = AudioFormat(sample_rate=8000, n_fft=512, hop_length=160, n_mels=32, f_max=4000.0, frames=64)
SMALL_VAE = VAEConfig(channels=32, channel_mult=[1, 1], num_res_blocks=1, latent_channels=4)
SMALL_UNET = {"model_channels": 32, "channel_mult": [1, 2], "num_res_blocks": 1, "attention_resolutions": [2]}
SMALL_KEYS = [
    "model.params.audio={sample_rate: 8000, n_fft: 512, hop_length: 160, n_mels: 32, f_max: 4000.0, frames: 64}",
    "model.params.vae={channels: 32, channel_mult: [1, 1], num_res_blocks: 1, latent_channels: 4}",
    "model.params.unet={model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [2]}",
    "model.params.vocoder.kind=griffin_lim",
    "trainer.accelerator=cpu",
    "trainer.devices=1",
    "data.params.num_workers=0",
    "data.params.batch_size=2",
]
"""The same small model as key=value pairs for the commands."""


def small_config(**unet: object) -> ModelConfig:
    """A model of 1.28 s segments at 8 kHz, small enough to train in seconds."""
    return ModelConfig(SMALL_AUDIO, SMALL_VAE, UNetConfig(**SMALL_UNET | unet), vocoder=VocoderConfig("griffin_lim"))


def awaken(module: torch.nn.Module) -> torch.nn.Module:
    """Give the layers that start at zero random weights, or outputs would not depend on inputs."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.abs().max() == 0:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return module


@pytest.fixture
def small_model() -> LatentDiffusion:
    torch.manual_seed(0)
    model = awaken(LatentDiffusion(small_config(), STEMS))
    model.scale_factor.fill_(1.0)
    return model


@pytest.fixture(scope="session")
def grooves(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `train` of three songs of four segments, `valid` of one, at the small model's rate."""
    folder = tmp_path_factory.mktemp("grooves")
    seconds = 4.5 * SMALL_AUDIO.segment_seconds
    write_grooves(folder / "train", songs=3, seconds=seconds, sample_rate=SMALL_AUDIO.sample_rate, seed=0)
    write_grooves(folder / "valid", songs=1, seconds=seconds, sample_rate=SMALL_AUDIO.sample_rate, seed=1)
    return folder


def run_in(folder: Path, script: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Run one of the commands in `folder`, as a user would: run_in(folder, "train_synctrack.py", "--config", ...)."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
    assert not check or result.returncode == 0, result.stderr[-4000:]
    return result


def run_here(folder: Path, script: str, *arguments: object) -> None:
    """`run_in` this process, which saves the start; with one thread, so that the same run gives the same bits."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        torch.set_num_threads(1)
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        finally:
            torch.set_num_threads(threads)


def wait_for(process: subprocess.Popen, folder: Path, pattern: str) -> None:
    """Return when `folder` holds anything like `pattern`, or the process has ended."""
    found = False
    while process.poll() is None and not found:
        # The process renames folders while we look into them.
        with contextlib.suppress(FileNotFoundError):
            found = next(folder.glob(pattern), None) is not None
        time.sleep(0.001)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """`run_in` the test's own folder."""
    return functools.partial(run_in, tmp_path)


@pytest.fixture
def fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Run a command that must refuse its input, in this process to save time; gives the line it prints."""

    def fail_with(script: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        assert stopped.value.code == 2
        *_, line = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    return fail_with
