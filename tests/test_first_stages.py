"""The training of VAE and vocoder as a user runs it: losses, discriminators, resuming, precision, samples, export."""

import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch

from helpers.commands import ROOT
from helpers.first_stage_runs import last, logged, small_config, train, values
from helpers.small_model import PRECISIONS, SMALL_AUDIO, SMALL_VAE, STEMS
from synctrack.audio.mel import LogMel
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.loading import fill_vocoder, load_vae
from synctrack.config import load_config
from synctrack.models.vae import VAE, VAEConfig
from synctrack.models.vocoder import HiFiGAN, HiFiGANConfig
from synctrack.training.first_stage.checks import uses_discriminator
from synctrack.training.first_stage.vocoder_module import VocoderModule

pytestmark = pytest.mark.medium

STEPS, START = 8, 2
QUICK = ("trainer.validation_every_n_steps=2", "validation.clips=0")
KINDS = ("vae", "vocoder")


@pytest.fixture(scope="module")
def runs(grooves, tmp_path_factory) -> Path:
    """A folder with the run folders `vae` and `vocoder`: eight steps, discriminators active from the third on."""
    folder = tmp_path_factory.mktemp("first_stages")
    for kind in KINDS:
        train(folder, kind, grooves, f"run_dir={kind}", f"trainer.max_steps={STEPS}")
    return folder


def vocoder_of(path: Path, *keys: str) -> HiFiGAN:
    """A vocoder as generation loads it."""
    params = small_config("vocoder", *keys).model.params
    vocoder = HiFiGAN(params.vocoder.hifigan, params.audio)
    fill_vocoder(vocoder, path, params.audio)
    return vocoder.requires_grad_(False)


def songs(folder: Path, start: int = 0) -> torch.Tensor:
    """The first song in `folder` from a segment's start on: (1, s, n)."""
    samples = SMALL_AUDIO.segment_samples
    waves = [soundfile.read(folder / "Groove00000" / f"{stem}.wav", dtype="float32")[0] for stem in STEMS]
    return torch.from_numpy(np.stack(waves))[None, :, start : start + samples]


@pytest.mark.parametrize("kind", KINDS)
def test_first_stage_with_discriminators_learns(runs, kind):
    run = logged(runs / kind)
    assert all(math.isfinite(value) for value in run.values())
    assert values(runs / kind, "val/mel_l1")[-1] < 0.95 * values(runs / kind, "val/mel_l1")[0]
    active = [step for name, step in sorted(run) if name == "train/discriminator"]
    assert active == list(range(START, STEPS))
    # With logits of 0 the hinge loss is 1, and the least-squares loss of four discriminators is 4.
    assert values(runs / kind, "train/discriminator")[-1] < {"vae": 1.0, "vocoder": 4.0}[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_loss_is_the_sum_of_what_is_logged(runs, kind):
    run, settings = logged(runs / kind), small_config(kind).first_stage
    for step in (0, STEPS - 1):
        part = {name.removeprefix("train/"): value for (name, at), value in run.items() if at == step}
        if kind == "vae":
            expected = part["mel_l1"] + settings.kl_weight * part["kl"]
            weight = settings.discriminator_weight * part.get("adaptive_weight", 0.0)
        else:
            expected = settings.mel_weight * part["mel_l1"] + settings.feature_weight * part.get("features", 0.0)
            weight = 1.0
        expected += weight * part.get("adversarial", 0.0) + part.get("discriminator", 0.0)
        assert part["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_discriminators_are_not_updated_while_inactive(runs, kind):
    (optimizer,) = last(runs / kind)["optimizer_states"]
    first_stage, discriminators = (
        {int(optimizer["state"][i]["step"]) for i in g["params"]} for g in optimizer["param_groups"]
    )
    assert first_stage == {STEPS}
    assert discriminators == {STEPS - START}


@pytest.mark.parametrize(("kind", "stop"), [pytest.param("vae", 5, marks=pytest.mark.slow), ("vocoder", 6)])
def test_stopped_and_resumed_equals_never_stopped(runs, grooves, tmp_path, kind, stop):
    """Stops in the middle of an epoch, and at its end; the discriminators resume as well."""
    train(tmp_path, kind, grooves, "run_dir=broken", f"trainer.max_steps={stop}")
    train(tmp_path, kind, grooves, "run_dir=broken", f"trainer.max_steps={STEPS}", "trainer.resume=last")
    assert logged(tmp_path / "broken") == logged(runs / kind)
    unbroken, broken = last(runs / kind), last(tmp_path / "broken")
    assert any(name.startswith("discriminator.") for name in unbroken["state_dict"])
    assert unbroken["state_dict"].keys() == broken["state_dict"].keys()
    assert all(torch.equal(tensor, broken["state_dict"][name]) for name, tensor in unbroken["state_dict"].items())
    states = [file["optimizer_states"][0]["state"] for file in (unbroken, broken)]
    assert all(torch.equal(t, states[1][i][name]) for i, state in states[0].items() for name, t in state.items())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_precision_clipping_and_accumulation_give_numbers(grooves, tmp_path, kind, precision):
    train(
        tmp_path,
        kind,
        grooves,
        "run_dir=mixed",
        "trainer.max_steps=4",
        f"trainer.precision={precision}",
        "trainer.gradient_clip_val=1.0",
        "trainer.accumulate_grad_batches=2",
        "validation.clips=0",
        "first_stage={schedule: cosine, discriminator_start: 1}",
        "data.params.batch_size=1",
    )
    run, file = logged(tmp_path / "mixed"), last(tmp_path / "mixed")
    assert ("train/discriminator", 1) in run
    assert all(math.isfinite(value) for value in run.values())
    assert file["global_step"] == 4
    assert {tensor.dtype for tensor in file["state_dict"].values()} == {torch.float32}
    assert all(tensor.isfinite().all() for tensor in file["state_dict"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_validation_writes_original_and_reconstruction(runs, grooves, kind):
    folder = runs / kind / "samples" / f"step_{STEPS:07d}"
    name, expected = "Groove00000_from_0000.00", songs(grooves / "valid")[0].numpy()
    for i, wave in enumerate(expected):
        original, rate = soundfile.read(folder / "original" / f"stem_{i}" / f"{name}.wav", dtype="float32")
        made, made_rate = soundfile.read(folder / "reconstructed" / f"stem_{i}" / f"{name}.wav", dtype="float32")
        assert rate == made_rate == SMALL_AUDIO.sample_rate
        np.testing.assert_allclose(original, wave, atol=1 / 2**15)
        assert made.shape == original.shape
        assert np.abs(made - original).max() > 0.01
    for version in ("original", "reconstructed"):
        assert [path.name for path in (folder / version).glob("*.png")] == [f"{name}.png"]


def test_logged_mel_distance_is_that_of_the_loaded_vocoder(runs, grooves):
    """Over all segments, from the checkpoint alone; the reconstruction on the disk is of the same vocoder."""
    vocoder, mel = vocoder_of(runs / "vocoder" / "checkpoints" / "last.ckpt"), LogMel(SMALL_AUDIO)
    samples = SMALL_AUDIO.segment_samples
    segments = [songs(grooves / "valid", i * samples) for i in range(4)]
    made = [vocoder(mel(wave))[..., :samples] for wave in segments]
    assert vocoder(mel(segments[0])).shape[-1] > samples
    distances = [(mel(m) - mel(wave)).abs().mean().item() for m, wave in zip(made, segments, strict=True)]
    assert np.mean(distances) == pytest.approx(values(runs / "vocoder", "val/mel_l1")[-1], rel=1e-4)
    written = runs / "vocoder" / "samples" / f"step_{STEPS:07d}" / "reconstructed" / "stem_1"
    wave, _ = soundfile.read(written / "Groove00000_from_0000.00.wav", dtype="float32")
    np.testing.assert_allclose(wave, made[0][0, 1], atol=1e-4)


@pytest.mark.parametrize("half", [False, True])
def test_exported_vocoder_is_folded_and_gives_the_same_output(runs, grooves, tmp_path, half):
    trained, out = runs / "vocoder" / "checkpoints" / "last.ckpt", tmp_path / "vocoder.safetensors"
    convert(trained, out, half=half)
    module = VocoderModule(small_config("vocoder"))
    file = last(runs / "vocoder")
    split = [name for name in file["state_dict"] if name.startswith("vocoder.") and name.endswith("weight_g")]
    module.on_load_checkpoint(file)
    module.load_state_dict(file["state_dict"])
    mel = module.mel(songs(grooves / "valid"))
    with torch.no_grad():
        expected = module.vocoder(mel)
    made = vocoder_of(out)(mel)
    torch.testing.assert_close(made, expected, atol=2e-3 if half else 1e-6, rtol=0)
    assert (made - vocoder_of(trained)(mel)).abs().max() <= (2e-3 if half else 0)
    # One weight and one bias of each layer, and nothing of the discriminators.
    assert len(split) == len(list(vocoder_of(out).parameters())) / 2
    size = sum(parameter.numel() for parameter in vocoder_of(out).parameters())
    assert out.stat().st_size == pytest.approx((2 if half else 4) * size, abs=12_000)


@pytest.mark.parametrize("half", [False, True])
def test_exported_vae_is_the_trained_one(runs, tmp_path, half):
    convert(runs / "vae" / "checkpoints" / "last.ckpt", tmp_path / "vae.safetensors", half=half)
    vae = VAE(SMALL_VAE)
    load_vae(vae, tmp_path / "vae.safetensors", SMALL_AUDIO)
    for name, tensor in last(runs / "vae")["state_dict"].items():
        if name.startswith("vae."):
            expected = tensor.half().float() if half else tensor
            assert torch.equal(vae.state_dict()[name.removeprefix("vae.")], expected)


def test_fine_tuning_uses_the_mels_of_the_vae(runs, grooves, tmp_path):
    vae_path, vocoder_path = (runs / kind / "checkpoints" / "last.ckpt" for kind in KINDS)
    start, tune = f"model.params.vocoder_ckpt_path={vocoder_path}", f"model.params.vae_ckpt_path={vae_path}"
    still = ["trainer.max_steps=1", "first_stage.learning_rate=0", start]
    train(tmp_path, "vocoder", grooves, "run_dir=plain", *still)
    train(tmp_path, "vocoder", grooves, "run_dir=tuned", *still, tune)
    plain, tuned = (logged(tmp_path / name)["train/mel_l1", 0] for name in ("plain", "tuned"))
    assert abs(tuned - plain) > 0.005
    saved = last(tmp_path / "tuned")["state_dict"]
    assert all(name.startswith("vocoder.") for name in saved)
    mel = LogMel(SMALL_AUDIO)(songs(grooves / "valid"))
    vae, vocoder = VAE(SMALL_VAE), vocoder_of(tmp_path / "tuned" / "checkpoints" / "last.ckpt")
    load_vae(vae, vae_path)
    module = VocoderModule(small_config("vocoder", start, tune))
    with torch.no_grad():
        reconstructed = vae.decode(vae.encode(mel).mean)
        expected = vocoder(reconstructed)
        torch.testing.assert_close(expected, vocoder_of(vocoder_path)(reconstructed), atol=1e-6, rtol=0)
        made = module.reconstruct(songs(grooves / "valid"), [])
        torch.testing.assert_close(made, expected[..., : SMALL_AUDIO.segment_samples], atol=1e-5, rtol=0)
    assert {name.partition(".")[0] for name, _ in module.named_parameters()} == {"vocoder", "discriminator"}


def test_vae_training_starts_from_weights(runs, grooves, tmp_path):
    weights = f"model.params.vae_ckpt_path={runs / 'vae' / 'checkpoints' / 'last.ckpt'}"
    train(tmp_path, "vae", grooves, "run_dir=further", "trainer.max_steps=4", "first_stage.learning_rate=0", weights)
    before, after = values(runs / "vae", "val/mel_l1")[-1], values(tmp_path / "further", "val/mel_l1")[-1]
    assert after == pytest.approx(before, rel=1e-5)


def test_vocoder_with_inverse_fourier_transform_trains_and_is_exported(runs, grooves, tmp_path):
    ends = "model.params.vocoder.hifigan={upsample_rates: [8, 5], upsample_kernel_sizes: [16, 16], istft_hop: 4}"
    train(tmp_path, "vocoder", grooves, "run_dir=short", *QUICK, "trainer.max_steps=4", ends)
    distances = values(tmp_path / "short", "val/mel_l1")
    assert distances[1] < distances[0]
    convert(tmp_path / "short" / "checkpoints" / "last.ckpt", tmp_path / "short.safetensors")
    vocoder, mel = vocoder_of(tmp_path / "short.safetensors", ends), LogMel(SMALL_AUDIO)(songs(grooves / "valid"))
    spectra = []
    vocoder.to_wave.register_forward_pre_hook(lambda _, inputs: spectra.append(inputs[0]))
    made = vocoder(mel)[0]
    (log_magnitude, phase) = spectra[0].double().numpy().reshape(len(STEMS), 2, 9, -1).swapaxes(0, 1)
    frames = np.minimum(np.exp(log_magnitude), 16) * np.exp(1j * phase)
    expected = librosa.istft(np.pad(frames, ((0, 0), (0, 0), (0, 1)), mode="edge"), hop_length=4, n_fft=16)
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_runs_create_discriminators_only_if_they_become_active():
    for start, steps, active in [("null", 10, False), (10, 10, False), (10, 11, True), (0, 1, True), (10, -1, True)]:
        keys = [f"first_stage.discriminator_start={start}", f"trainer.max_steps={steps}"]
        assert uses_discriminator(small_config("vae", *keys)) is active


def test_shipped_files_are_the_published_first_stages():
    vae, vocoder = (load_config([ROOT / "config" / f"{kind}_train.yaml"]) for kind in KINDS)
    assert (vae.first_stage.kind, vocoder.first_stage.kind) == KINDS
    assert vae.model.params.vae == VAEConfig()
    assert (vae.first_stage.discriminator_start, vae.first_stage.discriminator_weight) == (50_001, 0.5)
    assert vae.first_stage.kl_weight == 1e-6
    assert uses_discriminator(vae)
    assert vocoder.model.params.vocoder.hifigan == HiFiGANConfig()
    settings = vocoder.first_stage
    assert (settings.learning_rate, settings.betas) == (2e-4, [0.8, 0.99])
    assert (settings.mel_weight, settings.feature_weight) == (45, 2)
    assert (settings.periods, settings.scales, settings.wave_channels) == ([2, 3, 5, 7, 11], 3, 32)
    assert settings.discriminator_start == 0
