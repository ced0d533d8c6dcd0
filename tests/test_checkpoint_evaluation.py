"""Weights for generation and for encoding: the EMA weights of published files and our own, taken exactly."""

import dataclasses

import pytest
import torch

from helpers import published_files as small
from helpers.golden import Golden, tensor_noise
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import convert
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAE
from synctrack.training.evaluation import require_own_vae


def test_published_synctrack_generates_with_its_ema_weights(tmp_path):
    model, _ = small.new_model()
    tensors = small.with_ema_weights_only(small.published_tensors("synctrack"), model)
    info = checkpoint.load_for_evaluation(model, small.save_published(tmp_path / "s.ckpt", "synctrack", tensors))
    with torch.inference_mode():
        noise = model.unet(tensor_noise("unet.x.b1", (1, 4, 8, 256, 16)), torch.tensor([500]))
    assert Golden("unet_tiny").error("out_b1_t500", noise) < 2e-5
    assert model.scale_factor.item() == pytest.approx(small.SCALE_FACTOR)
    assert torch.equal(model.vae.quant_conv.weight, tensors["first_stage_model.quant_conv.weight"])
    assert torch.equal(model.vocoder.conv_pre.weight, tensors["first_stage_model.vocoder.conv_pre.weight"])
    assert info.step == small.STEP
    assert info.kind == "SyncTrack checkpoint (published names, step 320000)"
    assert info.sha256 == checkpoint.sha256(tmp_path / "s.ckpt")
    assert info.path == str(tmp_path / "s.ckpt")


def test_published_synctrack_needs_scope_bin(tmp_path):
    params = dataclasses.replace(
        small.PARAMS, unet=dataclasses.replace(small.PARAMS.unet, time_attention_scope="frame")
    )
    model, _ = small.new_model(params)
    message = r"time_attention_scope: bin in the file, frame here; config/published_eval.yaml"
    with pytest.raises(InputError, match=message):
        checkpoint.load_for_evaluation(model, small.saved_file(tmp_path, "synctrack"))


@pytest.mark.parametrize("kind", ["musicldm", "vae", "vocoder"])
def test_only_synctrack_generates(tmp_path, kind):
    with pytest.raises(InputError, match="cannot generate"):
        checkpoint.load_for_evaluation(small.new_model()[0], small.saved_file(tmp_path, kind))


def test_evaluation_takes_no_other_vae_than_the_checkpoints(tmp_path, caplog):
    model, _ = small.new_model()
    whole = small.saved_file(tmp_path, "synctrack")
    checkpoint.load_for_evaluation(model, whole)
    params = dataclasses.replace(small.PARAMS, ckpt_path=str(whole))

    def check(vae: str) -> None:
        require_own_vae(model, dataclasses.replace(params, vae_ckpt_path=vae))

    check(str(whole))
    tensors = small.published_tensors("synctrack")
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    check(str(small.save_published(tmp_path / "half.ckpt", "synctrack", halves)))
    with caplog.at_level("INFO"):
        check(str(tmp_path / "gone.ckpt"))
    assert "gone.ckpt is not there; the checkpoint's own is used" in caplog.text
    with pytest.raises(InputError, match=r"model\.params\.vae_ckpt_path: .* is another VAE than that of .*; set null"):
        check(str(small.saved_file(tmp_path, "vae")))


@pytest.mark.parametrize("kind", ["synctrack", "musicldm", "vae"])
def test_vae_loads_from_every_published_file(tmp_path, kind):
    vae = VAE(small.PARAMS.vae)
    checkpoint.load_vae(vae, small.saved_file(tmp_path, kind))
    name = "quant_conv.weight" if kind == "vae" else "first_stage_model.quant_conv.weight"
    assert torch.equal(vae.quant_conv.weight, small.published_tensors(kind)[name])


def test_vae_of_our_first_stage(tmp_path):
    trained, vae = VAE(small.PARAMS.vae), VAE(small.PARAMS.vae)
    tensors = {f"vae.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": tensors, "synctrack": checkpoint.header("vae", small.CONFIG)}, tmp_path / "v.ckpt")
    checkpoint.load_vae(vae, tmp_path / "v.ckpt")
    assert small.same(small.state(vae), small.state(trained))


@pytest.mark.parametrize("exported", [False, True])
def test_our_training_checkpoint_generates_with_its_ema_weights(tmp_path, exported):
    trained, ema, path = small.training_checkpoint(tmp_path / "last.ckpt")
    if exported:
        convert(path, tmp_path / "small.safetensors")
        assert (tmp_path / "small.safetensors").stat().st_size < 0.7 * path.stat().st_size
        path = tmp_path / "small.safetensors"
    model, _ = small.new_model()
    info = checkpoint.load_for_evaluation(model, path)
    assert small.same(small.state(model.unet), small.state(ema.module))
    assert small.same(small.state(model.vae), small.state(trained.vae))
    assert small.same(small.state(model.vocoder), small.state(trained.vocoder))
    assert model.scale_factor == trained.scale_factor
    assert info.step == small.STEP


def test_our_checkpoint_of_another_model_is_refused_key_by_key(tmp_path):
    _, _, path = small.training_checkpoint(tmp_path / "last.ckpt")
    unet = UNetConfig(**vars(small.PARAMS.unet) | {"instrument_prior": False, "time_attention_scope": "frame"})
    model = LatentDiffusion(dataclasses.replace(small.PARAMS, unet=unet), ("drums", "bass", "guitar", "piano"))
    with pytest.raises(InputError) as error:
        checkpoint.load_for_evaluation(model, path)
    assert str(error.value).count(" in the file, ") == 3
    for difference in (
        "model.params.unet.instrument_prior: True in the file, False here",
        "model.params.unet.time_attention_scope: bin in the file, frame here",
        "data.params.path.stems: ['bass', 'drums', 'guitar', 'piano'] in the file, ['drums', 'bass',",
    ):
        assert difference in str(error.value)


def test_settings_that_change_no_result_may_differ(tmp_path):
    _, ema, path = small.training_checkpoint(tmp_path / "last.ckpt")
    params = dataclasses.replace(
        small.PARAMS,
        unet=dataclasses.replace(small.PARAMS.unet, gradient_checkpointing=True),
        vocoder=dataclasses.replace(small.PARAMS.vocoder, kind="griffin_lim"),
    )
    model = LatentDiffusion(params, small.STEMS)
    checkpoint.load_for_evaluation(model, path)
    assert small.same(small.state(model.unet), small.state(ema.module))


def test_missing_vocoder_is_refused_and_can_be_given_for_evaluation(tmp_path):
    params = dataclasses.replace(small.PARAMS, vocoder=dataclasses.replace(small.PARAMS.vocoder, kind="griffin_lim"))
    config = dataclasses.replace(small.CONFIG, model=dataclasses.replace(small.CONFIG.model, params=params))
    _, _, path = small.training_checkpoint(tmp_path / "last.ckpt", params, config)
    model, _ = small.new_model()
    with pytest.raises(InputError, match=r"model\.params\.vocoder\.kind=griffin_lim"):
        checkpoint.load_for_evaluation(model, path)
    checkpoint.load_for_evaluation(model, path, small.saved_file(tmp_path, "vocoder"))
    assert torch.equal(model.vocoder.conv_pre.bias, small.published_tensors("vocoder")["conv_pre.bias"])
