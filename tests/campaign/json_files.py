"""JSON of ours that anyone may have damaged: manifests, songs, headers of weights; and damaged weights."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from campaign.cases import TRAIN, Case

NOT_JSON: dict[str, str | bytes] = {
    "empty": "",
    "half a file": '{"settings": {"seed": 0, "tra',
    "text": "hello",
    "a list": "[1, 2]",
    "a number": "5",
    "a string": '"settings"',
    "null": "null",
    "an empty map": "{}",
    "100,000 open brackets": 100_000 * "[",
    "100,000 open braces": 100_000 * '{"a":',
    "integer of 5,000 digits": f'{{"settings": {5000 * "9"}}}',
    "not UTF-8": b'{"settings": "caf\xe9"}',
    "random bytes": bytes(range(256)) * 8,
    "NaN": '{"settings": NaN}',
}

MANIFESTS: dict[str, Any] = {
    "settings a list": {"settings": [1, 2]},
    "settings a string": {"settings": "seed"},
    "settings a number": {"settings": 5},
    "settings null": {"settings": None},
    "settings empty": {"settings": {}},
    "other settings": {"settings": {"seed": 7}},
    "other key": {"parameters": {"seed": 7}},
    "a lone surrogate": {"settings": {"seed": "\ud800"}},
}

SONGS: dict[str, dict[str, Any]] = {
    # What replaces facts of a good song.json
    "format a string": {"format": "1"},
    "format of the future": {"format": 99},
    "file format unknown": {"file_format": "mp3"},
    "file format a list": {"file_format": ["wav16"]},
    "stems a string": {"stems": "bass"},
    "stems empty": {"stems": []},
    "stems twice": {"stems": ["bass", "bass"]},
    "stems of numbers": {"stems": [1, 2]},
    "stems that leave the folder": {"stems": ["../bass", "drums"]},
    "rate zero": {"sample_rate": 0},
    "rate negative": {"sample_rate": -16000},
    "rate a string": {"sample_rate": "16000"},
    "rate huge": {"sample_rate": 10**30},
    "length zero": {"num_samples": 0},
    "length huge": {"num_samples": 10**15},
    "length a float": {"num_samples": 1.5},
    "gain zero": {"gain": 0},
    "gain a string": {"gain": "loud"},
    "mix gain infinite": {"mix_gain": float("inf")},
    "files a list": {"files": ["bass.wav"]},
    "files of numbers": {"files": {"bass": 1}},
    "file that leaves the folder": {"files": {"bass": "../../bass"}},
    "beats a number": {"beats": 5},
    "beats of text": {"beats": {"beats": ["x"], "downbeats": []}},
    "beats infinite": {"beats": {"beats": [0.0, 1e999], "downbeats": []}},
    "beats without downbeats": {"beats": {"beats": [0.0, 1.0]}},
}

HEADERS: dict[str, dict[str, Any]] = {
    # What replaces entries of a good header of weights
    "format 2": {"format": 2},
    "format a list": {"format": [1]},
    "kind a list": {"kind": ["synctrack"]},
    "kind a map": {"kind": {"a": 1}},
    "kind unknown": {"kind": "kazoo"},
    "stems a string": {"stems": "bass"},
    "stems of lists": {"stems": [["bass"]]},
    "stems empty": {"stems": []},
    "stems twice": {"stems": ["bass", "bass", "drums", "piano"]},
    "stem that leaves the folder": {"stems": ["../bass", "drums", "guitar", "piano"]},
    "config a list": {"config": [1]},
    "config a string": {"config": "small"},
    "config null": {"config": None},
    "config of unknown sections": {"config": {"kazoo": {}}},
    "config of numbers": {"config": {"unet": 5}},
    "interpolation": {"config": {"unet": "${oc.env:HOME}"}},
    "trained_bpm a string": {"trained_bpm": "fast"},
    "trained_bpm of one": {"trained_bpm": [100]},
    "trained_bpm negative": {"trained_bpm": [-5, 5]},
    "num_res_blocks 10^6": {"config": {"unet": {"num_res_blocks": 10**6}}},
    "model_channels 32,000,000": {"config": {"unet": {"model_channels": 32_000_000}}},
    "vae.num_res_blocks 10^6": {"config": {"vae": {"num_res_blocks": 10**6}}},
    "timesteps 10^10": {"config": {"diffusion": {"timesteps": 10**10}}},
    "n_fft 10^12": {"config": {"audio": {"n_fft": 10**12}}},
    "channel_mult empty": {"config": {"unet": {"channel_mult": []}}},
    "latent_channels a list": {"config": {"vae": {"latent_channels": [4]}}},
}

GROOVES = ("prepare_data.py", "synthetic", "--out", "out", "--songs", "1", "--seconds", "1", "--workers", "1")
LATENTS = ("prepare_data.py", "latents", "--config", "{shared}/small.yaml", "--out", "out")
FROM_LATENTS = (*TRAIN, "data.params.path.latents=latents")
MODEL = ("--model", "{shared}/small.safetensors")
GENERATE = ("synctrack", "generate", "--out", "out", *MODEL, "--steps", "1", "--seconds", "0.32")
REDO = ("synctrack", "generate", "--out", "out", *MODEL, "--steps", "1", "--from", "song", "--redo", "bass")
AGAIN = ("synctrack", "generate", "--out", "out", *MODEL, "--again", "song")
INSPECT = ("synctrack", "checkpoint", "inspect", "bad.safetensors")
START = (*TRAIN, "model.params.ckpt_path=bad.safetensors")


def _song(changed: dict[str, Any] | str | bytes) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, shared: Path) -> None:
        shutil.copytree(shared / "song", folder / "song")
        path = folder / "song/song.json"
        if isinstance(changed, dict):
            path.write_text(json.dumps(json.loads(path.read_text()) | changed))
        else:
            path.write_bytes(changed.encode() if isinstance(changed, str) else changed)

    return prepare


def _header(change: Callable[[dict[str, Any]], str]) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, shared: Path) -> None:
        with safe_open(shared / "small.safetensors", "pt") as file:
            header = json.loads(file.metadata()["synctrack"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        save_file(tensors, folder / "bad.safetensors", {"synctrack": change(header)})

    return prepare


def _replaced(entries: dict[str, Any]) -> Callable[[dict[str, Any]], str]:
    def change(header: dict[str, Any]) -> str:
        config = entries.get("config")
        if isinstance(config, dict) and set(config) <= set(header["config"]):
            sections = {
                name: header["config"][name] | own if isinstance(own, dict) else own for name, own in config.items()
            }
            return json.dumps(header | {"config": header["config"] | sections})
        return json.dumps(header | entries)

    return change


def _damaged(change: Callable[[bytes], bytes], name: str = "small.safetensors") -> Callable[[Path, Path], None]:
    def prepare(folder: Path, shared: Path) -> None:
        (folder / f"bad{Path(name).suffix}").write_bytes(change((shared / name).read_bytes()))

    return prepare


def _tensors(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, shared: Path) -> None:
        with safe_open(shared / "small.safetensors", "pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        change(tensors)
        save_file(tensors, folder / "bad.safetensors", metadata)

    return prepare


def _drop(tensors: dict[str, torch.Tensor]) -> None:
    del tensors[min(name for name in tensors if name.startswith("ema."))]


def _add(tensors: dict[str, torch.Tensor]) -> None:
    tensors["ema.module.kazoo.weight"] = torch.zeros(3)


def _reshape(tensors: dict[str, torch.Tensor]) -> None:
    name = min(name for name in tensors if tensors[name].dim() > 1)
    tensors[name] = tensors[name][:, :0].clone()


class _Code:
    def __reduce__(self) -> tuple:
        return os.system, ("touch executed",)


def _pickle(content: Any) -> Callable[[Path, Path], None]:
    def prepare(folder: Path, _: Path) -> None:
        torch.save(content, folder / "bad.ckpt")

    return prepare


def _weights() -> list[Case]:
    bytes_ = {
        "cut in half": lambda content: content[: len(content) // 2],
        "only eight bytes": lambda content: content[:8],
        "header longer than the file": lambda content: (2**40).to_bytes(8, "little") + content[8:],
        "header of 2^63 bytes": lambda content: (2**63 - 1).to_bytes(8, "little") + content[8:],
        "header of zero bytes": lambda content: bytes(8) + content[8:],
        "header of other bytes": lambda content: content[:9] + bytes(300) + content[309:],
        "more at the end": lambda content: content + bytes(100),
        "empty": lambda content: b"",
    }
    found = [Case(f"weights: {name}", INSPECT, ("bad.",), prepare=_damaged(change)) for name, change in bytes_.items()]
    changes = {"tensor missing": _drop, "tensor unknown": _add, "tensor of another shape": _reshape}
    for name, change in changes.items():
        found.append(Case(f"weights: {name}", START, ("bad.",), prepare=_tensors(change)))
    inspect = (*INSPECT[:-1], "bad.ckpt")
    pickles = {
        "a number": 5,
        "a list": [1],
        "an empty map": {},
        "code": {"state_dict": _Code()},
        "a state of numbers": {"state_dict": {"vae.x": 5}},
        "keys of numbers": {"state_dict": {5: torch.zeros(1)}},
        "unknown tensors": {"state_dict": {"kazoo": torch.zeros(1)}},
        "header a list": {"state_dict": {"model.unet.x": torch.zeros(1)}, "synctrack": [1]},
        "step a string": {"state_dict": {"decoder.x": torch.zeros(1)}, "global_step": "many"},
    }
    for name, content in pickles.items():
        found.append(Case(f"torch file: {name}", inspect, ("bad.ckpt",), prepare=_pickle(content)))
    return found


def cases() -> list[Case]:
    """All of them."""
    found = _weights()
    for name, content in NOT_JSON.items():
        files = {"out/manifest.json": content}
        found.append(Case(f"manifest of grooves: {name}", GROOVES, ("out",), files))
        found.append(Case(f"manifest of clips: {name}", GENERATE, ("out",), files))
        found.append(
            Case(f"manifest of latents: {name}", FROM_LATENTS, ("latents",), {"latents/train/manifest.json": content})
        )
        found.append(Case(f"song.json: {name}", REDO, ("song.json",), prepare=_song(content)))
    for name, manifest in MANIFESTS.items():
        files = {"out/manifest.json": json.dumps(manifest)}
        found.append(Case(f"manifest of grooves: {name}", GROOVES, ("out",), files))
        found.append(Case(f"manifest of clips: {name}", GENERATE, ("out",), files))
        latents = {"latents/train/manifest.json": json.dumps(manifest)}
        found.append(Case(f"manifest of latents: {name}", FROM_LATENTS, ("latents",), latents))
    for name, changed in SONGS.items():
        found.append(Case(f"song.json: {name}", REDO, ("song",), prepare=_song(changed)))
    for name in ("format a string", "stems a string", "rate huge"):
        found.append(Case(f"song.json, made again: {name}", AGAIN, ("song",), prepare=_song(SONGS[name])))
    for name, entries in HEADERS.items():
        found.append(Case(f"header: {name}", INSPECT, ("bad.safetensors",), prepare=_header(_replaced(entries))))
    texts = {"deep": 100_000 * "[", "a list": "[1]", "a number": "5", "not JSON": "{", "empty": "", "NaN": "NaN"}
    for name, text in texts.items():
        found.append(Case(f"header: {name}", INSPECT, ("bad.safetensors",), prepare=_header(lambda _, text=text: text)))
    return found
