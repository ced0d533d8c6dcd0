"""Weights from published files and our own: taken exactly, in the right order of precedence, and back again."""

import dataclasses
import logging

import pytest
import torch
from helpers.golden import Golden, fixture_keys, published_keys, tensor_noise
from helpers.published_files import (
    CONFIG,
    CONTAINERS,
    PARAMS,
    SCALE_FACTOR,
    STEMS,
    STEP,
    UPDATES,
    averages_of_raw,
    new_model,
    published_tensors,
    same,
    save_published,
    saved_file,
)

from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.files import PUBLISHED_CONFIG, CheckpointFile, model_header, read_file
from synctrack.checkpoint.matching import differences, entries_of, ignored_as, shapes_of
from synctrack.checkpoint.published import is_new_in_synctrack, new_modules, unet_map
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion, VocoderConfig
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAE
from synctrack.models.vocoder import HiFiGAN, HiFiGANConfig
from synctrack.training.initialise import initialise

KINDS = tuple(CONTAINERS)


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def training_checkpoint(path, params=PARAMS, config=CONFIG):
    """A checkpoint as training leaves it -> (model, ema, path)."""
    model, ema = new_model(params)
    model.scale_factor.fill_(SCALE_FACTOR)
    ema.num_updates.fill_(UPDATES)
    for name, parameter in ema.module.named_parameters():
        if name != "prior.one_hot":
            parameter.data = parameter + 1
    tensors = {f"model.{k}": v for k, v in state(model).items()} | {f"ema.{k}": v for k, v in state(ema).items()}
    torch.save({"state_dict": tensors, "global_step": STEP, "synctrack": checkpoint.header("synctrack", config)}, path)
    return model, ema, path


@pytest.fixture(scope="module")
def full_modules():
    return shapes_of(PUBLISHED_CONFIG, 4)


@pytest.mark.parametrize(
    ("kind", "used", "ignored"),
    [("synctrack", 2393, 70), ("musicldm", 1776, 74), ("vae", 204, 250), ("vocoder", 291, 0)],
)
def test_every_published_tensor_is_used_or_on_the_list(full_modules, kind, used, ignored):
    """At full size, against the published names and shapes."""
    tensors = {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape, dtype in published_keys(kind)}
    file = CheckpointFile("", kind, True, tensors, None, None)
    assert differences(file, full_modules) == {}
    assert len({name for entry in entries_of(file, full_modules) for name in entry.published}) == used
    assert sum(ignored_as(file, name) is not None for name in tensors) == ignored


def test_exactly_the_published_list_is_new_in_synctrack(full_modules):
    new = {n for entry in unet_map(full_modules.unet) if is_new_in_synctrack(entry.ours) for n in entry.published}
    assert new == {name for name, *_ in fixture_keys("new_in_synctrack")}
    summary = new_modules(full_modules.unet)
    assert summary.startswith("309 keys of the U-Net that MusicLDM has not: prior (5), ")
    assert "up.8.attention.block.time (12)" in summary


def test_small_unet_has_the_published_names():
    unet = new_model()[0].unet
    shapes = {
        name: list(tensor.shape)
        for entry in unet_map(unet)
        for name, tensor in zip(entry.published, entry.to_published(unet.state_dict()[entry.ours]), strict=True)
    }
    assert shapes == dict(fixture_keys("unet_tiny"))


def test_published_synctrack_generates_with_its_averages(tmp_path):
    model, _ = new_model()
    tensors = averages_of_raw(published_tensors("synctrack"), model)
    info = checkpoint.load_for_evaluation(model, save_published(tmp_path / "s.ckpt", "synctrack", tensors))
    with torch.inference_mode():
        noise = model.unet(tensor_noise("unet.x.b1", (1, 4, 8, 256, 16)), torch.tensor([500]))
    assert Golden("unet_tiny").error("out_b1_t500", noise) < 2e-5
    assert model.scale_factor.item() == pytest.approx(SCALE_FACTOR)
    assert torch.equal(model.vae.quant_conv.weight, tensors["first_stage_model.quant_conv.weight"])
    assert torch.equal(model.vocoder.conv_pre.weight, tensors["first_stage_model.vocoder.conv_pre.weight"])
    assert info.step == STEP
    assert info.kind == "SyncTrack checkpoint (published names, step 320000)"
    assert info.sha256 == checkpoint.sha256(tmp_path / "s.ckpt")
    assert info.path == str(tmp_path / "s.ckpt")


def test_published_synctrack_needs_scope_bin(tmp_path):
    params = dataclasses.replace(PARAMS, unet=dataclasses.replace(PARAMS.unet, time_attention_scope="frame"))
    model, _ = new_model(params)
    message = r"time_attention_scope: bin in the file, frame here; config/published_eval.yaml"
    with pytest.raises(InputError, match=message):
        checkpoint.load_for_evaluation(model, saved_file(tmp_path, "synctrack"))


@pytest.mark.parametrize("kind", ["musicldm", "vae", "vocoder"])
def test_only_synctrack_generates(tmp_path, kind):
    with pytest.raises(InputError, match="cannot generate"):
        checkpoint.load_for_evaluation(new_model()[0], saved_file(tmp_path, kind))


def test_training_from_musicldm(tmp_path, caplog):
    model, ema = new_model()
    before = state(model.unet)
    tensors = published_tensors("musicldm")
    path = save_published(tmp_path / "m.ckpt", "musicldm", tensors)
    with caplog.at_level(logging.INFO):
        initialise(model, ema, dataclasses.replace(PARAMS, ckpt_path=str(path)))
    assert (
        "a MusicLDM checkpoint (published names, step 320000) with unet, ema, scale_factor, vae, vocoder" in caplog.text
    )
    assert "to start new: 81 keys of the U-Net that MusicLDM has not: prior (5), down.2.attention" in caplog.text
    assert "time_attention_scope" not in caplog.text
    assert ema.num_updates.item() == UPDATES
    assert model.scale_factor.item() == pytest.approx(SCALE_FACTOR)
    new = 0
    for entry in unet_map(model.unet):
        weight, average = model.unet.state_dict()[entry.ours], ema.module.state_dict()[entry.ours]
        if is_new_in_synctrack(entry.ours):
            new += 1
            assert torch.equal(weight, before[entry.ours])
            assert torch.equal(average, weight)
        else:
            raw = [f"model.diffusion_model.{name}" for name in entry.published]
            shadows = ["model_ema.diffusion_model" + name.replace(".", "") for name in entry.published]
            assert torch.equal(weight, torch.cat([tensors[name] for name in raw]))
            assert torch.equal(average, torch.cat([tensors[name] for name in shadows]))
    assert new > 0


def test_training_from_published_synctrack_in_either_scope(tmp_path, caplog):
    params = dataclasses.replace(PARAMS, unet=dataclasses.replace(PARAMS.unet, time_attention_scope="frame"))
    model, ema = new_model(params)
    tensors = published_tensors("synctrack")
    path = save_published(tmp_path / "s.ckpt", "synctrack", tensors)
    initialise(model, ema, dataclasses.replace(params, ckpt_path=str(path)))
    assert torch.equal(model.unet.conv_in.weight, tensors["model.diffusion_model.input_blocks.0.0.weight"])
    assert torch.equal(ema.module.conv_in.weight, tensors["model_ema.diffusion_modelinput_blocks00weight"])
    assert ema.num_updates.item() == UPDATES
    assert "time_attention_scope: bin in the file, frame here" in caplog.text


def test_files_of_their_own_take_precedence(tmp_path):
    whole, vae, vocoder = (saved_file(tmp_path, kind) for kind in ("musicldm", "vae", "vocoder"))
    model, ema = new_model()
    params = dataclasses.replace(PARAMS, ckpt_path=str(whole))
    initialise(model, ema, params)
    first = state(model)
    params = dataclasses.replace(params, vae_ckpt_path=str(vae), vocoder_ckpt_path=str(vocoder))
    initialise(model, ema, params)
    second = state(model)
    assert torch.equal(second["vae.quant_conv.weight"], published_tensors("vae")["quant_conv.weight"])
    changed = {name.partition(".")[0] for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"vae", "vocoder"}


def test_a_vocoder_of_another_size_can_take_the_place_of_the_files(tmp_path):
    """Ours and published, to train and to generate; the file's own no longer matters, all else does."""
    larger = VocoderConfig(hifigan=HiFiGANConfig(upsample_initial_channel=128))
    params = dataclasses.replace(PARAMS, vocoder=larger)
    vocoder = HiFiGAN(larger.hifigan, params.audio)
    name = str(tmp_path / "vocoder.ckpt")
    kept = {f"vocoder.{key}": tensor for key, tensor in vocoder.state_dict().items()}
    torch.save({"state_dict": kept, "synctrack": model_header("vocoder", params, STEMS)}, name)
    for whole in (training_checkpoint(tmp_path / "ours.ckpt")[2], saved_file(tmp_path, "synctrack")):
        made, _ = new_model(params)
        with pytest.raises(InputError, match="vocoder"):
            checkpoint.load_for_evaluation(made, whole)
        checkpoint.load_for_evaluation(made, whole, name)
        assert same(made.vocoder.state_dict(), vocoder.state_dict())
        made, average = new_model(params)
        own = dataclasses.replace(params, ckpt_path=str(whole), vocoder_ckpt_path=name)
        initialise(made, average, own)
        assert same(made.vocoder.state_dict(), vocoder.state_dict())
        wider = dataclasses.replace(own, unet=dataclasses.replace(own.unet, model_channels=64))
        with pytest.raises(InputError, match="of another shape"):
            initialise(*new_model(wider), wider)


def test_without_a_checkpoint_the_average_starts_as_a_copy(tmp_path):
    model, ema = new_model()
    for parameter in model.unet.parameters():
        parameter.data = parameter + 1
    params = dataclasses.replace(
        PARAMS,
        vae_ckpt_path=str(saved_file(tmp_path, "vae")),
        vocoder_ckpt_path=str(saved_file(tmp_path, "vocoder")),
    )
    initialise(model, ema, params)
    assert same(state(model.unet), state(ema.module))
    assert model.scale_factor.isnan()


def test_training_needs_a_vae_and_a_vocoder(tmp_path):
    model, ema = new_model()
    with pytest.raises(InputError, match=r"no VAE weights: set model\.params\.vae_ckpt_path .*train_first_stage\.py"):
        initialise(model, ema, PARAMS)
    params = dataclasses.replace(PARAMS, vae_ckpt_path=str(saved_file(tmp_path, "vae")))
    with pytest.raises(InputError, match=r"no vocoder weights: .*model\.params\.vocoder\.kind=griffin_lim"):
        initialise(model, ema, params)
    griffin_lim = dataclasses.replace(params, vocoder=dataclasses.replace(params.vocoder, kind="griffin_lim"))
    initialise(*new_model(griffin_lim), griffin_lim)


def test_start_is_no_vae_and_a_vae_no_vocoder(tmp_path):
    params = dataclasses.replace(PARAMS, ckpt_path=str(saved_file(tmp_path, "vae")))
    with pytest.raises(InputError, match=r"name it as model\.params\.vae_ckpt_path"):
        initialise(*new_model(), params)
    with pytest.raises(InputError, match="holds no vae"):
        checkpoint.load_vae(VAE(PARAMS.vae), saved_file(tmp_path, "vocoder"))


@pytest.mark.parametrize("kind", ["synctrack", "musicldm", "vae"])
def test_vae_comes_out_of_every_published_file(tmp_path, kind):
    vae = VAE(PARAMS.vae)
    checkpoint.load_vae(vae, saved_file(tmp_path, kind))
    name = "quant_conv.weight" if kind == "vae" else "first_stage_model.quant_conv.weight"
    assert torch.equal(vae.quant_conv.weight, published_tensors(kind)[name])


def test_vae_of_our_first_stage(tmp_path):
    trained, vae = VAE(PARAMS.vae), VAE(PARAMS.vae)
    tensors = {f"vae.{name}": tensor for name, tensor in trained.state_dict().items()}
    torch.save({"state_dict": tensors, "synctrack": checkpoint.header("vae", CONFIG)}, tmp_path / "v.ckpt")
    checkpoint.load_vae(vae, tmp_path / "v.ckpt")
    assert same(state(vae), state(trained))


def test_vae_of_other_mels_is_refused(tmp_path):
    params = dataclasses.replace(PARAMS, audio=dataclasses.replace(PARAMS.audio, sample_rate=22050))
    model, ema = new_model()
    tensors = {f"vae.{name}": tensor for name, tensor in model.vae.state_dict().items()}
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, params=params))
    torch.save({"state_dict": tensors, "synctrack": checkpoint.header("vae", config)}, tmp_path / "v.ckpt")
    with pytest.raises(InputError, match=r"trained on other mels \(AudioFormat\(sample_rate=22050"):
        initialise(model, ema, dataclasses.replace(PARAMS, vae_ckpt_path=str(tmp_path / "v.ckpt")))


@pytest.mark.parametrize("exported", [False, True])
def test_our_training_checkpoint_generates_with_its_averages(tmp_path, exported):
    trained, ema, path = training_checkpoint(tmp_path / "last.ckpt")
    if exported:
        convert(path, tmp_path / "small.safetensors")
        assert (tmp_path / "small.safetensors").stat().st_size < 0.7 * path.stat().st_size
        path = tmp_path / "small.safetensors"
    model, _ = new_model()
    info = checkpoint.load_for_evaluation(model, path)
    assert same(state(model.unet), state(ema.module))
    assert same(state(model.vae), state(trained.vae))
    assert same(state(model.vocoder), state(trained.vocoder))
    assert model.scale_factor == trained.scale_factor
    assert info.step == STEP


@pytest.mark.parametrize("exported", [False, True])
def test_training_goes_on_from_our_checkpoint(tmp_path, exported):
    trained, trained_ema, path = training_checkpoint(tmp_path / "last.ckpt")
    if exported:
        convert(path, tmp_path / "small.safetensors")
        path = tmp_path / "small.safetensors"
    model, ema = new_model()
    initialise(model, ema, dataclasses.replace(PARAMS, ckpt_path=str(path)))
    assert same(state(ema), state(trained_ema))
    assert same(state(model.unet), state(trained_ema.module if exported else trained.unet))
    assert same(state(model.vae), state(trained.vae))


def test_our_checkpoint_of_another_model_is_refused_key_by_key(tmp_path):
    _, _, path = training_checkpoint(tmp_path / "last.ckpt")
    unet = UNetConfig(**vars(PARAMS.unet) | {"instrument_prior": False, "time_attention_scope": "frame"})
    model = LatentDiffusion(dataclasses.replace(PARAMS, unet=unet), ("drums", "bass", "guitar", "piano"))
    with pytest.raises(InputError) as error:
        checkpoint.load_for_evaluation(model, path)
    assert str(error.value).count(" in the file, ") == 3
    for difference in (
        "model.params.unet.instrument_prior: True in the file, False here",
        "model.params.unet.time_attention_scope: bin in the file, frame here",
        "data.params.path.stems: ['bass', 'drums', 'guitar', 'piano'] in the file, ['drums', 'bass',",
    ):
        assert difference in str(error.value)


def test_what_changes_no_result_may_differ(tmp_path):
    _, ema, path = training_checkpoint(tmp_path / "last.ckpt")
    params = dataclasses.replace(
        PARAMS,
        unet=dataclasses.replace(PARAMS.unet, gradient_checkpointing=True),
        vocoder=dataclasses.replace(PARAMS.vocoder, kind="griffin_lim"),
    )
    model = LatentDiffusion(params, STEMS)
    checkpoint.load_for_evaluation(model, path)
    assert same(state(model.unet), state(ema.module))


def test_vocoder_that_training_had_not_is_named_for_evaluation(tmp_path):
    params = dataclasses.replace(PARAMS, vocoder=dataclasses.replace(PARAMS.vocoder, kind="griffin_lim"))
    config = dataclasses.replace(CONFIG, model=dataclasses.replace(CONFIG.model, params=params))
    _, _, path = training_checkpoint(tmp_path / "last.ckpt", params, config)
    model, _ = new_model()
    with pytest.raises(InputError, match=r"model\.params\.vocoder\.kind=griffin_lim"):
        checkpoint.load_for_evaluation(model, path)
    checkpoint.load_for_evaluation(model, path, saved_file(tmp_path, "vocoder"))
    assert torch.equal(model.vocoder.conv_pre.bias, published_tensors("vocoder")["conv_pre.bias"])


def convert_small(monkeypatch):
    """Published files without a header are of the published size; here the small model stands for it."""
    monkeypatch.setattr("synctrack.checkpoint.files.PUBLISHED_CONFIG", PARAMS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_published_to_ours_and_back_is_the_same(tmp_path, monkeypatch, kind, dtype):
    convert_small(monkeypatch)
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in published_tensors(kind).items()}
    convert(save_published(tmp_path / "a.ckpt", kind, tensors), tmp_path / "b.safetensors")
    convert(tmp_path / "b.safetensors", tmp_path / "c.ckpt")
    back = torch.load(tmp_path / "c.ckpt", weights_only=True)
    assert same(back[CONTAINERS[kind]], tensors)
    assert back.get("global_step") == (STEP if kind in ("synctrack", "musicldm") else None)


def test_converted_file_gives_the_same_model(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    source = saved_file(tmp_path, "synctrack")
    models = []
    for out, small in ((None, False), ("whole.safetensors", False), ("small.safetensors", True)):
        if out:
            convert(source, tmp_path / out, small)
        model, _ = new_model()
        checkpoint.load_for_evaluation(model, tmp_path / out if out else source)
        models.append(state(model))
    assert same(models[0], models[1])
    assert same(models[0], models[2])


def test_our_training_checkpoint_in_published_names(tmp_path):
    trained, trained_ema, path = training_checkpoint(tmp_path / "last.ckpt")
    convert(path, tmp_path / "published.ckpt")
    file = read_file(tmp_path / "published.ckpt")
    assert file.published
    assert set(file.tensors) <= set(published_tensors("synctrack"))
    assert file.tensors["model_ema.num_updates"].dtype == torch.int32
    model, ema = new_model()
    initialise(model, ema, dataclasses.replace(PARAMS, ckpt_path=str(tmp_path / "published.ckpt")))
    assert same(state(model), state(trained))
    assert same(state(ema), state(trained_ema))


def test_averages_stand_for_the_unet_where_a_file_has_no_other(tmp_path):
    _, ema, path = training_checkpoint(tmp_path / "last.ckpt")
    convert(path, tmp_path / "small.safetensors")
    convert(tmp_path / "small.safetensors", tmp_path / "published.ckpt")
    raw = read_file(tmp_path / "published.ckpt").tensors["model.diffusion_model.input_blocks.0.0.weight"]
    assert torch.equal(raw, ema.module.conv_in.weight)


def test_conversion_without_effect_or_format_is_refused(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    source = saved_file(tmp_path, "vae")
    with pytest.raises(InputError, match="has the published names already"):
        convert(source, tmp_path / "again.ckpt")
    with pytest.raises(InputError, match=r"name a \.safetensors file"):
        convert(source, tmp_path / "vae.bin")


def test_bare_state_dicts_and_a_folded_vocoder(tmp_path):
    """Files without the usual container, and a vocoder whose weight norm somebody has folded."""
    tensors = published_tensors("synctrack")
    parts = {
        "vocoder": "first_stage_model.vocoder.",
        "vae": ("first_stage_model.encoder.", "first_stage_model.decoder."),
    }
    parts["vae"] += ("first_stage_model.quant_conv.", "first_stage_model.post_quant_conv.")
    for kind, prefixes in parts.items():
        cut = "first_stage_model." if kind == "vae" else prefixes
        part = {name.removeprefix(cut): tensor for name, tensor in tensors.items() if name.startswith(prefixes)}
        torch.save(part, tmp_path / f"{kind}.ckpt")
    model, ema = new_model()
    paths = {f"{kind}_ckpt_path": str(tmp_path / f"{kind}.ckpt") for kind in ("vae", "vocoder")}
    initialise(model, ema, dataclasses.replace(PARAMS, **paths))
    assert torch.equal(model.vae.quant_conv.weight, tensors["first_stage_model.quant_conv.weight"])
    assert torch.equal(model.vocoder.conv_pre.weight, tensors["first_stage_model.vocoder.conv_pre.weight"])
