"""The paper's size on the CPU: builds, trains a step and samples a step."""

import math
import shutil

import pytest
import torch

from helpers.commands import run_here
from helpers.first_stage_runs import CONFIGS, last, logged
from helpers.small_model import STEMS
from synctrack.config import load_config
from synctrack.diffusion.samplers import Sampling
from synctrack.seeding import item_generator
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.medium


@pytest.mark.slow
def test_full_size_trains_and_samples_a_step():
    torch.manual_seed(0)
    module = SyncTrackModule(load_config([]))
    model, audio = module.model, module.config.model.params.audio
    assert sum(p.numel() for p in model.unet.parameters()) == 241_314_712
    optimizer = module.configure_optimizers()["optimizer"]
    optimizer.param_groups[0]["lr"] = 1e-4
    # It is not known before the first data are encoded.
    model.scale_factor.fill_(1.0)
    latent = model.encode(0.1 * torch.randn(1, len(STEMS), audio.segment_samples), [item_generator(0)])
    assert latent.shape == (1, len(STEMS), 8, 256, 16)
    model.set_scale_factor(latent)
    latent = latent * model.scale_factor
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.loss(latent, [item_generator(1)]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    waveform = model.decode(model.generate([item_generator(2)], Sampling(steps=1)))
    assert waveform.shape == (1, len(STEMS), 163_840)
    assert waveform.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vae", "vocoder"])
def test_full_size_first_stage_trains_with_its_discriminators(grooves, tmp_path, kind):
    """The published networks on parts of a second, with active discriminators from the second step on."""
    data = [f"data.params.path.{part}_data={grooves / part}" for part in ("train", "valid")]
    keys = ["model.params.audio.frames=64", "data.params.batch_size=1", "data.params.num_workers=0", "run_dir=full"]
    keys += ["trainer={accelerator: cpu, devices: 1, max_steps: 3, log_every_n_steps: 1, limit_val_batches: 0}"]
    keys += ["first_stage={crop_frames: 32, discriminator_start: 1}"]
    run_here(tmp_path, "train_first_stage.py", "--config", CONFIGS[kind], *data, *keys)
    run = logged(tmp_path / "full")
    assert sorted(step for name, step in run if name == "train/discriminator") == [1, 2]
    assert all(math.isfinite(value) for value in run.values())
    assert all(tensor.isfinite().all() for tensor in last(tmp_path / "full")["state_dict"].values())
    # Gigabytes, which pytest would keep for three more runs.
    shutil.rmtree(tmp_path / "full")
