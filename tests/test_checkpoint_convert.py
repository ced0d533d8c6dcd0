"""Conversion between published names and our own, lossless in both directions."""

import dataclasses

import pytest
import torch

from helpers import published_files as small
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.files import read_file
from synctrack.errors import InputError
from synctrack.training.initialise import initialise

KINDS = tuple(small.CONTAINERS)


def convert_small(monkeypatch):
    """Use the small model as the configuration of published files, which have no header."""
    monkeypatch.setattr("synctrack.checkpoint.files.PUBLISHED_CONFIG", small.PARAMS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_published_to_ours_and_back_is_the_same(tmp_path, monkeypatch, kind, dtype):
    convert_small(monkeypatch)
    tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in small.published_tensors(kind).items()}
    convert(small.save_published(tmp_path / "a.ckpt", kind, tensors), tmp_path / "b.safetensors")
    convert(tmp_path / "b.safetensors", tmp_path / "c.ckpt")
    back = torch.load(tmp_path / "c.ckpt", weights_only=True)
    assert small.same(back[small.CONTAINERS[kind]], tensors)
    assert back.get("global_step") == (small.STEP if kind in ("synctrack", "musicldm") else None)


@pytest.mark.medium
def test_converted_file_gives_the_same_model(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    source = small.saved_file(tmp_path, "synctrack")
    models = []
    for out, keep_less in ((None, False), ("whole.safetensors", False), ("small.safetensors", True)):
        if out:
            convert(source, tmp_path / out, small=keep_less)
        model, _ = small.new_model()
        checkpoint.load_for_evaluation(model, tmp_path / out if out else source)
        models.append(small.state(model))
    assert small.same(models[0], models[1])
    assert small.same(models[0], models[2])


def test_our_training_checkpoint_in_published_names(tmp_path):
    trained, trained_ema, path = small.training_checkpoint(tmp_path / "last.ckpt")
    convert(path, tmp_path / "published.ckpt")
    file = read_file(tmp_path / "published.ckpt")
    assert file.published
    assert set(file.tensors) <= set(small.published_tensors("synctrack"))
    assert file.tensors["model_ema.num_updates"].dtype == torch.int32
    model, ema = small.new_model()
    initialise(model, ema, dataclasses.replace(small.PARAMS, ckpt_path=str(tmp_path / "published.ckpt")))
    assert small.same(small.state(model), small.state(trained))
    assert small.same(small.state(ema), small.state(trained_ema))


def test_ema_weights_are_exported_as_unet_weights_if_a_file_has_no_others(tmp_path):
    _, ema, path = small.training_checkpoint(tmp_path / "last.ckpt")
    convert(path, tmp_path / "small.safetensors")
    convert(tmp_path / "small.safetensors", tmp_path / "published.ckpt")
    raw = read_file(tmp_path / "published.ckpt").tensors["model.diffusion_model.input_blocks.0.0.weight"]
    assert torch.equal(raw, ema.module.conv_in.weight)


def test_half_precision_that_cannot_hold_a_value_is_refused_by_its_name(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    tensors = small.published_tensors("vae")
    name = next(name for name in tensors if name.startswith("decoder.") and name.endswith("weight"))
    tensors[name] = tensors[name].clone()
    tensors[name].view(-1)[0] = 1e6
    source = small.save_published(tmp_path / "a.ckpt", "vae", tensors)
    convert(source, tmp_path / "whole.safetensors")
    with pytest.raises(InputError, match=r"a\.ckpt: .* holds values up to 1e\+06, beyond float16"):
        convert(source, tmp_path / "half.safetensors", half=True)
    assert not (tmp_path / "half.safetensors").exists()


def test_conversion_without_effect_or_format_is_refused(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    source = small.saved_file(tmp_path, "vae")
    with pytest.raises(InputError, match="has the published names already"):
        convert(source, tmp_path / "again.ckpt")
    with pytest.raises(InputError, match=r"name a \.safetensors file"):
        convert(source, tmp_path / "vae.bin")


def test_half_precision_that_cannot_hold_a_value_is_refused_by_name(tmp_path, monkeypatch):
    convert_small(monkeypatch)
    tensors = small.published_tensors("vae")
    name = next(name for name in tensors if name.endswith("conv_in.weight"))
    tensors[name] = tensors[name] * 0 + 65536.0
    source = small.save_published(tmp_path / "a.ckpt", "vae", tensors)
    with pytest.raises(InputError, match=r"holds values up to 65536, beyond float16; convert it without --half"):
        convert(source, tmp_path / "b.safetensors", half=True)
    assert not (tmp_path / "b.safetensors").exists()
    convert(source, tmp_path / "b.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(tmp_path, value):
    _, _, path = small.training_checkpoint(tmp_path / "last.ckpt")
    content = torch.load(path, weights_only=True)
    tensor = content["state_dict"]["ema.module.conv_out.bias"]
    tensor[0] = value
    torch.save(content, path)
    model, _ = small.new_model()
    with pytest.raises(InputError, match=r"ema\.module\.conv_out\.bias holds values that are not finite"):
        checkpoint.load_for_evaluation(model, path)
