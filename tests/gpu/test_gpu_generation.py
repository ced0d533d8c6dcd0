"""Generation on the device against the CPU: the same clip for the same seed, in every way of steering."""

import copy

import numpy as np
import pytest
import torch

from helpers.small_model import STEMS
from helpers.steered import QUICK, noise_song, steered_model, steered_network
from synctrack.audio.beat_files import regular_beats
from synctrack.checkpoint.loading import CheckpointInfo
from synctrack.diffusion.samplers import SAMPLERS, Sampling
from synctrack.pipeline import SyncTrack
from synctrack.seeding import GENERATION, item_generator

pytestmark = pytest.mark.gpu

TOLERANCE = 1e-3
"""Of a latent, relative to the largest: rounding in float32, carried through the steps of a sampler."""
AUDIBLE = 1e-2
"""Of a waveform, as the norm of the difference relative to the norm: -40 dB."""


def generators(*clips: int) -> list[torch.Generator]:
    return [item_generator(0, GENERATION, clip) for clip in clips]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_clip_of_a_seed_is_the_cpus_to_rounding(device, sampler):
    network = steered_network()
    other = copy.deepcopy(network).to(device)
    sampling = Sampling(sampler, 4)
    expected = network.generate(generators(0, 1), sampling)
    clips = other.generate(generators(0, 1), sampling)
    assert clips.device.type == device.type
    assert (clips.cpu() - expected).abs().max() <= TOLERANCE * expected.abs().max()
    waveform, reference = other.decode(clips).cpu(), network.decode(expected)
    assert (waveform - reference).norm() <= AUDIBLE * reference.norm()


def test_clip_does_not_depend_on_the_clips_beside_it(device):
    network = steered_network().to(device)
    together = network.generate(generators(0, 1, 2), Sampling(steps=2))
    alone = network.generate(generators(1), Sampling(steps=2))
    assert (together[1] - alone[0]).abs().max() <= TOLERANCE * alone.abs().max()


@pytest.fixture(scope="module")
def song():
    return noise_song(2.56, beats=regular_beats(180, 3, 2.56))


MODES = {
    "nothing": lambda song: {},
    "tempo": lambda song: {"bpm": 120, "bars": 1, "meter": 3},
    "given": lambda song: {"given": {"drums": song["drums"]}},
    "another take": lambda song: {"original": song, "redo": ["piano"], "bars": "1-1"},
    "extension": lambda song: {"original": song, "extend": 0.64},
    "variation": lambda song: {"original": song, "strength": 0.6},
    "loop": lambda song: {"bpm": 188, "bars": 1, "loop": True},
    "guidance": lambda song: {"bpm": 120, "seconds": 1.28, "guidance": 2.0},
    "resampling": lambda song: {"given": {"drums": song["drums"]}, "resampling": 1},
    "mix by masks": lambda song: {"mix": song.mix, "method": "masks"},
    "mix, generated": lambda song: {"mix": song.mix, "method": "generated"},
}


@pytest.mark.parametrize("mode", MODES)
def test_steered_song_is_the_cpus(device, song, mode):
    reference = steered_model()
    model = SyncTrack(copy.deepcopy(reference.model), CheckpointInfo("small", "SyncTrack", "0" * 64, None), device)
    settings = MODES[mode](song)
    (ours,), (expected,) = (list(own.stream([(0, 0)], **QUICK, **settings)) for own in (model, reference))
    for stem in STEMS:
        difference = np.linalg.norm(ours[stem] - expected[stem])
        assert difference <= AUDIBLE * max(np.linalg.norm(expected[stem]), 1e-3), stem


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_song_in_half_precision_is_near_the_one_in_float32(device, precision):
    if device.type == "cpu" and precision == "float16":
        pytest.skip("float16 needs a GPU")
    network = steered_network().to(device)
    info = CheckpointInfo("small", "SyncTrack", "0" * 64, None)
    latents = []
    for kind in ("float32", precision):
        model = SyncTrack(network, info, device, kind)
        with model._autocast():
            latents.append(model.model.generate(generators(0), Sampling(steps=2)).float())
    assert latents[1].isfinite().all()
    assert (latents[1] - latents[0]).norm() <= 0.1 * latents[0].norm()
