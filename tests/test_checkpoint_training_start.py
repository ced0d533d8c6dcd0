"""Which weights a training run starts from: of published files and our own, and in which order of precedence."""

import dataclasses
import logging

import pytest
import torch

from helpers import published_files as small
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.files import model_header
from synctrack.checkpoint.published import is_new_in_synctrack, unet_map
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import VocoderConfig
from synctrack.models.vae import VAE
from synctrack.models.vocoder import HiFiGAN, HiFiGANConfig
from synctrack.training.initialise import initialise

pytestmark = pytest.mark.medium


def test_training_from_musicldm(tmp_path, caplog):
    model, ema = small.new_model()
    before = small.state(model.unet)
    tensors = small.published_tensors("musicldm")
    path = small.save_published(tmp_path / "m.ckpt", "musicldm", tensors)
    with caplog.at_level(logging.INFO):
        initialise(model, ema, dataclasses.replace(small.PARAMS, ckpt_path=str(path)))
    assert (
        "a MusicLDM checkpoint (published names, step 320000) with unet, ema, scale_factor, vae, vocoder" in caplog.text
    )
    assert (
        "newly initialised: 81 keys of the U-Net that MusicLDM does not have: prior (5), down.2.attention"
        in caplog.text
    )
    assert "time_attention_scope" not in caplog.text
    assert ema.num_updates.item() == small.UPDATES
    assert model.scale_factor.item() == pytest.approx(small.SCALE_FACTOR)
    new = 0
    for entry in unet_map(model.unet):
        weight, ema_weight = model.unet.state_dict()[entry.ours], ema.module.state_dict()[entry.ours]
        if is_new_in_synctrack(entry.ours):
            new += 1
            assert torch.equal(weight, before[entry.ours])
            assert torch.equal(ema_weight, weight)
        else:
            raw = [f"model.diffusion_model.{name}" for name in entry.published]
            averaged = ["model_ema.diffusion_model" + name.replace(".", "") for name in entry.published]
            assert torch.equal(weight, torch.cat([tensors[name] for name in raw]))
            assert torch.equal(ema_weight, torch.cat([tensors[name] for name in averaged]))
    assert new > 0


def test_training_from_published_synctrack_in_either_scope(tmp_path, caplog):
    params = dataclasses.replace(
        small.PARAMS, unet=dataclasses.replace(small.PARAMS.unet, time_attention_scope="frame")
    )
    model, ema = small.new_model(params)
    tensors = small.published_tensors("synctrack")
    path = small.save_published(tmp_path / "s.ckpt", "synctrack", tensors)
    initialise(model, ema, dataclasses.replace(params, ckpt_path=str(path)))
    assert torch.equal(model.unet.conv_in.weight, tensors["model.diffusion_model.input_blocks.0.0.weight"])
    assert torch.equal(ema.module.conv_in.weight, tensors["model_ema.diffusion_modelinput_blocks00weight"])
    assert ema.num_updates.item() == small.UPDATES
    assert "time_attention_scope: bin in the file, frame here" in caplog.text


def test_separate_vae_and_vocoder_files_take_precedence(tmp_path):
    whole, vae, vocoder = (small.saved_file(tmp_path, kind) for kind in ("musicldm", "vae", "vocoder"))
    model, ema = small.new_model()
    params = dataclasses.replace(small.PARAMS, ckpt_path=str(whole))
    initialise(model, ema, params)
    first = small.state(model)
    params = dataclasses.replace(params, vae_ckpt_path=str(vae), vocoder_ckpt_path=str(vocoder))
    initialise(model, ema, params)
    second = small.state(model)
    assert torch.equal(second["vae.quant_conv.weight"], small.published_tensors("vae")["quant_conv.weight"])
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])}
    # Latents of another VAE have another spread: the scale factor is to be estimated.
    assert changed == {"vae", "vocoder", "scale_factor"}
    assert model.scale_factor.isnan()
    own = dataclasses.replace(params, vae_ckpt_path=str(whole))
    initialise(model, ema, own)
    assert model.scale_factor == first["scale_factor"]


def test_vocoder_of_another_size_replaces_that_of_the_file(tmp_path):
    """In our files and published ones, to train and to generate; all other settings must still agree."""
    larger = VocoderConfig(hifigan=HiFiGANConfig(upsample_initial_channel=128))
    params = dataclasses.replace(small.PARAMS, vocoder=larger)
    vocoder = HiFiGAN(larger.hifigan, params.audio)
    name = str(tmp_path / "vocoder.ckpt")
    kept = {f"vocoder.{key}": tensor for key, tensor in vocoder.state_dict().items()}
    torch.save({"state_dict": kept, "synctrack": model_header("vocoder", params, small.STEMS)}, name)
    for whole in (small.training_checkpoint(tmp_path / "ours.ckpt")[2], small.saved_file(tmp_path, "synctrack")):
        model, _ = small.new_model(params)
        with pytest.raises(InputError, match="vocoder"):
            checkpoint.load_for_evaluation(model, whole)
        checkpoint.load_for_evaluation(model, whole, name)
        assert small.same(model.vocoder.state_dict(), vocoder.state_dict())
        model, ema = small.new_model(params)
        own = dataclasses.replace(params, ckpt_path=str(whole), vocoder_ckpt_path=name)
        initialise(model, ema, own)
        assert small.same(model.vocoder.state_dict(), vocoder.state_dict())
        wider = dataclasses.replace(own, unet=dataclasses.replace(own.unet, model_channels=64))
        with pytest.raises(
            InputError, match=r"of another shape|unet\.model_channels: 32 in the file, 64 here"
        ) as refused:
            initialise(*small.new_model(wider), wider)
        assert "vocoder.hifigan" not in str(refused.value)


def test_without_a_checkpoint_ema_weights_are_a_copy_of_the_unet(tmp_path):
    model, ema = small.new_model()
    for parameter in model.unet.parameters():
        parameter.data = parameter + 1
    params = dataclasses.replace(
        small.PARAMS,
        vae_ckpt_path=str(small.saved_file(tmp_path, "vae")),
        vocoder_ckpt_path=str(small.saved_file(tmp_path, "vocoder")),
    )
    initialise(model, ema, params)
    assert small.same(small.state(model.unet), small.state(ema.module))
    assert model.scale_factor.isnan()


def test_training_needs_a_vae_and_a_vocoder(tmp_path, caplog):
    model, ema = small.new_model()
    with pytest.raises(InputError, match=r"no VAE weights: set model\.params\.vae_ckpt_path .*train_first_stage\.py"):
        initialise(model, ema, small.PARAMS)
    params = dataclasses.replace(small.PARAMS, vae_ckpt_path=str(small.saved_file(tmp_path, "vae")))
    with pytest.raises(InputError, match=r"no vocoder weights: .*model\.params\.vocoder\.kind=griffin_lim"):
        initialise(model, ema, params)
    griffin_lim = dataclasses.replace(params, vocoder=dataclasses.replace(params.vocoder, kind="griffin_lim"))
    initialise(*small.new_model(griffin_lim), griffin_lim)
    assert "is not read" not in caplog.text
    initialise(*small.new_model(griffin_lim), dataclasses.replace(griffin_lim, vocoder_ckpt_path="other.ckpt"))
    assert "other.ckpt: is not read, since model.params.vocoder.kind is griffin_lim" in caplog.text


def test_vae_as_start_and_vocoder_as_vae_are_refused(tmp_path):
    params = dataclasses.replace(small.PARAMS, ckpt_path=str(small.saved_file(tmp_path, "vae")))
    with pytest.raises(InputError, match=r"name it as model\.params\.vae_ckpt_path"):
        initialise(*small.new_model(), params)
    with pytest.raises(InputError, match="holds no vae"):
        checkpoint.load_vae(VAE(small.PARAMS.vae), small.saved_file(tmp_path, "vocoder"))


def test_vae_of_other_mels_is_refused(tmp_path):
    params = dataclasses.replace(small.PARAMS, audio=dataclasses.replace(small.PARAMS.audio, sample_rate=22050))
    model, ema = small.new_model()
    tensors = {f"vae.{name}": tensor for name, tensor in model.vae.state_dict().items()}
    config = dataclasses.replace(small.CONFIG, model=dataclasses.replace(small.CONFIG.model, params=params))
    torch.save({"state_dict": tensors, "synctrack": checkpoint.header("vae", config)}, tmp_path / "v.ckpt")
    with pytest.raises(
        InputError, match=r"trained on other mels \(model\.params\.audio\.sample_rate: 22050 in the file"
    ):
        initialise(model, ema, dataclasses.replace(small.PARAMS, vae_ckpt_path=str(tmp_path / "v.ckpt")))


@pytest.mark.parametrize("exported", [False, True])
def test_training_starts_from_our_checkpoint(tmp_path, exported):
    trained, trained_ema, path = small.training_checkpoint(tmp_path / "last.ckpt")
    if exported:
        convert(path, tmp_path / "small.safetensors")
        path = tmp_path / "small.safetensors"
    model, ema = small.new_model()
    initialise(model, ema, dataclasses.replace(small.PARAMS, ckpt_path=str(path)))
    assert small.same(small.state(ema), small.state(trained_ema))
    assert small.same(small.state(model.unet), small.state(trained_ema.module if exported else trained.unet))
    assert small.same(small.state(model.vae), small.state(trained.vae))


def test_bare_state_dicts_and_a_folded_vocoder_load(tmp_path):
    """Files without the usual container, and a vocoder whose weight norm somebody has folded."""
    tensors = small.published_tensors("synctrack")
    parts = {
        "vocoder": "first_stage_model.vocoder.",
        "vae": ("first_stage_model.encoder.", "first_stage_model.decoder."),
    }
    parts["vae"] += ("first_stage_model.quant_conv.", "first_stage_model.post_quant_conv.")
    for kind, prefixes in parts.items():
        cut = "first_stage_model." if kind == "vae" else prefixes
        part = {name.removeprefix(cut): tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
        torch.save(part, tmp_path / f"{kind}.ckpt")
    model, ema = small.new_model()
    paths = {f"{kind}_ckpt_path": str(tmp_path / f"{kind}.ckpt") for kind in ("vae", "vocoder")}
    initialise(model, ema, dataclasses.replace(small.PARAMS, **paths))
    assert torch.equal(model.vae.quant_conv.weight, tensors["first_stage_model.quant_conv.weight"])
    assert torch.equal(model.vocoder.conv_pre.weight, tensors["first_stage_model.vocoder.conv_pre.weight"])
