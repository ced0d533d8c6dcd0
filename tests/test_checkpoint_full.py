"""Checkpoints at full size: memory while loading, and a round trip of the published file."""

import json
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from helpers import published_files as small
from helpers.golden import Golden, published_keys, tensor_noise
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.loading import load_vae
from synctrack.models.vae import VAE, VAEConfig

pytestmark = pytest.mark.medium

PEAK = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from synctrack.training.initialise import initialise
    from synctrack.checkpoint.loading import load_for_evaluation, load_vae
    from synctrack.checkpoint.files import PUBLISHED_CONFIG, PUBLISHED_STEMS
    from synctrack.config import ModelParams
    from synctrack.training.ema import EMA
    from synctrack.models.latent_diffusion import LatentDiffusion
    from synctrack.models.vae import VAE

    def peak():
        if sys.platform == "darwin":
            import resource

            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Not ru_maxrss, which on Linux begins at the peak of the process that started this one.
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])

    what, path = sys.argv[1:]
    if what == "vae":
        vae = VAE(PUBLISHED_CONFIG.vae)
    else:
        model = LatentDiffusion(PUBLISHED_CONFIG, PUBLISHED_STEMS)
        ema = EMA(model.unet, 0.9999) if what == "training" else None
    before = peak()
    if what == "vae":
        load_vae(vae, path)
    elif what == "training":
        initialise(model, ema, ModelParams(unet=PUBLISHED_CONFIG.unet, ckpt_path=path))
    else:
        load_for_evaluation(model, path)
    print(json.dumps((peak() - before) / Path(path).stat().st_size))
""")


needs_peak = pytest.mark.skipif(
    sys.platform not in ("linux", "darwin"), reason="how much memory a process has held is read on Linux and macOS"
)


def peak_of_loading(what: str, path: Path) -> float:
    """Memory that loading takes above the built model, as a share of the file's size; in a process of its own.

    A file that is mapped counts by what is read of it: a whole one that is read at once is 1.07 of its size.
    """
    result = subprocess.run([sys.executable, "-c", PEAK, what, str(path)], capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


def full_tensors(kind: str, prefix: str = "") -> dict[str, torch.Tensor]:
    """A published file of full size, filled by name."""
    tensors = {name: small.weight(prefix + name, shape).to(dtype) for name, shape, dtype in published_keys(kind)}
    if kind == "synctrack":
        tensors["scale_factor"] = torch.tensor(0.37)
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for gigabytes, which pytest would keep for three more runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@needs_peak
def test_memory_of_loading_the_full_vae(folder):
    assert peak_of_loading("vae", small.save_published(folder / "vae.ckpt", "vae", full_tensors("vae"))) < 0.7


@pytest.mark.slow
def test_output_of_the_full_vae_file(folder):
    vae = VAE(VAEConfig())
    load_vae(vae, small.save_published(folder / "vae.ckpt", "vae", full_tensors("vae", "first_stage_model.")))
    with torch.inference_mode():
        logvar = vae.encode(tensor_noise("vae.mel", (1, 1, 1024, 64), -5, 2)).logvar
    assert Golden("vae").error("logvar", logvar) < 1e-5


@needs_peak
@pytest.mark.slow
def test_memory_and_round_trip_of_the_full_file(folder):
    tensors = full_tensors("synctrack")
    path = small.save_published(folder / "full.ckpt", "synctrack", tensors)
    assert peak_of_loading("evaluation", path) < 0.8
    assert peak_of_loading("training", path) < 1.3
    convert(path, folder / "full.safetensors")
    convert(folder / "full.safetensors", folder / "back.ckpt")
    assert small.same(torch.load(folder / "back.ckpt", weights_only=True, mmap=True)["state_dict"], tensors)
    assert peak_of_loading("evaluation", folder / "full.safetensors") < 0.8
