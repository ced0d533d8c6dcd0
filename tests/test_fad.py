"""Fréchet distances of folders: the golden VGGish embeddings, bias of FAD-infinity and KAD, and the command."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import soundfile
import torch

from helpers.filler import chirp_wave, fill
from helpers.metrics_corpus import clicks
from synctrack.cli import score
from synctrack.cli.fad import run_fad
from synctrack.errors import InputError
from synctrack.metrics.fad.distances import frechet_infinity, gaussian_kernels, kernel_distance
from synctrack.metrics.fad.embed import embed_files, make_embedding
from synctrack.metrics.fad.intervals import ROUNDS_KAD, infinity_interval, kernel_interval
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
    with pytest.raises(InputError, match="needs weights, the file of the torch port"):
        make_embedding("vggish")
    with pytest.raises(InputError, match="is not there"):
        make_embedding("clap", tmp_path / "nowhere")


def test_clap_without_transformers_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"embedding clap: needs transformers; pip install 'synctrack\[clap\]'"):
        make_embedding("clap", tmp_path)


def test_intervals_hold_the_true_distance_of_songs_whose_patches_are_alike():
    held = {"kad": 0, "fad_infinity": 0}
    rounds, songs, patches = 20, 40, 6
    owner = np.repeat(np.arange(songs), patches)
    owners = owner, owner
    for seed in range(rounds):
        rng = np.random.default_rng(seed)
        # The deviation within a song is 0.6, between songs 0.8: together 1.
        first, second = (
            0.8 * rng.standard_normal((songs, 3))[owner] + 0.6 * rng.standard_normal((len(owner), 3)) for _ in range(2)
        )
        second = second + 0.5
        kernels = gaussian_kernels(first, second)
        spans = {
            "kad": kernel_interval(kernel_distance(first, second, None, owners), kernels, owners, seed),
            "fad_infinity": infinity_interval(frechet_infinity(first, second, 0, owners), first, second, owners, seed),
        }
        # Closed forms for Gaussians of covariance 1; the kernel's bandwidth is the median distance within the second.
        distances = np.linalg.norm(second[:, None] - second, axis=2)
        scale = np.median(distances[np.triu_indices(len(second), 1)]) ** 2
        same, shifted = ((scale / (scale + 2)) ** 1.5 * np.exp(-square / (2 * (scale + 2))) for square in (0, 0.75))
        truth = {"kad": 2 * (same - shifted), "fad_infinity": 0.75}
        for name, (low, high) in spans.items():
            held[name] += low <= truth[name] <= high
    assert min(held.values()) >= 0.8 * rounds


def test_kernel_intervals_from_sums_of_songs_are_those_of_the_distance_itself():
    rng = np.random.default_rng(2)
    first, second = rng.standard_normal((30, 2)), rng.standard_normal((36, 2)) + 1
    owners = np.repeat(np.arange(10), 3), np.repeat(np.arange(12), 3)
    low, high = kernel_interval(1.0, gaussian_kernels(first, second), owners, 0)
    generator = np.random.default_rng(0)
    halves = [np.argsort(generator.random((ROUNDS_KAD, count)), axis=1) < count // 2 for count in (10, 12)]
    distances = np.linalg.norm(second[:, None] - second, axis=2)
    bandwidth = np.median(distances[np.triu_indices(36, 1)])
    draws = []
    for a, b in zip(*halves, strict=True):
        kept = a[owners[0]], b[owners[1]]
        songs = owners[0][kept[0]], owners[1][kept[1]]
        draws.append(kernel_distance(first[kept[0]], second[kept[1]], bandwidth, songs))
    assert (low + high) / 2 == pytest.approx(1.0)
    assert high - low == pytest.approx(2 * scipy.stats.t.ppf(0.975, ROUNDS_KAD - 1) * np.std(draws, ddof=1), rel=1e-4)


def test_patches_of_a_song_bias_neither_distance():
    """Two sets of one kind, whose songs differ as much as the patches of a song do: both distances are 0 on average."""
    owner = np.repeat(np.arange(20), 10)
    owners, found, plain = (owner, owner), [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        first, second = (rng.standard_normal((20, 8))[owner] + rng.standard_normal((200, 8)) for _ in range(2))
        found.append((kernel_distance(first, second, 4.0, owners), frechet_infinity(first, second, seed, owners)))
        plain.append((kernel_distance(first, second, 4.0), frechet_infinity(first, second, seed)))
    deviation = np.std(found, axis=0) / np.sqrt(30)
    assert (abs(np.mean(found, axis=0)) < 3 * deviation).all()
    assert (np.mean(plain, axis=0) > 4 * deviation).all()


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """`ours` and `real`, six songs of clicks of two stems, and `noisy`, whose first song is silent."""
    place = tmp_path_factory.mktemp("fad")
    rng = np.random.default_rng(0)
    for folder, level in (("ours", 0.0), ("real", 0.0), ("noisy", 0.05)):
        for song in range(6):
            for stem in ("bass", "drums"):
                wave = clicks(np.arange(0.2, 3, rng.uniform(0.3, 0.6)), 3.0, 16000)
                wave = wave + level * rng.standard_normal(len(wave))
                path = place / folder / f"song {song}" / f"{stem}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, wave * (folder != "noisy" or song > 0), 16000)
    return place


@pytest.mark.medium
def test_command_writes_distances_and_names_silent_files(folders, tmp_path, run, monkeypatch, capsys):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))

    def distances(folder: str, by_script: bool = False) -> tuple[dict, str]:
        command = ["--folder", folders / folder, "--reference", folders / "real", "--subset", "bass,drums"]
        command = [*map(str, command), "--json", str(tmp_path / "fad.json")]
        if by_script:
            output = run("eval_metrics/FAD.py", *command).stdout
        else:
            run_fad("", command)
            output = capsys.readouterr().out
        return json.loads((tmp_path / "fad.json").read_text())["distances"], output

    ours, output = distances("ours", by_script=True)
    assert list(ours) == ["bass", "drums", "bass+drums", "mix"]
    assert "bass, drums, bass+drums, mix: 18 patches for 96 dimensions" in output
    # The sum of all stems is the mix, where there is no file of one.
    assert ours["mix"] == ours["bass+drums"]
    noisy, output = distances("noisy")
    assert noisy["bass"]["fad"] > 10 * ours["bass"]["fad"]
    assert noisy["bass"]["kad"] > ours["bass"]["interval_95"]["kad"][1]
    assert re.search(r"bass: 1 silent: .*noisy/song 0/bass.wav", output)
    # From the cache, one of whose entries is damaged: the same.
    next((tmp_path / "cache" / "embeddings").glob("*/*.npz")).write_bytes(b"no archive")
    assert distances("noisy")[0] == noisy


@pytest.mark.medium
def test_command_says_which_stem_stands_for_which(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    for number, stem in enumerate(("bass", "drums")):
        for song in range(3):
            path = tmp_path / "numbered" / f"stem_{number}" / f"song {song}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(folders / "ours" / f"song {song}" / f"{stem}.wav", path)
    out = ["--json", str(tmp_path / "fad.json")]
    run_fad("", ["--folder", str(tmp_path / "numbered"), "--reference", str(folders / "real"), *out])
    line = "stems are matched by their order: stem_0 = bass, stem_1 = drums"
    output = capsys.readouterr().out
    assert line in output
    assert "reference: layout: one folder for each song" in output
    assert json.loads((tmp_path / "fad.json").read_text())["matched"] == [line]


@pytest.mark.medium
def test_damaged_mix_is_said_and_sums_of_stems_are_compared_instead(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    for side in ("ours", "real"):
        shutil.copytree(folders / side, tmp_path / side)
        for song in (tmp_path / side).iterdir():
            shutil.copy(song / "bass.wav", song / "mix.wav")
    (tmp_path / "ours" / "song 2" / "mix.wav").write_bytes(b"no audio")
    options = ["--subset", "bass,drums", "--json", str(tmp_path / "fad.json")]
    run_fad("", ["--folder", str(tmp_path / "ours"), "--reference", str(tmp_path / "real"), *options])
    found = json.loads((tmp_path / "fad.json").read_text())["distances"]
    assert found["mix"]["fad"] == found["bass+drums"]["fad"]
    assert re.search(r"mix: sums of stems, as .*song 2/mix.wav cannot be read", capsys.readouterr().out)


@pytest.mark.medium
def test_score_adds_distances_to_table_json_and_csv(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    files = ["--json", str(tmp_path / "scores.json"), "--csv", str(tmp_path / "scores.csv")]
    command = [str(folders / "ours"), "--reference", str(folders / "real"), "--protocol", "corrected", *files]
    score.main([*command, "--fad", "--fad-subset", "bass,drums"], "synctrack score")
    output = capsys.readouterr().out
    assert "Fréchet audio distances to" in output
    assert re.search(r"bass\+drums +\d", output)
    distances = json.loads((tmp_path / "scores.json").read_text())["frechet"]["distances"]
    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == "mel"]
    values = {(row["stem"], row["metric"]): float(row["value"]) for row in rows}
    assert values["mix", "kad"] == distances["mix"]["kad"]
    assert values["bass+drums", "fad_infinity_low"] == distances["bass+drums"]["interval_95"]["fad_infinity"][0]
    assert values["bass", "kad_low"] < values["bass", "kad"] < values["bass", "kad_high"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fad"], "--fad: compares audio"),
        (["--fad", "openl3", "--reference", "b"], "must be one of mel, vggish, clap"),
        (["--fad", "vggish", "--reference", "b"], "needs weights"),
        (["--fad-subset", "bass,drums"], "belong to --fad"),
    ],
)
def test_wrong_options_of_distances_are_refused(options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        score.main(["a", *options], "synctrack score")


@pytest.mark.medium
def test_channels_are_averaged_but_for_vggish_which_takes_the_first(tmp_path, weights, monkeypatch):
    monkeypatch.setenv("SYNCTRACK_CACHE", str(tmp_path / "cache"))
    wave = clicks(np.arange(0.2, 2.8, 0.4), 3.0, 16000)
    soundfile.write(tmp_path / "right.wav", np.stack([np.zeros_like(wave), wave], axis=1), 16000)
    soundfile.write(tmp_path / "both.wav", np.stack([wave / 2, wave / 2], axis=1), 16000)
    right, both = ([tmp_path / name] for name in ("right.wav", "both.wav"))
    mel = embed_files([right, both], make_embedding("mel"))
    assert mel.silent == []
    np.testing.assert_allclose(mel.values[mel.songs == 0], mel.values[mel.songs == 1], rtol=1e-3, atol=1e-3)
    assert embed_files([right, both], make_embedding("vggish", weights)).silent == right
