"""Fréchet distances of folders: the golden VGGish embeddings, bias of FAD-infinity and KAD, and the command."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from helpers.filler import chirp_wave, fill
from helpers.metrics_corpus import clicks
from synctrack.errors import InputError
from synctrack.metrics.fad.distances import frechet_infinity, kernel_distance
from synctrack.metrics.fad.embed import make_embedding
from synctrack.metrics.fad.mel import DIMENSIONS, mel_embeddings
from synctrack.metrics.fad.vggish import VGGish, load_vggish, log_mel_patches, vggish_embeddings
from synctrack.metrics.frechet import frechet_distance

GOLDEN = Path(__file__).parent / "fixtures" / "golden_vggish.npz"


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in VGGish().state_dict().items()}
    torch.save({key: torch.from_numpy(fill(key, shape, "vggish.")) for key, shape in shapes.items()}, path)
    return path


@pytest.mark.medium
def test_vggish_gives_the_published_evaluations_embeddings(weights):
    golden, model = np.load(GOLDEN), load_vggish(weights)
    wave = chirp_wave()
    np.testing.assert_allclose(log_mel_patches(wave)[::3], golden["examples_chirp"], atol=1e-4)
    np.testing.assert_allclose(vggish_embeddings(model, wave), golden["embeddings_chirp"], atol=1e-4)
    silence = vggish_embeddings(model, np.zeros(32000, np.float32))
    np.testing.assert_allclose(silence, golden["embeddings_silence"], atol=1e-4)


@pytest.mark.medium
def test_vggish_is_read_strictly(tmp_path, weights):
    state = torch.load(weights, weights_only=True)
    state["embeddings.5.weight"] = state.pop("embeddings.4.weight")
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(InputError, match="is not VGGish \\(2 keys differ"):
        load_vggish(tmp_path / "other.pth")
    (tmp_path / "broken.pth").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"broken.pth: "):
        load_vggish(tmp_path / "broken.pth")


def test_extrapolated_distance_is_less_biased_than_the_plain_one():
    rng = np.random.default_rng(0)
    sets = [(rng.standard_normal((300, 32)), rng.standard_normal((300, 32)) + 0.2) for _ in range(10)]
    truth = 32 * 0.2**2
    plain = np.mean([frechet_distance(*pair) for pair in sets]) - truth
    infinite = np.mean([frechet_infinity(*pair) for pair in sets]) - truth
    assert plain > 1
    assert abs(infinite) < 0.2 * plain


def test_kernel_distance_is_unbiased_and_that_of_its_definition():
    rng = np.random.default_rng(1)
    same = [kernel_distance(rng.standard_normal((40, 8)), rng.standard_normal((60, 8)), 3.0) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(200)
    x, y = rng.standard_normal((3, 2)), rng.standard_normal((4, 2))

    def kernel(a, b):
        return np.exp(-np.sum((a - b) ** 2) / (2 * 1.5**2))

    within_x = np.mean([kernel(x[i], x[j]) for i in range(3) for j in range(3) if i != j])
    within_y = np.mean([kernel(y[i], y[j]) for i in range(4) for j in range(4) if i != j])
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y, 1.5) == pytest.approx(within_x + within_y - 2 * across)


def test_too_few_embeddings_have_no_extrapolation():
    with pytest.raises(ValueError, match="too few"):
        frechet_infinity(np.zeros((7, 2)), np.zeros((9, 2)))


def test_mel_embeddings_have_a_row_for_each_patch():
    assert mel_embeddings(np.zeros(163840, np.float32)).shape == (10, DIMENSIONS)
    assert mel_embeddings(np.zeros(100, np.float32)).shape == (1, DIMENSIONS)


def test_embeddings_that_need_weights_say_so(tmp_path):
    with pytest.raises(InputError, match="must be one of mel, vggish, clap"):
        make_embedding("openl3")
    with pytest.raises(InputError, match="needs --weights"):
        make_embedding("vggish")
    with pytest.raises(InputError, match="is not there"):
        make_embedding("clap", tmp_path / "nowhere")


@pytest.mark.medium
def test_command_writes_distances_and_names_silent_files(tmp_path, run, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for folder, level in (("ours", 0.0), ("real", 0.0), ("noisy", 0.05)):
        for song in range(6):
            for stem in ("bass", "drums"):
                wave = clicks(np.arange(0.2, 3, rng.uniform(0.3, 0.6)), 3.0, 16000)
                wave = wave + level * rng.standard_normal(len(wave))
                path = tmp_path / folder / f"song {song}" / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, wave * (folder != "noisy" or song > 0), 16000)

    def distances(folder: str) -> tuple[dict, str]:
        command = ("--folder", folder, "--reference", "real", "--subset", "bass,drums", "--json", "fad.json")
        output = run("eval_metrics/FAD.py", *command).stdout
        return json.loads((tmp_path / "fad.json").read_text())["distances"], output

    ours, output = distances("ours")
    assert list(ours) == ["bass", "drums", "bass+drums", "mix"]
    assert "bass: 18 patches for 96 dimensions" in output
    noisy, output = distances("noisy")
    assert noisy["bass"]["fad"] > 10 * ours["bass"]["fad"]
    assert noisy["bass"]["kad"] > ours["bass"]["interval_95"]["kad"][1]
    assert "bass: silent: noisy/song 0/bass.wav" in output
    assert distances("noisy")[0] == noisy
    refused = run("eval_metrics/FAD.py", "--folder", "ours", "--reference", "real", "--embedding", "x", check=False)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
