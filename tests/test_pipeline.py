"""SyncTrack from Python: names of models, seeds, lengths, folders to share; the same as the command gives."""

import json
import sys

import numpy as np
import pytest
import soundfile
import torch

import synctrack.pipeline
from helpers.commands import only_error
from synctrack import SyncTrack, load_songs
from synctrack.checkpoint import pretrained
from synctrack.cli import main as command
from synctrack.demo_weights import demo_checkpoint
from synctrack.devices import check_precision
from synctrack.errors import InputError

pytestmark = pytest.mark.medium

QUICK = {"seconds": 0.64, "steps": 2}


@pytest.fixture(scope="module")
def model() -> SyncTrack:
    return SyncTrack.from_pretrained("demo", device="cpu")


def run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["synctrack", *map(str, arguments)])
    command.main()


def refusal(monkeypatch, capsys, *arguments: object) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *arguments)
    assert stopped.value.code == 2
    return only_error(capsys.readouterr().err)


def test_demo_model_needs_no_configuration(model):
    assert model.stems == ("bass", "drums", "guitar", "piano")
    assert (model.sample_rate, model.trained_seconds) == (16000, 5.12)
    song = model.generate(seed=7, **QUICK)
    assert song["drums"].dtype == np.float32
    assert song["drums"].shape == (10240,)
    assert np.abs(song.mix).max() <= 10 ** (-1 / 20) + 1e-6
    assert song.info["model"]["sha256"] == model.checkpoint.sha256


def test_clip_of_a_seed_is_the_same_for_any_number_of_clips_and_batch_size(model):
    alone = model.generate(seed=4, **QUICK)
    several = model.generate(seed=4, clips=3, **QUICK)
    batch = model.generate(seed=4, clips=3, batch_size=3, **QUICK)
    assert len(several) == 3
    for stem in model.stems:
        assert (several[0][stem] == alone[stem]).all()
        np.testing.assert_allclose(batch[0][stem], alone[stem], atol=1e-3)
    assert np.abs(several[1]["drums"] - several[0]["drums"]).max() > 0.01


def test_several_seeds_give_the_first_song_of_each(model):
    first, second = model.generate(seed=[4, 9], **QUICK)
    assert (first["bass"] == model.generate(seed=4, **QUICK)["bass"]).all()
    assert second.info["seed"] == 9


def test_report_is_told_of_every_step_and_stops_the_generation_by_raising(model):
    checked, keys, told = model.check(**QUICK), [(0, 0), (0, 1)], []
    songs = list(model.produce(checked, keys, report=lambda *progress: told.append(progress)))
    total = 2 * QUICK["steps"]
    assert told == [(done, total) for done in range(total + 1)]
    assert len(songs) == 2

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        if done:
            raise InterruptedError

    told.clear()
    with pytest.raises(InterruptedError):
        list(model.produce(checked, keys, report=stop))
    assert told == [(0, total), (1, total)]


def test_command_writes_the_songs_that_python_gives(model, monkeypatch, tmp_path):
    out = tmp_path / "out"
    run(
        monkeypatch,
        "generate",
        "--out",
        out,
        "--clips",
        2,
        "--seed",
        4,
        "--seconds",
        0.64,
        "--steps",
        2,
        "--device",
        "cpu",
    )
    names = {"bass.wav", "drums.wav", "guitar.wav", "piano.wav", "mix.wav", "song.json"}
    assert {path.name for path in (out / "clip_001").iterdir()} == names
    written, ours = load_songs(out), model.generate(seed=4, clips=2, **QUICK)
    for theirs, mine in zip(written, ours, strict=True):
        for stem in model.stems:
            np.testing.assert_allclose(theirs[stem], mine[stem], atol=1.01 * 2**-15)
        assert theirs.info["gain"] == mine.info["gain"]


def test_command_keeps_complete_clips_and_refuses_other_settings(monkeypatch, tmp_path, capsys):
    arguments = ["generate", "--out", tmp_path / "out", "--seconds", 0.32, "--steps", 1, "--device", "cpu"]
    run(monkeypatch, *arguments)
    before = (tmp_path / "out" / "clip_000" / "song.json").stat().st_mtime_ns
    run(monkeypatch, *arguments, "--clips", 2)
    assert (tmp_path / "out" / "clip_000" / "song.json").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "clip_001" / "song.json").is_file()
    line = refusal(monkeypatch, capsys, *arguments, "--seed", 1)
    assert "was created with different settings (seed 0, now 1); choose another --out" in line


@pytest.mark.parametrize("file_format", ["wav24", "flac"])
def test_command_writes_the_asked_format(monkeypatch, tmp_path, file_format):
    out = tmp_path / "out"
    run(
        monkeypatch,
        "generate",
        "--out",
        out,
        "--seconds",
        0.32,
        "--steps",
        1,
        "--format",
        file_format,
        "--device",
        "cpu",
    )
    suffix = "flac" if file_format == "flac" else "wav"
    assert soundfile.info(out / "clip_000" / f"mix.{suffix}").subtype == "PCM_24"


def test_length_is_rounded_to_the_models_frames_with_a_warning(model, caplog):
    song = model.generate(seconds=1.0, steps=1)
    assert song.seconds == pytest.approx(0.96)
    assert "1 s is rounded to 0.96 s, a multiple of 0.32 s" in caplog.text
    assert "was trained on" not in caplog.text


def test_length_beyond_the_trained_one_works_with_a_warning(model, caplog):
    song = model.generate(seconds=7.68, steps=1, long="whole")
    assert song.seconds == pytest.approx(7.68)
    assert "the model was trained on 5.12 s" in caplog.text
    assert "rounded" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0.0}, "seconds: 0.0 is not a number above 0"),
        ({"seconds": float("nan")}, "seconds: nan is not a number above 0"),
        ({"seconds": float("inf")}, "seconds: inf is not a number above 0"),
        ({"steps": 0}, "steps: 0 is not a whole number between 1 and 1000"),
        ({"steps": 1001}, "steps: 1001 is not a whole number between 1 and 1000"),
        ({"sampler": "euler"}, "must be one of ddim, dpmpp_2m, dpmpp_2m_sde"),
        ({"eta": 0.5}, "eta: has no effect on dpmpp_2m_sde"),
        ({"eta": 2.0, "sampler": "ddim"}, "eta: 2.0 is not between 0 and 1"),
        ({"seed": -1}, "seed: -1 is not between 0 and"),
        ({"seed": []}, "there must be at least one"),
        ({"clips": 0}, "clips: 0 is not between 1 and"),
        ({"seed": [1, 2], "clips": 2}, "clips: give one seed"),
        ({"batch_size": -1}, "batch_size: -1 is not between 1 and"),
    ],
)
def test_settings_out_of_bounds_are_refused(model, settings, message):
    with pytest.raises(InputError, match=message):
        model.generate(**settings)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"device": "tpu"}, "device tpu: must be one of"),
        ({"precision": "float8"}, "must be one of float32, bfloat16, float16"),
        ({"device": "cpu", "precision": "float16"}, "float16 needs a GPU"),
        ({"revision": "main"}, "revision: demo is not on the Hub"),
    ],
)
def test_devices_and_precisions_that_are_not_available_are_refused(how, message):
    with pytest.raises(InputError, match=message):
        SyncTrack.from_pretrained("demo", **how)


@pytest.mark.parametrize(
    ("precision", "capability", "warned"),
    [
        ("bfloat16", "AVX2", True),
        ("bf16-mixed", "AVX2", True),
        ("bfloat16", "AVX512", False),
        ("float32", "AVX2", False),
    ],
)
def test_bfloat16_warns_on_processors_that_emulate_it(precision, capability, warned, monkeypatch, caplog):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    check_precision(precision, torch.device("cpu"))
    assert ("emulated by this CPU" in caplog.text) == warned


def test_bfloat16_is_close_to_float32(model):
    half = SyncTrack.from_pretrained("demo", device="cpu", precision="bfloat16").generate(seed=1, **QUICK)
    full = model.generate(seed=1, **QUICK)
    error = np.abs(half.mix - full.mix).mean() / np.abs(full.mix).mean()
    assert 0 < error < 0.5


def test_saved_model_generates_the_same_bits(model, tmp_path):
    folder = model.save_pretrained(tmp_path / "model")
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert json.loads((folder / "config.json").read_text())["stems"] == list(model.stems)
    card = (folder / "README.md").read_text()
    assert "bass, drums, guitar, piano" in card
    assert "5.12 s at 16000 Hz" in card
    again = SyncTrack.from_pretrained(folder, device="cpu")
    for stem in model.stems:
        assert (again.generate(seed=2, **QUICK)[stem] == model.generate(seed=2, **QUICK)[stem]).all()


def test_hub_model_is_one_download_of_one_file(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(repo_id, filename, revision=None):
        asked.append((repo_id, filename, revision))
        return str(demo_checkpoint())

    monkeypatch.setattr(hub, "hf_hub_download", download)
    model = SyncTrack.from_pretrained("someone/some-model", device="cpu", revision="v1")
    assert asked == [("someone/some-model", "model.safetensors", "v1")]
    assert model.stems[0] == "bass"


def test_what_is_done_between_two_songs_is_not_inference(model):
    songs = model.stream([(0, 0), (1, 0)], steps=1, seconds=0.64, batch_size=1)
    next(songs)
    assert not torch.is_inference_mode_enabled()
    assert torch.ones(1, requires_grad=True).mul(2).requires_grad


def test_missing_hub_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'synctrack\[hub\]'"):
        SyncTrack.from_pretrained("someone/some-model")


@pytest.mark.parametrize("name", ["gone.ckpt", "folder/gone.safetensors", "no such/thing at all", "dmeo"])
def test_unknown_model_is_refused(name):
    with pytest.raises(InputError, match="no such model"):
        pretrained.find_pretrained(name)


def test_run_folder_without_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds neither model\.safetensors nor checkpoints"):
        SyncTrack.from_pretrained(tmp_path)


def test_run_folder_gives_its_last_checkpoint(tmp_path):
    last = tmp_path / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.symlink_to(demo_checkpoint())
    assert pretrained.find_pretrained(tmp_path) == last


def test_model_whose_output_is_not_finite_is_refused(model, monkeypatch):
    monkeypatch.setattr(model.model, "decode", lambda latent: torch.full((1, 4, 10), float("nan")))
    with pytest.raises(InputError, match="samples that are not numbers"):
        model.generate(**QUICK)


def test_default_sampler_is_in_the_table():
    from synctrack.diffusion.samplers import SAMPLERS

    assert synctrack.pipeline.SAMPLER in SAMPLERS
