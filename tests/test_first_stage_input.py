"""What `train_first_stage.py` refuses, each in one line and with exit status 2."""

import pytest
import torch

from helpers.commands import run_in
from helpers.first_stage_runs import SMALL_VOCODER, arguments, logged, train
from synctrack import locks

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def adversarial_run(grooves, tmp_path_factory):
    """The run folder of one training step of a VAE with an active discriminator."""
    folder = tmp_path_factory.mktemp("adversarial")
    train(folder, "vae", grooves, "run_dir=vae", "trainer.max_steps=1", "first_stage.discriminator_start=0")
    return folder / "vae"


@pytest.mark.parametrize(
    ("kind", "keys", "message"),
    [
        ("vocoder", ["model.params.vocoder.kind=griffin_lim"], "vocoder.kind: griffin_lim has no weights to train"),
        ("vae", ["first_stage.kind=gan"], "first_stage.kind: 'gan' must be one of vae, vocoder"),
        ("vae", ["mode=validate"], "mode: a first stage has no validate"),
        ("vae", ["first_stage.crop_frames=128"], "first_stage.crop_frames: 128 is more than a segment's 64 frames"),
        ("vae", ["first_stage.crop_frames=33"], "first_stage.crop_frames: 33 is not a multiple of 2"),
        ("vae", ["first_stage.crop_frames=0"], "first_stage.crop_frames: 0 is not between 1 and"),
        ("vocoder", ["first_stage.crop_frames=1"], "first_stage.crop_frames: 1 frames are too few"),
        (
            "vocoder",
            ["model.params.vae_ckpt_path=gone.ckpt", "first_stage.crop_frames=33"],
            "first_stage.crop_frames: 33 is not a multiple of 2",
        ),
        ("vae", ["first_stage.crop_frames=16"], "first_stage.discriminator_start: needs 24 frames"),
        ("vae", ["first_stage.patch_channels=24"], "first_stage.patch_channels: 24 is not a positive multiple of 16"),
        ("vocoder", ["first_stage.wave_channels=6"], "first_stage.wave_channels: 6 is not a positive multiple of 4"),
        ("vocoder", ["first_stage.periods=[2, 0]"], "first_stage.periods: 0 is not between 1 and"),
        ("vocoder", ["first_stage.periods=[2, 161]"], "first_stage.periods: [2, 161] are not all between 1 and 160"),
        ("vae", ["first_stage.betas=[0.9]"], "first_stage.betas: [0.9] are not two numbers"),
        ("vae", ["first_stage.betas=[0.9, 1.0]"], "first_stage.betas: [0.9, 1.0] are not two numbers"),
        ("vae", ["first_stage.schedule=cosine"], "first_stage.schedule: cosine falls until trainer.max_steps"),
        (
            "vocoder",
            ["model.params.vocoder.hifigan.upsample_rates=[8, 5, 5]"],
            "vocoder.hifigan.upsample_rates: multiply to 200, not hop_length 160",
        ),
        (
            "vocoder",
            ["model.params.vocoder.hifigan.upsample_kernel_sizes=[16, 16]"],
            "vocoder.hifigan.upsample_kernel_sizes: [16, 16] do not cover the rates [8, 5, 4]",
        ),
        ("vae", ["model.params.vae_ckpt_path=gone.ckpt"], "gone.ckpt: no such file"),
        ("vocoder", ["model.params.vae_ckpt_path=gone.ckpt"], "gone.ckpt: no such file"),
        ("vocoder", ["model.params.vocoder_ckpt_path=gone.ckpt"], "gone.ckpt: no such file"),
        ("vae", [SMALL_VOCODER], "no vocoder weights: set model.params.vocoder_ckpt_path"),
        ("vae", ["data.params.path.latents=latents"], "data.params.path.latents: a first stage is trained on audio"),
        ("vae", ["trainer.resume=last"], "trainer.resume: runs/vae/checkpoints/last.ckpt is not there"),
        ("vae", ["data.params.path.train_data=null"], "data.params.path.train_data: is not set"),
    ],
)
def test_wrong_input_is_one_line_that_names_the_key(fail, grooves, kind, keys, message):
    assert message in fail("train_first_stage.py", *arguments(kind, grooves, *keys))


def test_vae_run_is_refused_as_vocoder_run(fail, grooves, adversarial_run):
    path = adversarial_run / "checkpoints" / "last.ckpt"
    line = fail("train_first_stage.py", *arguments("vocoder", grooves, f"trainer.resume={path}"))
    assert f"{path} is not a checkpoint of such a training run" in line
    line = fail("train_first_stage.py", *arguments("vocoder", grooves, f"model.params.vocoder_ckpt_path={path}"))
    assert "holds no vocoder" in line


@pytest.mark.parametrize("key", ["first_stage.discriminator_start=null", "first_stage.patch_channels=32"])
def test_run_resumes_with_its_own_discriminators_only(fail, grooves, adversarial_run, key):
    keys = [f"trainer.resume={adversarial_run / 'checkpoints' / 'last.ckpt'}", "trainer.max_steps=5", key]
    line = fail("train_first_stage.py", *arguments("vae", grooves, *keys))
    assert "trainer.resume: the run has another discriminator, or none" in line
    assert "model.params.vae_ckpt_path" in line


def test_weights_of_other_mels_are_refused(fail, grooves, adversarial_run):
    keys = [
        f"model.params.vae_ckpt_path={adversarial_run / 'checkpoints' / 'last.ckpt'}",
        "model.params.audio.f_max=3000",
    ]
    line = fail("train_first_stage.py", *arguments("vocoder", grooves, *keys))
    assert "its vae was trained on other mels" in line


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["vae", "vocoder"])
def test_two_devices_train_as_one_and_need_no_active_discriminator(grooves, tmp_path, kind):
    """Losses equal those of one device with twice the batch until discriminators are active; then they are finite."""
    steps = ["trainer.max_steps=4", "trainer.validation_every_n_steps=2"]
    one = arguments(kind, grooves, *steps, "run_dir=one")
    two = arguments(kind, grooves, *steps, "run_dir=two", "trainer.devices=2", "data.params.batch_size=1")
    for keys in (one, two):
        run_in(tmp_path, "train_first_stage.py", *keys)
    runs = [logged(tmp_path / name) for name in ("one", "two")]
    assert runs[1]["val/mel_l1", 1] == pytest.approx(runs[0]["val/mel_l1", 1], rel=1e-3)
    assert ("train/discriminator", 3) in runs[1]
    tensors = torch.load(tmp_path / "two" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"].values()
    assert all(tensor.isfinite().all() for tensor in tensors)


def test_second_training_in_a_run_folder_is_refused_while_the_first_runs(grooves, tmp_path, fail, monkeypatch):
    pytest.importorskip("fcntl", reason="folders are not locked on Windows")
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with locks.locked(tmp_path / "run"):
        line = fail("train_first_stage.py", *arguments("vae", grooves, "run_dir=run", "trainer.max_steps=1"))
    assert "run: another process" in line
    assert not list((tmp_path / "run").iterdir())
