"""Every module on the device against the CPU: float32 without TF32, and bfloat16 under autocast.

Tolerances are relative to the largest value of the CPU's result: 1e-4 in float32, of which a sum of a few thousand
products in another order takes a tenth; 5e-2 in bfloat16, whose mantissa has 8 bits.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from helpers.small_model import SMALL_AUDIO, SMALL_VAE, STEMS, awaken, small_config
from helpers.steered import ALL, steered_config
from synctrack.audio.mel import LogMel
from synctrack.diffusion.process import Diffusion, DiffusionConfig
from synctrack.models import attention
from synctrack.models.attention import GLOBAL, INTRA_STEM, SAME_BIN, SAME_FRAME, SelfAttention
from synctrack.models.layers import GroupNorm, circular_time
from synctrack.models.unet import UNet
from synctrack.models.vae import VAE
from synctrack.models.vocoder import GriffinLim, HiFiGAN, HiFiGANConfig
from synctrack.seeding import item_generator, normal_per_item, whole_per_item
from synctrack.training.first_stage.discriminators import PatchDiscriminator, WaveDiscriminator

pytestmark = pytest.mark.gpu

FLOAT32, BFLOAT16 = 1e-4, 5e-2
B, S = 2, len(STEMS)
MEL = (B, S, 64, 32)
WAVE = (B, S, SMALL_AUDIO.segment_samples)
LATENT = (B, S, 4, 32, 16)
PLAIN = HiFiGANConfig([8, 5, 4], [16, 16, 8], 32, [3], [1, 3])


class Encoder(nn.Module):
    """The moments of a VAE's posterior, as one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = VAE(SMALL_VAE)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        posterior = self.vae.encode(mel)
        return torch.cat([posterior.mean, posterior.logvar, posterior.std])


class Decoder(nn.Module):
    """The decoder of a VAE."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = VAE(SMALL_VAE)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return self.vae.decode(latent)


class Told(nn.Module):
    """A U-Net at set time steps, with what it is told."""

    def __init__(self, **unet: object) -> None:
        super().__init__()
        self.unet = UNet(small_config(**unet).unet, S, 4, ALL)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        condition = latent.new_ones(B, S, ALL.num_channels(4), *latent.shape[3:])
        return self.unet(latent, torch.tensor([5, 900], device=latent.device), condition)


class Circular(Told):
    """The same U-Net on a loop."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        with circular_time(self.unet):
            return super().forward(latent)


class Logits(nn.Module):
    """The logits of discriminators, one after the other."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([features[-1].flatten() for features in self.discriminator(x)])


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "log_mel": (lambda: LogMel(SMALL_AUDIO), WAVE),
    "vae_encoder": (Encoder, MEL),
    "vae_decoder": (Decoder, LATENT),
    "unet_frame": (Told, LATENT),
    "unet_bin": (lambda: Told(time_attention_scope="bin"), LATENT),
    "unet_recomputed": (lambda: Told(gradient_checkpointing=True), LATENT),
    "unet_without_attention": (lambda: Told(global_attention=False, time_attention=False), LATENT),
    "unet_circular": (Circular, LATENT),
    "hifigan": (lambda: HiFiGAN(PLAIN, SMALL_AUDIO), MEL),
    "istft_hifigan": (lambda: HiFiGAN(steered_config().vocoder.hifigan, SMALL_AUDIO), MEL),
    "patch_discriminator": (lambda: Logits(PatchDiscriminator(16)), MEL),
    "wave_discriminator": (lambda: Logits(WaveDiscriminator((2, 3), 2, 4)), WAVE),
    **{
        f"attention_{name}": (lambda pattern=pattern: SelfAttention(32, 2, pattern), (B, S, 8, 4, 32))
        for name, pattern in (("intra", INTRA_STEM), ("global", GLOBAL), ("frame", SAME_FRAME), ("bin", SAME_BIN))
    },
}


def pair(name: str, device: torch.device) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """A module on the CPU, the same on the device, and its input on the CPU."""
    make, shape = MODULES[name]
    torch.manual_seed(0)
    module = awaken(make())
    x = 0.5 * torch.randn(shape)
    return module, copy.deepcopy(module).to(device), x


def assert_near(ours: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Within `tolerance` of the largest expected value."""
    assert ours.shape == expected.shape
    assert (ours.detach().float().cpu() - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("name", MODULES)
def test_module_in_float32_gives_the_cpus_output_and_gradients(device, name):
    module, other, x = pair(name, device)
    own = x.to(device).requires_grad_()
    x.requires_grad_()
    expected, out = module(x), other(own)
    assert out.device.type == device.type
    assert_near(out, expected.detach(), FLOAT32)
    # A log-mel's gradient is one over its value, which rounding moves where it is small.
    expected.sin().sum().backward()
    out.sin().sum().backward()
    tolerance = 10 * FLOAT32
    assert_near(own.grad, x.grad, tolerance)
    # Where a group of a norm is one channel, the gradient of what is added before it is 0 but for rounding.
    largest = max(p.grad.abs().max() for p in module.parameters() if p.grad is not None)
    for theirs, ours in zip(module.parameters(), other.parameters(), strict=True):
        if theirs.grad is not None and theirs.grad.abs().max() > 1e-6 * largest:
            assert_near(ours.grad, theirs.grad, tolerance)


@pytest.mark.parametrize("name", [name for name in MODULES if "hifigan" not in name])
def test_module_in_bfloat16_is_near_the_cpus_float32(device, name):
    """Vocoders are left out: their waveforms' phases turn by more than bfloat16's rounding."""
    module, other, x = pair(name, device)
    with torch.no_grad():
        expected = module(x)
        with torch.autocast(device.type, torch.bfloat16):
            out = other(x.to(device))
    assert (out.float().cpu() - expected).square().mean().sqrt() <= BFLOAT16 * expected.square().mean().sqrt()


def test_griffin_lim_gives_the_cpus_waveform_on_the_device(device):
    mel = LogMel(SMALL_AUDIO)(0.1 * torch.randn(1, 2, SMALL_AUDIO.segment_samples))
    module = GriffinLim(SMALL_AUDIO, iterations=2)
    out = module(mel.to(device))
    assert out.device.type == device.type
    assert_near(out, module(mel), FLOAT32)


def test_group_norm_and_attention_keep_the_type_that_autocast_gave_them(device):
    torch.manual_seed(0)
    norm, layer = GroupNorm(32, 1e-5).to(device), SelfAttention(32, 2, GLOBAL).to(device)
    x = torch.randn(1, S, 32, 8, 4, device=device, dtype=torch.bfloat16)
    with torch.autocast(device.type, torch.bfloat16):
        assert norm(x).dtype == torch.bfloat16
        assert layer(x.permute(0, 1, 3, 4, 2)).dtype == torch.bfloat16
        # The statistics are of float32: those of bfloat16 would be wrong by a hundredth.
        assert norm(x).float().mean().abs() < 1e-3


def test_memory_formats_give_the_same_output(device):
    torch.manual_seed(0)
    unet = awaken(UNet(small_config().unet, S, 4)).to(device)
    contiguous = copy.deepcopy(unet).to(memory_format=torch.contiguous_format)
    assert unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
    assert contiguous.conv_in.weight.is_contiguous()
    latent, t = torch.randn(LATENT, device=device), torch.tensor([5, 900], device=device)
    with torch.no_grad():
        assert_near(contiguous(latent, t), unet(latent, t).float().cpu(), FLOAT32)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_attention_of_more_rows_than_a_grid_holds_is_that_of_its_parts(device, kind):
    """A grid's y and z axes hold 65,535 blocks; `bin` has 65,536 rows in 64 songs of the full size."""
    torch.manual_seed(0)
    rows = attention.MAX_ROWS + 3
    q, k, v = (torch.randn(rows, 1, 4, 8, device=device, dtype=kind, requires_grad=True) for _ in range(3))
    out = attention.attend(q, k, v)
    out.float().square().sum().backward()
    last = [x.detach()[-5:].requires_grad_() for x in (q, k, v)]
    expected = attention.attend(*last)
    expected.float().square().sum().backward()
    tolerance = FLOAT32 if kind is torch.float32 else BFLOAT16
    assert_near(out[-5:], expected.detach().float().cpu(), tolerance)
    assert_near(q.grad[-5:], last[0].grad.float().cpu(), tolerance)


@pytest.mark.parametrize("prediction", ["epsilon", "v"])
def test_diffusion_process_gives_the_cpus_values(device, prediction):
    process = Diffusion(DiffusionConfig(prediction=prediction, min_snr_gamma=5.0))
    other = copy.deepcopy(process).to(device)
    x, noise, t = torch.randn(LATENT), torch.randn(LATENT), torch.tensor([3, 700])
    moved = [tensor.to(device) for tensor in (x, t, noise)]
    assert_near(other.q_sample(*moved), process.q_sample(x, t, noise), FLOAT32)
    assert_near(other.target(*moved), process.target(x, t, noise), FLOAT32)
    loss = process.loss(x, noise, t)
    assert_near(other.loss(moved[0], moved[2], moved[1]), loss, FLOAT32)


def test_each_items_noise_on_the_device_comes_from_its_own_generator(device):
    seeds = (3, 5, 7)
    together = normal_per_item([item_generator(s, device=device) for s in seeds], (4, 5))
    assert together.device.type == device.type
    for row, seed in zip(together, seeds, strict=True):
        assert torch.equal(normal_per_item([item_generator(seed, device=device)], (4, 5))[0], row)
    steps = whole_per_item([item_generator(s, device=device) for s in range(200)], 10)
    assert set(steps.tolist()) == set(range(10))
