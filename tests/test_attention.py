"""Which tokens each attention reaches, and which parameters each switch removes."""

import dataclasses

import pytest
import torch

from helpers.small_model import STEMS, awaken, small_config
from synctrack.models.attention import (
    GLOBAL,
    INTRA_STEM,
    SAME_BIN,
    SAME_FRAME,
    TIME_ATTENTION_SCOPES,
    SelfAttention,
    StemTransformer,
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
    attention, tokens = SelfAttention(C, 4, GLOBAL), torch.randn(1, S, T, F, C)
    q, k, v = attention.qkv(tokens.reshape(-1, C)).chunk(3, dim=-1)
    heads = []
    for i in range(4):
        part = slice(8 * i, 8 * i + 8)
        heads.append(torch.softmax(q[:, part] @ k[:, part].T / 8**0.5, dim=-1) @ v[:, part])
    by_hand = attention.out(torch.cat(heads, dim=-1)).reshape(tokens.shape)
    torch.testing.assert_close(attention(tokens), by_hand, atol=1e-6, rtol=1e-5)


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


def test_gradient_checkpointing_changes_no_gradient():
    switches = {"global_attention": True, "time_attention": True, "time_attention_scope": "frame"}
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        layer = awaken(StemTransformer(C, 2, checkpointing, **switches))
        layer(torch.randn(B, S, C, T, F)).square().sum().backward()
        gradients.append([p.grad for p in layer.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


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
