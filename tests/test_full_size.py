"""The paper's size on the CPU: builds, trains a step and samples a step."""

import pytest
import torch
from conftest import STEMS

from synctrack.config import load_config
from synctrack.lightning_module import SyncTrackModule
from synctrack.seeding import item_generator


@pytest.mark.slow
def test_full_size_trains_and_samples_a_step():
    torch.manual_seed(0)
    module = SyncTrackModule(load_config([]))
    model, audio = module.model, module.config.model.params.audio
    assert sum(p.numel() for p in model.unet.parameters()) == 241_314_712
    optimizer = module.configure_optimizers()["optimizer"]
    optimizer.param_groups[0]["lr"] = 1e-4
    latent = model.encode(0.1 * torch.randn(1, len(STEMS), audio.segment_samples), [item_generator(0)])
    assert latent.shape == (1, len(STEMS), 8, 256, 16)
    model.set_scale_factor(latent)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        loss = model.loss(latent, [item_generator(1)]).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    waveform = model.decode(model.generate([item_generator(2)], steps=1, eta=1.0))
    assert waveform.shape == (1, len(STEMS), 163_840)
    assert waveform.isfinite().all()
