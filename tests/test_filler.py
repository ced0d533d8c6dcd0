"""The filler against the published check values of the golden files."""

import numpy as np
import pytest

from helpers.filler import chirp_wave, fill, noise

UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("values", "first", "total", "squares"),
    [
        (
            fill("input_blocks.0.0.weight", (32, 8, 3, 3), UNET),
            -0.0041049933061,
            -2.66185880122,
            31.74067852,
        ),
        (fill("out.0.weight", (32,), UNET), 1.00058913230896, 31.777903616428, 31.760647032547),
        (fill("out.0.bias", (32,), UNET), -0.01294820103794, -0.131620036904, 0.444442873308),
        (fill("conv_pre.weight_g", (1024, 1, 1), "hifigan."), 0.5110571980476, 596.554390728, 351.327619171),
        (noise("unet.x.b1", (1, 4, 8, 256, 16)), 1.2170549631119, 351.173159341, 130414.818545760),
    ],
)
def test_filler_gives_published_values(values, first, total, squares):
    assert values.dtype == np.float32
    flat = values.ravel().astype(np.float64)
    np.testing.assert_allclose([flat[0], flat.sum(), (flat**2).sum()], [first, total, squares], rtol=1e-9)


def test_switcher_reverses_the_stems():
    assert fill("switcher", (4, 4)).tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]]


def test_names_that_are_not_weights_are_refused():
    with pytest.raises(KeyError, match="betas"):
        fill("betas", (1000,))


def test_noise_takes_mean_and_deviation():
    plain = noise("label", (1000,)).astype(np.float64)
    np.testing.assert_allclose(noise("label", (1000,), mean=-5.0, std=2.0), -5.0 + 2.0 * plain, atol=1e-6)


def test_chirp_sweeps_upwards():
    wave = chirp_wave()
    assert wave.shape == (163840,)
    spectrum = np.abs(np.fft.rfft(wave.reshape(10, -1), axis=1)).argmax(1) * 16000 / 16384
    np.testing.assert_allclose(spectrum, 50 + 695 * (np.arange(10) + 0.5), atol=400)
