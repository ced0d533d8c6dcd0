"""Which tokens each attention reaches, and which parameters each switch removes."""

import dataclasses

import pytest
import torch

from helpers.small_model import STEMS, awaken, small_config
from synctrack.models import attention
from synctrack.models.attention import (
    GLOBAL,
    INTRA_STEM,
    SAME_BIN,
    SAME_FRAME,
    TIME_ATTENTION_SCOPES,
    SelfAttention,
    TimeAttention,
)
from synctrack.models.unet import UNet, UNetConfig

B, S, T, F, C = 2, 3, 4, 5, 32
SOURCE = (1, 2, 3, 1)
"""Song, stem, time and frequency of the token that is changed."""


def reached(module: torch.nn.Module) -> torch.Tensor:
    """Which tokens (b, s, t, f) of the output change when the token SOURCE of the input does."""
    torch.manual_seed(0)
    tokens = torch.randn(B, S, T, F, C)
    changed = tokens.clone()
    changed[SOURCE] += torch.randn(C)
    with torch.no_grad():
        return ((module(changed) - module(tokens)).abs() > 1e-7).any(dim=-1)


def expected(**same: bool) -> torch.Tensor:
    """Tokens that share with SOURCE the coordinates named."""
    grid = torch.meshgrid(*map(torch.arange, (B, S, T, F)), indexing="ij")
    mask = torch.ones(B, S, T, F, dtype=torch.bool)
    for axis, name in enumerate("bstf"):
        if same.get(name):
            mask &= grid[axis] == SOURCE[axis]
    return mask


@pytest.mark.parametrize(
    ("pattern", "same"),
    [
        (INTRA_STEM, {"b": True, "s": True}),
        (GLOBAL, {"b": True}),
        (SAME_FRAME, {"b": True, "t": True}),
        (SAME_BIN, {"b": True, "t": True, "f": True}),
    ],
)
def test_attention_reaches_exactly_what_its_pattern_says(pattern, same):
    assert torch.equal(reached(SelfAttention(C, 4, pattern)), expected(**same))


def test_time_attention_of_scope_frame_never_mixes_time_steps():
    assert torch.equal(reached(TimeAttention(C, 4, "frame")), expected(b=True, t=True))


def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    layer, tokens = SelfAttention(C, 4, GLOBAL), torch.randn(1, S, T, F, C)
    q, k, v = layer.qkv(tokens.reshape(-1, C)).chunk(3, dim=-1)
    heads = []
    for i in range(4):
        part = slice(8 * i, 8 * i + 8)
        heads.append(torch.softmax(q[:, part] @ k[:, part].T / 8**0.5, dim=-1) @ v[:, part])
    by_hand = layer.out(torch.cat(heads, dim=-1)).reshape(tokens.shape)
    torch.testing.assert_close(layer(tokens), by_hand, atol=1e-6, rtol=1e-5)


def test_time_attention_doubles_the_residual():
    layer, tokens = TimeAttention(C, 4, "frame"), torch.randn(B, S, T, F, C)
    for parameter in (*layer.attention.out.parameters(), *layer.feed_forward[2].parameters()):
        torch.nn.init.zeros_(parameter)
    torch.testing.assert_close(layer(tokens), 2 * tokens)


def parameter_names(**switches: object) -> set[str]:
    return {name for name, _ in UNet(small_config(**switches).unet, len(STEMS), 4).named_parameters()}


@pytest.mark.parametrize(
    ("switch", "parts"),
    [
        ("global_attention", (".global_.", ".norm_global.")),
        ("time_attention", (".time.",)),
        ("instrument_prior", (".prior.",)),
    ],
)
def test_switch_removes_exactly_its_parameters(switch, parts):
    full, ablated = parameter_names(), parameter_names(**{switch: False})
    assert ablated < full
    assert full - ablated == {name for name in full if any(part in f".{name}" for part in parts)}


def test_scopes_have_the_same_weights_and_different_outputs():
    torch.manual_seed(0)
    frame = awaken(UNet(small_config().unet, len(STEMS), 4))
    other = UNet(small_config(time_attention_scope="bin").unet, len(STEMS), 4)
    other.load_state_dict(frame.state_dict())
    latent, t = torch.randn(1, 4, 4, 32, 16), torch.tensor([500])
    with torch.no_grad():
        assert (frame(latent, t) - other(latent, t)).abs().max() > 1e-3


def test_unknown_scope_is_refused():
    with pytest.raises(ValueError, match=r"unet\.time_attention_scope: 'both' must be one of frame, bin"):
        UNetConfig(time_attention_scope="both")


def test_gradient_checkpointing_changes_no_bit_of_any_gradient_and_keeps_less():
    gradients, kept = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        unet = awaken(UNet(small_config(gradient_checkpointing=checkpointing).unet, len(STEMS), 4))
        latent, saved = torch.randn(1, len(STEMS), 4, 32, 16), []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, saved=saved: saved.append(x) or x, lambda x: x):
            out = unet(latent, torch.tensor([500]))
        out.square().sum().backward()
        gradients.append([p.grad for p in unet.parameters() if p.requires_grad])
        kept.append(sum(x.numel() for x in saved))
    assert all(torch.equal(plain, recomputed) for plain, recomputed in zip(*gradients, strict=True))
    assert kept[1] < kept[0] / 4


@pytest.mark.parametrize("pattern", [SAME_FRAME, SAME_BIN])
def test_attention_of_more_rows_than_a_grid_holds_is_the_same_as_of_all_at_once(monkeypatch, pattern):
    torch.manual_seed(0)
    layer, tokens = SelfAttention(C, 4, pattern), torch.randn(B, S, T, F, C)

    def outcome() -> list[torch.Tensor]:
        layer.zero_grad()
        own = tokens.clone().requires_grad_()
        out = layer(own)
        out.square().sum().backward()
        return [out, own.grad, layer.qkv.weight.grad]

    whole = outcome()
    sizes = []
    attend = attention.F.scaled_dot_product_attention
    monkeypatch.setattr(attention, "MAX_ROWS", 3)
    monkeypatch.setattr(
        attention.F, "scaled_dot_product_attention", lambda q, k, v: sizes.append(len(q)) or attend(q, k, v)
    )
    for in_parts, at_once in zip(outcome(), whole, strict=True):
        torch.testing.assert_close(in_parts, at_once)
    assert max(sizes) == 3
    assert len(sizes) > 1


@pytest.mark.medium
def test_bin_attention_of_more_songs_than_a_grid_holds_runs():
    """`bin` has a row for each position: 65,535 is CUDA's limit, and 64 full-size songs have 65,536."""
    layer = SelfAttention(C, 1, SAME_BIN)
    with torch.no_grad():
        out = layer(torch.randn(1, 2, 16_385, 4, C))
    assert out.shape == (1, 2, 16_385, 4, C)
    assert out.isfinite().all()


def test_new_attention_pattern_needs_one_line(monkeypatch):
    # Each position attends to the same frequency of all stems at all times.
    monkeypatch.setitem(TIME_ATTENTION_SCOPES, "band", "(b f) (s t)")
    config = UNetConfig(32, [1, 2], 1, [2], 32, time_attention_scope="band")
    unet = awaken(UNet(config, 3, 4))
    latent = torch.randn(1, 3, 4, 8, 8)
    out = unet(latent, torch.tensor([5]))
    assert out.shape == latent.shape
    frame = UNet(dataclasses.replace(config, time_attention_scope="frame"), 3, 4)
    frame.load_state_dict(unet.state_dict())
    assert not torch.allclose(out, frame(latent, torch.tensor([5])), atol=1e-5)
