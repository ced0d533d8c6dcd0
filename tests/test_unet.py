"""The U-Net: independence of songs, dependence of stems, prior, embedding, size."""

import pytest
import torch

from helpers.small_model import SMALL_UNET, STEMS, awaken, small_config
from synctrack.models.unet import InstrumentPrior, UNet, UNetConfig, timestep_embedding


def small_unet(num_stems: int = 4, **switches: object) -> UNet:
    torch.manual_seed(0)
    return awaken(UNet(small_config(**switches).unet, num_stems, 4)).eval()


def test_song_does_not_depend_on_its_batch():
    unet = small_unet()
    latent, t = torch.randn(5, 4, 4, 32, 16), torch.tensor([3, 500, 17, 999, 0])
    with torch.no_grad():
        together = unet(latent, t)
        for i in range(5):
            alone = unet(latent[i : i + 1], t[i : i + 1])
            torch.testing.assert_close(together[i : i + 1], alone, atol=2e-5, rtol=1e-4)


def test_without_cross_stem_attention_stems_are_independent():
    unet = small_unet(global_attention=False, time_attention=False)
    latent, t = torch.randn(1, 4, 4, 32, 16), torch.tensor([500])
    changed = latent.clone()
    changed[:, 2] += 1
    with torch.no_grad():
        moved = (unet(changed, t) - unet(latent, t)).abs().amax(dim=(0, 2, 3, 4)) > 1e-6
    assert moved.tolist() == [False, False, True, False]


@pytest.mark.parametrize("switch", ["global_attention", "time_attention"])
def test_each_cross_stem_attention_alone_connects_all_stems(switch):
    unet = small_unet(**{"global_attention": False, "time_attention": False, switch: True})
    latent, t = torch.randn(1, 4, 4, 32, 16), torch.tensor([500])
    changed = latent.clone()
    changed[:, 2] += 1
    with torch.no_grad():
        assert ((unet(changed, t) - unet(latent, t)).abs().amax(dim=(0, 2, 3, 4)) > 1e-5).all()


def test_only_the_instrument_prior_distinguishes_stems():
    latent, t = torch.randn(1, 1, 4, 32, 16).expand(1, 4, 4, 32, 16), torch.tensor([500])
    with torch.no_grad():
        with_prior, without = small_unet()(latent, t), small_unet(instrument_prior=False)(latent, t)
    assert (with_prior[:, 0] - with_prior[:, 1]).abs().max() > 1e-4
    torch.testing.assert_close(without, without[:, :1].expand_as(without), atol=1e-5, rtol=1e-4)


def test_one_hot_of_the_prior_is_reversed():
    prior = InstrumentPrior(3, 8, 16)
    assert torch.equal(prior.one_hot, torch.tensor([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]]))
    assert prior().shape == (3, 16)


def test_timestep_embedding_equals_closed_form():
    embedding = timestep_embedding(torch.tensor([7]), 8)[0].double()
    angles = 7 / 10_000 ** (torch.arange(4, dtype=torch.float64) / 4)
    torch.testing.assert_close(embedding, torch.cat([angles.cos(), angles.sin()]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("num_stems", [2, 4, 6])
def test_unet_of_any_number_of_stems_learns(num_stems):
    unet = small_unet(num_stems)
    latent, t = torch.randn(1, num_stems, 4, 16, 8), torch.tensor([100])
    optimizer = torch.optim.Adam([p for p in unet.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(8):
        loss = (unet(latent, t) - latent).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all(p.grad is not None for p in unet.parameters() if p.requires_grad)


def test_full_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        unet = UNet(UNetConfig(), len(STEMS), 8)
    assert sum(p.numel() for p in unet.parameters()) == 241_314_712
    assert sum(p.numel() for p in unet.parameters() if p.requires_grad) == 241_314_696


def test_initial_prediction_is_zero():
    unet = UNet(UNetConfig(**SMALL_UNET), 2, 4)
    with torch.no_grad():
        assert unet(torch.randn(1, 2, 4, 16, 8), torch.tensor([5])).abs().max() == 0
