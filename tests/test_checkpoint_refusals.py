"""Wrong checkpoints are refused in one line that names the file, and nothing in a file is executed."""

import dataclasses
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from helpers import published_files as small
from synctrack.checkpoint import loading as checkpoint
from synctrack.checkpoint.commands import convert
from synctrack.checkpoint.files import read_file
from synctrack.errors import InputError
from synctrack.models.vae import VAE
from synctrack.training.initialise import initialise

HEADER = checkpoint.header("vae", small.CONFIG)
HEADER = checkpoint.header("vae", small.CONFIG)
A_TENSOR = {
    "synctrack": "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
    "musicldm": "model_ema.diffusion_modelmiddle_block0in_layers2weight",
    "vae": "decoder.mid.attn_1.q.weight",
    "vocoder": "resblocks.4.convs1.1.weight_v",
}


def load(kind: str, path: Path):
    """Load a published file the way its kind is meant to be loaded -> the module that it fills."""
    model, ema = small.new_model()
    if kind == "synctrack":
        checkpoint.load_for_evaluation(model, path)
    elif kind == "vae":
        checkpoint.load_vae(model.vae, path)
    elif kind == "musicldm":
        initialise(model, ema, dataclasses.replace(small.PARAMS, ckpt_path=str(path)))
    else:
        params = dataclasses.replace(
            small.PARAMS, vae_ckpt_path=str(small.saved_file(path.parent, "vae")), vocoder_ckpt_path=str(path)
        )
        initialise(model, ema, params)
    return model


def one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


@pytest.mark.medium
@pytest.mark.parametrize("kind", small.CONTAINERS)
def test_renamed_removed_added_reshaped_and_retyped_tensors_are_listed(tmp_path, kind):
    name, whole = A_TENSOR[kind], small.published_tensors(kind)
    rest = {key: tensor for key, tensor in whole.items() if key != name}
    shape = list(whole[name].shape)
    for tensors, parts in (
        (rest | {f"{name}x": whole[name]}, [f"1 missing: {name};", f"1 unknown: {name}x"]),
        (rest, [f"1 missing: {name}"]),
        (whole | {"something.else": torch.ones(2)}, ["1 unknown: something.else"]),
        (rest | {name: whole[name][:-1]}, [f"1 of another shape or type: {name} (", f"{shape} float in the model"]),
        (rest | {name: whole[name].int()}, [f"{name} ({shape} int32 in the file, {shape} float in the model)"]),
        (rest | {name: whole[name].to(torch.float8_e4m3fn)}, [f"{name} ({shape} float8_e4m3fn in the file"]),
        (rest | {name: whole[name].to("meta")}, [f"its tensor {name} has no values"]),
    ):
        path = small.save_published(tmp_path / "x.ckpt", kind, tensors)
        with pytest.raises(InputError) as error:
            load(kind, path)
        one_line(error, str(path), *parts)


def test_all_problems_are_listed(tmp_path):
    tensors = small.published_tensors("vae")
    gone = [name for name in tensors if name.startswith("encoder.down.")]
    kept = {name: tensor for name, tensor in tensors.items() if name not in gone}
    path = small.save_published(tmp_path / "x.ckpt", "vae", kept | {"a.b": torch.ones(1), "c.d": torch.ones(1)})
    with pytest.raises(InputError) as error:
        load("vae", path)
    one_line(error, f"{len(gone)} missing: ", "2 unknown: a.b, c.d", *gone)


@pytest.mark.parametrize("kind", small.CONTAINERS)
def test_half_precision_is_converted_to_float32(tmp_path, kind):
    tensors = small.published_tensors(kind)
    halves = {name: t.half() if t.is_floating_point() else t for name, t in tensors.items()}
    widened = {name: t.float() if t.is_floating_point() else t for name, t in halves.items()}
    states = [
        load(kind, small.save_published(tmp_path / "x.ckpt", kind, each)).state_dict() for each in (halves, widened)
    ]
    filled = "vocoder." if kind == "vocoder" else "vae."
    names = [name for name in states[0] if name.startswith(filled)]
    assert names
    assert all(states[0][name].dtype == torch.float32 for name in names)
    assert all(torch.equal(states[0][name], states[1][name]) for name in names)


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 0.0, -1.0])
def test_scale_factor_that_is_not_finite_and_positive_is_refused(tmp_path, scale):
    path = small.save_published(
        tmp_path / "x.ckpt", "synctrack", small.published_tensors("synctrack") | {"scale_factor": torch.tensor(scale)}
    )
    with pytest.raises(InputError, match="its scale_factor is"):
        load("synctrack", path)


def test_published_file_without_ema_weights_is_refused_for_generation(tmp_path):
    whole = small.published_tensors("synctrack")
    path = small.save_published(
        tmp_path / "x.ckpt", "synctrack", {k: v for k, v in whole.items() if "model_ema" not in k}
    )
    with pytest.raises(InputError, match="holds no ema"):
        load("synctrack", path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("suffix", ["ckpt", "safetensors"])
def test_truncated_files_are_refused_in_one_line(tmp_path, monkeypatch, share, suffix):
    monkeypatch.setattr("synctrack.checkpoint.files.PUBLISHED_CONFIG", small.PARAMS)
    path = small.saved_file(tmp_path, "vae")
    if suffix == "safetensors":
        convert(path, tmp_path / "vae.safetensors")
        path = tmp_path / "vae.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError) as error:
        load("vae", path)
    one_line(error, str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not a checkpoint at all", "not a checkpoint"),
        (bytes(range(256)) * 100, "not a checkpoint"),
        (b"PK\x03\x04" + b"\0" * 1000, "not a checkpoint"),
        ([torch.ones(2)], "holds a list"),
        ({"state_dict": [torch.ones(2)]}, "its state_dict is empty or missing"),
        ({"state_dict": {}}, "its state_dict is empty or missing"),
        ({"state_dict": {"encoder.x": torch.ones(2), "n": 3}}, "not named tensors: n"),
        ({"state_dict": {7: torch.ones(2)}}, "not named tensors: 7"),
        ({"state_dict": {"layer.weight": torch.ones(2)}}, "not a known kind of checkpoint"),
        ({"state_dict": {"vae.encoder.0.weight": torch.ones(2)}}, "was it saved by train_synctrack.py"),
        ({"state_dict": {"vae.x": torch.ones(2)}, "synctrack": {"format": 2}}, "another version"),
        (
            {"state_dict": {"vae.x": torch.ones(2)}, "synctrack": {"format": 1, "kind": "cat"}},
            "its header is damaged",
        ),
        ({"state_dict": {"vae.x": torch.ones(2)}, "synctrack": HEADER | {"stems": [1]}}, "its header is damaged"),
        ({"state_dict": {"vae.x": torch.ones(2)}, "synctrack": HEADER | {"stems": []}}, "its header is damaged"),
        (
            {"state_dict": {"vae.x": torch.ones(2)}, "synctrack": HEADER | {"stems": 2 * ["a"]}},
            "its header is damaged",
        ),
    ],
)
def test_content_that_is_not_a_checkpoint_is_refused(tmp_path, content, message):
    path = tmp_path / "x.ckpt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=message) as error:
        checkpoint.load_vae(VAE(small.PARAMS.vae), path)
    one_line(error, str(path))


def test_missing_files_folders_and_foreign_safetensors_are_refused(tmp_path):
    save_file({"x": torch.ones(2)}, tmp_path / "foreign.safetensors")
    for path, message in (
        (tmp_path / "none.ckpt", "no such file"),
        (tmp_path, "is a folder, not an ordinary file"),
        (tmp_path / "foreign.safetensors", "was not written by synctrack.checkpoint convert"),
    ):
        with pytest.raises(InputError, match=message):
            read_file(path)


@pytest.mark.parametrize("out", ["out.safetensors", "out.ckpt"])
def test_full_disk_is_one_line_and_leaves_nothing(tmp_path, out):
    header = checkpoint.header("vae", small.CONFIG)
    tensors = {f"vae.{name}": tensor for name, tensor in VAE(small.PARAMS.vae).state_dict().items()}
    torch.save({"state_dict": tensors, "synctrack": header}, tmp_path / "v.ckpt")
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(InputError, match="cannot be written") as error:
            convert(tmp_path / "v.ckpt", tmp_path / out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    one_line(error, str(tmp_path / out))
    assert [path.name for path in tmp_path.iterdir()] == ["v.ckpt"]


def test_stored_configuration_of_another_version_is_refused(tmp_path):
    header = checkpoint.header("vae", small.CONFIG)
    header["config"]["vae"]["colour"] = "red"
    torch.save({"state_dict": {"vae.x": torch.ones(2)}, "synctrack": header}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match="its stored configuration is not valid in this version"):
        read_file(tmp_path / "x.ckpt").stored_model()


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("place", ["state_dict", "callbacks", "top"])
def test_code_in_a_file_is_not_run(tmp_path, legacy, place):
    marker, path = tmp_path / "it-ran", tmp_path / "x.ckpt"
    content = {"state_dict": small.published_tensors("vae")}
    if place == "top":
        content = Hostile(marker)
    elif place == "callbacks":
        content["callbacks"] = {"x": Hostile(marker)}
    else:
        content["state_dict"]["encoder.x"] = Hostile(marker)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(InputError, match=r"refused, nothing was executed: it holds Python objects \(posix.system\)"):
        checkpoint.load_vae(VAE(small.PARAMS.vae), path)
    assert not marker.exists()
    # The file does run its command where it is trusted: without that, this test would show nothing.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_code_in_a_bare_pickle_is_not_run(tmp_path):
    marker, path = tmp_path / "it-ran", tmp_path / "x.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Hostile(marker)}))
    with pytest.raises(InputError) as error:
        read_file(path)
    one_line(error, str(path))
    assert not marker.exists()
