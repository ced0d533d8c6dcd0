"""The 44.1 kHz configuration: it builds at full size, and VAE, vocoder and U-Net train one after the other."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from helpers.commands import ROOT, run_here
from helpers.first_stage_runs import last, values
from helpers.small_model import STEMS
from synctrack.audio.mel import LogMel
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.matching import shapes_of
from synctrack.config import load_config
from synctrack.data.sources.grooves import write_grooves

pytestmark = pytest.mark.medium

CONFIG = ROOT / "config"
OVERLAY = CONFIG / "audio_44k.yaml"
FRAMES = 32
SMALL = [
    f"model.params.audio.frames={FRAMES}",
    "model.params.vae={channels: 32, channel_mult: [1, 1, 1], num_res_blocks: 1, latent_channels: 4}",
    "model.params.unet={model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [2]}",
    "model.params.vocoder.hifigan.upsample_initial_channel=32",
    "first_stage={learning_rate: 2e-3, crop_frames: null, discriminator_start: 2}",
    "first_stage={patch_channels: 16, wave_channels: 4}",
    "trainer={accelerator: cpu, devices: 1, max_epochs: -1, validation_every_n_steps: 3, log_every_n_steps: 1}",
    "data.params.num_workers=0",
    "data.params.batch_size=1",
    "validation={clips: 1, steps: 2}",
]


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> Path:
    """A folder of two songs of a few segments at 44.1 kHz."""
    folder = tmp_path_factory.mktemp("grooves") / "songs"
    write_grooves(folder, songs=2, seconds=1.0, sample_rate=44_100, seed=0)
    return folder


@pytest.mark.parametrize("file", ["vae_train.yaml", "vocoder_train.yaml", "synctrack_train.yaml"])
def test_full_size_builds_after_each_main_file(file):
    config = load_config([CONFIG / file, OVERLAY])
    params = config.model.params
    assert (params.audio.sample_rate, params.audio.segment_seconds) == (44_100, 10.24)
    # No weights of the main files are for 44.1 kHz.
    assert [params.ckpt_path, params.vae_ckpt_path, params.vocoder_ckpt_path] == [None, None, None]
    if file == "vae_train.yaml":
        assert params.vocoder.kind == "griffin_lim"
        assert config.first_stage.crop_frames % params.vae.downsampling == 0
    assert params.latent_shape == (8, 256, 32)
    unet, _, vocoder = shapes_of(params, len(STEMS))
    # No odd samples: each kernel is its rate and an even number.
    assert vocoder(torch.empty(1, len(STEMS), 1024, 128, device="meta")).shape == (1, len(STEMS), 1024 * 441)
    assert sum(p.numel() for p in unet.parameters()) == 241_314_712


def test_mels_reach_up_to_half_the_sample_rate():
    """A tone sounds loudest in the bin whose centre is next to it; no bin is empty."""
    audio = load_config([OVERLAY]).model.params.audio
    mel = LogMel(audio)
    assert (mel.bands.sum(dim=1) > 0).all()
    centres = librosa.mel_frequencies(audio.n_mels + 2, fmin=audio.f_min, fmax=audio.f_max)[1:-1]
    for tone in (440.0, 9_000.0, 19_000.0):
        wave = 0.5 * torch.sin(2 * np.pi * tone * torch.arange(audio.sample_rate) / audio.sample_rate)
        assert mel(wave)[40:60].mean(dim=0).argmax().item() == np.abs(centres - tone).argmin()


@pytest.mark.slow
def test_vae_vocoder_and_unet_train_and_generate_audio(songs, tmp_path):
    data = [f"data.params.path.{part}_data={songs}" for part in ("train", "valid")]
    weights = {kind: f"model.params.{kind}_ckpt_path={kind}.safetensors" for kind in ("vae", "vocoder")}

    def run(script: str, main: str, *keys: str) -> None:
        run_here(tmp_path, script, "--config", CONFIG / main, OVERLAY, *SMALL, *data, *keys)

    # The vocoder learns from the VAE's mels.
    for kind, keys in (("vae", []), ("vocoder", [weights["vae"], "first_stage={schedule: constant, scales: 2}"])):
        run(
            "train_first_stage.py",
            f"{kind}_train.yaml",
            f"run_dir={kind}",
            "trainer.max_steps=6",
            "validation.clips=0",
            *keys,
        )
        distances = values(tmp_path / kind, "val/mel_l1")
        assert len(distances) == 2
        assert distances[1] < distances[0]
        convert(tmp_path / kind / "checkpoints" / "last.ckpt", tmp_path / f"{kind}.safetensors", half=True)
        assert "train/discriminator" in (tmp_path / kind / "csv" / "version_0" / "metrics.csv").read_text()
    run("train_synctrack.py", "synctrack_train.yaml", "run_dir=synctrack", "trainer.max_steps=3", *weights.values())
    assert last(tmp_path / "synctrack")["global_step"] == 3
    generated = [
        "model.params.ckpt_path=synctrack/checkpoints/last.ckpt",
        "evaluation={steps: 2, clips: 1, score: false}",
    ]
    run("eval_synctrack.py", "synctrack_eval.yaml", "evaluation.out=out", *generated)
    samples = FRAMES * 441
    for file in [*tmp_path.glob("synctrack/samples/*/stem_*/*.wav"), *tmp_path.glob("out/stem_*/*.wav")]:
        wave, rate = soundfile.read(file)
        assert (rate, wave.shape) == (44_100, (samples,))
        assert np.isfinite(wave).all()
    assert len(list(tmp_path.glob("out/stem_*/*.wav"))) == len(STEMS)
