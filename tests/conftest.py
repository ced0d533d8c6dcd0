"""Fixtures of several test files; their plain functions are in `helpers`."""

import contextlib
import functools
import io
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from helpers.commands import ROOT, only_error, run_here, run_in
from helpers.latent_store import MAKE, save_vae
from helpers.small_model import SMALL_AUDIO, STEMS, awaken, small_config
from synctrack.data.sources.grooves import write_grooves
from synctrack.metrics.beats.cache import CACHE_VARIABLE
from synctrack.models.latent_diffusion import LatentDiffusion


def pytest_configure() -> None:
    """Let the workers of `pytest -n` share the processors: each computes in its part of them."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if workers > 1:
        threads = max(1, (os.cpu_count() or 1) // workers)
        torch.set_num_threads(threads)
        os.environ["OMP_NUM_THREADS"] = str(threads)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Beats are kept in a folder of the tests' own: neither read from the user's cache nor added to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


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
        return only_error(capsys.readouterr().err)

    return fail_with


@pytest.fixture(scope="session")
def latent_store(grooves: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data`, `vae.ckpt` and the store `latents`."""
    folder = tmp_path_factory.mktemp("latents")
    shutil.copytree(grooves, folder / "data")
    save_vae(folder / "vae.ckpt", seed=0)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        run_here(folder, "prepare_data.py", *MAKE, "latents")
    assert printed.getvalue() == "4 songs\n"
    return folder


@pytest.fixture
def store_copy(latent_store, tmp_path, monkeypatch) -> Path:
    """A copy of `latent_store` that a test may change; the working folder."""
    shutil.copytree(latent_store, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
