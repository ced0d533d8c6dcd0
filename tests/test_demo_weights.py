"""The weights in ckpt/demo: small enough, complete, and good for music that they were not trained on."""

import librosa
import numpy as np
import pytest
import torch
from safetensors import safe_open

import first_stages
import stem_identity
from helpers.commands import ROOT, run_in
from helpers.small_model import STEMS
from synctrack import Song, SyncTrack, score
from synctrack.checkpoint.loading import load_for_evaluation
from synctrack.config import load_config
from synctrack.data.sources.grooves import write_grooves
from synctrack.metrics.stem_identity import share, train
from synctrack.models.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.medium

DEMO = ROOT / "ckpt" / "demo"
FILES = {kind: DEMO / f"{kind}.safetensors" for kind in ("vae", "vocoder", "synctrack")}
CONFIG = [ROOT / "config" / "synctrack_train.yaml", ROOT / "config" / "demo.yaml"]


def test_files_are_small_and_in_half_precision():
    assert sum(path.stat().st_size for path in FILES.values()) < 20e6
    for path in FILES.values():
        with safe_open(path, "pt") as file:
            assert {file.get_slice(name).get_dtype() for name in file.keys()} <= {"F16", "I64", "I32"}  # noqa: SIM118


def test_whole_model_contains_the_separate_first_stages(monkeypatch):
    monkeypatch.chdir(ROOT)
    config = load_config(CONFIG)
    model = LatentDiffusion(config.model.params, STEMS)
    info = load_for_evaluation(model, FILES["synctrack"])
    assert info.step > 0
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    alone = first_stages.FirstStages(
        load_config(CONFIG, [f"model.params.{kind}_ckpt_path={FILES[kind]}" for kind in ("vae", "vocoder")])
    )
    for part in ("vae", "vocoder"):
        for name, tensor in getattr(alone, part).state_dict().items():
            torch.testing.assert_close(before[f"{part}.{name}"], tensor, atol=0, rtol=0)


@pytest.fixture(scope="module")
def grooves(tmp_path_factory):
    """Grooves that no training has seen, in `train` (for the classifier) and `test`."""
    folder = tmp_path_factory.mktemp("grooves")
    write_grooves(folder / "train", 16, 15.5, 16000, seed=100, workers=0)
    write_grooves(folder / "test", 8, 5.2, 16000, seed=101, workers=0)
    return folder


def test_first_stages_reconstruct_grooves(grooves):
    keys = [f"data.params.path.valid_data={grooves / 'test'}"]
    keys += [f"model.params.{kind}_ckpt_path={FILES[kind]}" for kind in ("vae", "vocoder")]
    result = first_stages.measure(load_config(CONFIG, keys), clips=4)
    assert result["mel_l1"]["vae"] < 0.35
    assert result["mel_l1"]["vocoder"] < 0.4
    assert result["drum_beats"]["segments"] == 4
    assert result["drum_beats"]["f_measure"] >= 0.9


@pytest.mark.slow
def test_generated_stems_sound_like_their_instruments(grooves, tmp_path):
    files = [ROOT / "config" / name for name in ("synctrack_eval.yaml", "demo.yaml", "demo_eval.yaml")]
    keys = [f"data.params.path.valid_data={grooves / 'test'}", f"model.params.ckpt_path={FILES['synctrack']}"]
    out = tmp_path / "clips"
    run_in(tmp_path, "eval_synctrack.py", "--config", *files, *keys, f"evaluation.out={out}")
    audio = stem_identity.clip_format(out)
    classifier = train(stem_identity.read_clips(grooves / "train", STEMS, audio), STEMS, audio)
    named = share(classifier, stem_identity.read_clips(out, STEMS, audio), STEMS, audio)
    assert named["share"] >= 0.9


@pytest.mark.slow
def test_stems_keep_the_tempo_that_they_are_asked_for():
    """In six tempi and both meters, against the same seeds without a tempo: onsets on its eighths, and CBS."""
    model = SyncTrack.from_pretrained("demo")
    asked = [(74.0, 4), (88.0, 3), (101.0, 4), (117.0, 3), (133.0, 4), (150.0, 4)]
    songs = [model.generate(seed=seed, bpm=bpm, meter=meter) for seed, (bpm, meter) in enumerate(asked)]
    free = [model.generate(seed=seed, beats="none") for seed in range(len(asked))]
    on_time = [on_the_grid(song, bpm) for song, (bpm, _) in zip(songs, asked, strict=True)]
    by_chance = [on_the_grid(song, bpm) for song, (bpm, _) in zip(free, asked, strict=True)]
    assert np.mean(on_time) > 0.8
    assert np.mean(by_chance) < 0.6
    assert float(score(songs, cache=False).cbs) > float(score(free, cache=False).cbs) + 0.15


def on_the_grid(song: Song, bpm: float) -> float:
    """The share of the drums' onsets within 35 ms of an eighth of the asked tempo."""
    onsets = librosa.onset.onset_detect(y=song["drums"], sr=song.sample_rate, hop_length=160, units="time")
    step = 60.0 / bpm / 2
    distance = np.abs((onsets + step / 2) % step - step / 2)
    return float((distance < 0.035).mean())
