"""Arguments of every command: out of bounds, of another type, contradicting, unknown."""

from campaign.cases import GENERATE, QUICK, Case

HUGE = "1" + 31 * "0"

SYNTHETIC = ("prepare_data.py", "synthetic", "--out", "out", "--workers", "1")
SLAKH = ("prepare_data.py", "slakh", "--out", "out")
MIDI = ("prepare_data.py", "midi", "--midi", "{shared}/midi", "--out", "out")
LATENTS = ("prepare_data.py", "latents", "--config", "{shared}/small.yaml", "--out", "out")
SCORE = ("synctrack", "score", "--beats", "{shared}/beats.json")
CBS = ("eval_metrics/CBS.py", "--beats", "{shared}/beats.json")
CHECK = ("synctrack", "check")
REPORT = ("synctrack", "report")
FAD = ("eval_metrics/FAD.py",)
SEPARATE = ("synctrack", "separate", "{shared}/data/train/Groove00000/bass.wav", "--out", "out", *QUICK)
EVALUATE = ("synctrack", "evaluate", "{shared}/small.safetensors", "data.params.path.valid_data={shared}/data/train")

TABLE: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    # (command, option, its values)
    (
        (*SYNTHETIC, "--songs", "1"),
        "--seconds",
        ("inf", "1e12", "nan", "-1", "0", "x", "", "1e999", "0x10", "86401"),
    ),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--rate", ("4000000000", "3000000", "0", "-8000", "8000.5", "x")),
    ((*SYNTHETIC, "--seconds", "1"), "--songs", (HUGE, "0", "-1", "1.5", "x", 5000 * "9", "1000000000000")),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--seed", ("-1", "x", "1e3", HUGE + HUGE, 5000 * "9")),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--drift", ("nan", "0.5", "-0.1", "inf", "x")),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--bpm", ("nan nan", "160 70", "1 500", "inf inf", "x y", "100")),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--meter", ("5", "0", "-4", "x")),
    ((*SYNTHETIC, "--songs", "1", "--seconds", "1"), "--stems", ("kazoo", "bass bass", "../bass")),
    ((*SYNTHETIC[:4], "--songs", "1", "--seconds", "1"), "--workers", ("0", "-1", "x", "100000", HUGE)),
    (SLAKH, "--root", ("nowhere", "{shared}/beats.json", 300 * "r", "")),
    ((*SLAKH, "--root", "{shared}/data"), "--split", ("train ../x", "nonsense")),
    ((*SLAKH, "--root", "{shared}/data"), "--format", ("mp3", "")),
    (MIDI, "--max-seconds", ("nan", "0", "-1", "inf", "x")),
    (MIDI, "--soundfont", ("nowhere.sf2", "{shared}/beats.json", "/dev/zero")),
    (MIDI, "--stem-map", ("nowhere.yaml", "{shared}", "/dev/zero")),
    (MIDI, "--rate", ("3000000", "0", "x")),
    (LATENTS, "--offsets", ("0", "-1", "1000000000", "x")),
    (("prepare_data.py", "beats"), "", ("nowhere", "{shared}/beats.json", 300 * "b")),
    (("prepare_data.py", "beats", "{shared}/data/train"), "--workers", ("0", "x", "100000")),
    (("prepare_data.py", "beats", "{shared}/data/train"), "--tracker", ("ear", "")),
    (SCORE, "--seed", ("-1", "x", "1.5", HUGE + HUGE)),
    (SCORE, "--window_size", ("1e-9", "0", "-1", "nan", "inf", "x", "1e9")),
    (SCORE, "--workers", ("0", "-1", "x", "100000")),
    (SCORE, "--protocol", ("mine", "")),
    (SCORE, "--tracker", ("ear",)),
    (SCORE, "--stems", ("a", "a,a", ",")),
    (SCORE, "--truth", ("nowhere", "/dev/zero", 300 * "t")),
    (SCORE, "--reference", ("nowhere", "/dev/zero", "{shared}/small.yaml")),
    # Of the devices, the one that nothing else needs: a fault could replace it by a file.
    (SCORE, "--json", ("/dev/full", "{shared}", "/proc/x.json", "{shared}/beats.json/x.json", 300 * "j")),
    (SCORE, "--csv", ("/dev/full", "{shared}", "/proc/x.csv")),
    (CBS, "--window_size", ("1e-9", "0", "nan", "inf")),
    (("synctrack", "score"), "--folder", ("nowhere", "{shared}/beats.json", "/dev/null", 300 * "f", ".")),
    ((*CHECK, "{shared}/data/train"), "--layout", ("round",)),
    ((*CHECK, "{shared}/data/train"), "--stems", ("bass", "bass,kazoo")),
    ((*CHECK, "{shared}/data/train"), "--json", ("/dev/full", "{shared}")),
    (CHECK, "", ("nowhere", "{shared}/beats.json", "/dev/null")),
    ((*REPORT, "{shared}/data/train"), "--max-mb", ("nan", "-1", "inf", "x", "1e9")),
    ((*REPORT, "{shared}/data/train"), "--stems", ("bass", "kazoo,tuba")),
    (REPORT, "", ("nowhere", "{shared}/beats.json")),
    ((*FAD, "--folder", "{shared}/data/train", "--reference", "{shared}/data/train"), "--embedding", ("nose", "")),
    ((*FAD, "--folder", "{shared}/data/train", "--reference", "{shared}/data/train"), "--seed", ("-1", "x")),
    ((*FAD, "--reference", "{shared}/data/train"), "--folder", ("nowhere", "{shared}/beats.json")),
    ((*FAD, "--folder", "{shared}/data/train"), "--reference", ("nowhere", "{shared}/beats.json")),
    (GENERATE, "--clips", ("0", "-1", "x", HUGE, "1000000000")),
    (GENERATE, "--seconds", ("0", "-1", "nan", "inf", "1e12", "x")),
    (GENERATE, "--seed", ("-1", "x", HUGE + HUGE)),
    (GENERATE, "--sampler", ("euler", "")),
    (GENERATE[:-2], "--steps", ("0", "-1", "x", "100000", HUGE)),
    ((*GENERATE, "--sampler", "ddim"), "--eta", ("2", "100", "-1", "nan", "inf")),
    (GENERATE, "--eta", ("0.5",)),
    (GENERATE, "--batch-size", ("0", "-1", "x", HUGE)),
    (GENERATE, "--device", ("abacus", "cuda:99", "")),
    (GENERATE, "--precision", ("float8", "float16", "")),
    (GENERATE, "--format", ("mp3", "")),
    (GENERATE, "--sample-rate", ("0", "-1", "4000000000", "x")),
    (GENERATE, "--bpm", ("0", "-1", "nan", "inf", "1e9", "x")),
    ((*GENERATE, "--bpm", "100"), "--meter", ("0", "-1", "x", "65")),
    ((*GENERATE, "--bpm", "100"), "--bars", ("0", "-1", "x", "1e3", HUGE, "5-8", "²")),
    (GENERATE, "--bars", ("4",)),
    (GENERATE, "--beats", ("nowhere.json", "{shared}/small.yaml", "/dev/zero")),
    (GENERATE, "--given", ("drums", "drums=", "=x.wav", "kazoo={shared}/data/train/Groove00000/bass.wav")),
    (GENERATE, "--given", ("drums=nowhere.wav", "drums={shared}/beats.json", "drums={shared}", "drums=/dev/null")),
    ((*GENERATE, "--redo", "bass"), "--from", ("nowhere", "{shared}/beats.json", "{shared}/data")),
    (GENERATE, "--again", ("nowhere", "{shared}/beats.json", "{shared}/data")),
    ((*GENERATE, "--from", "{shared}/song"), "--redo", ("kazoo", "../drums")),
    ((*GENERATE, "--from", "{shared}/song", "--redo", "bass"), "--span", ("x", "2-1", "0-1e9", "nan-nan", "-")),
    ((*GENERATE, "--from", "{shared}/song", "--redo", "bass"), "--bars", ("y", "8-5", "0-1", "1-99999999")),
    ((*GENERATE, "--from", "{shared}/song"), "--extend", ("0", "-1", "nan", "inf", "1e12")),
    ((*GENERATE, "--from", "{shared}/song"), "--strength", ("2", "-1", "nan", "x", "drums=x", "kazoo=0.5", "drums=2")),
    (GENERATE, "--best-of", ("0", "-1", "x", "100000")),
    (GENERATE, "--guidance", ("-1", "nan", "inf", "1e9", "x")),
    (GENERATE, "--resampling", ("-1", "x", "100000")),
    (GENERATE, "--long", ("tall", "")),
    (GENERATE[:4], "--model", ("nowhere", "{shared}/beats.json", "{shared}/data", "/dev/zero", 300 * "m", "")),
    (SEPARATE, "--method", ("knife", "")),
    (SEPARATE, "--guidance", ("nan", "-1")),
    (SEPARATE, "--best-of", ("0", "100000")),
    (EVALUATE, "--steps", ("0", "-1", "x", "1001", HUGE)),
    (("synctrack", "evaluate"), "", ("nowhere", "{shared}/beats.json", "{shared}/data")),
    (("synctrack", "checkpoint", "inspect"), "", ("nowhere", "{shared}/beats.json", "/dev/zero", "{shared}")),
)

OTHERS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    # (name, command, what must be named)
    ("unknown command", ("synctrack", "sing"), "sing"),
    ("empty command", ("synctrack", ""), "''"),
    ("unknown option", (*GENERATE, "--volume", "11"), "--volume"),
    ("no --out", ("synctrack", "generate"), "--out"),
    ("option without a value", ("synctrack", "generate", "--out"), "--out"),
    ("no data command", ("prepare_data.py",), "COMMAND"),
    ("unknown data command", ("prepare_data.py", "invent"), "invent"),
    ("no folder", ("synctrack", "score"), "--folder"),
    ("folder and beats", (*SCORE, "--folder", "x"), "--beats"),
    ("no config", ("train_synctrack.py",), "--config"),
    ("config without a file", ("train_synctrack.py", "--config"), "--config"),
    ("unknown training option", ("train_synctrack.py", "--config", "{shared}/small.yaml", "--fast"), "--fast"),
    ("train without a file", ("synctrack", "train"), "CONFIG"),
    ("no key=value", ("synctrack", "train", "{shared}/small.yaml", "seed"), "seed"),
    ("key=value alone", ("synctrack", "train", "=5"), "=5"),
    ("eval of a training", ("eval_synctrack.py", "--config", "{shared}/small.yaml", "mode=train"), "mode"),
    ("training of a test", ("train_synctrack.py", "--config", "{shared}/small.yaml", "mode=test"), "mode"),
    ("no checkpoint command", ("synctrack", "checkpoint"), "COMMAND"),
    ("convert to nothing", ("synctrack", "checkpoint", "convert", "{shared}/small.safetensors"), "out"),
    ("convert to a picture", ("synctrack", "checkpoint", "convert", "{shared}/small.safetensors", "x.png"), "x.png"),
    (
        "convert to a device",
        ("synctrack", "checkpoint", "convert", "{shared}/small.safetensors", "/proc/x.safetensors"),
        "/proc/x.safetensors",
    ),
    ("diff with nothing", ("synctrack", "checkpoint", "diff", "{shared}/small.safetensors"), "config"),
    ("stem given twice", (*GENERATE, "--given", "drums=a.wav", "drums=b.wav"), "--given"),
    ("again with a tempo", (*GENERATE, "--again", "{shared}/song", "--bpm", "100"), "bpm"),
    ("tempo and beats", (*GENERATE, "--bpm", "100", "--beats", "{shared}/song.txt"), "bpm"),
    ("redo without a song", (*GENERATE, "--redo", "bass"), "redo"),
    ("a newline in an option", (*GENERATE, "--clips", "1\n2"), "--clips"),
    ("a missing mix", ("synctrack", "separate", "nowhere.wav", "--out", "out"), "nowhere.wav"),
    ("override of the checkpoint", (*EVALUATE, "model.params.unet.model_channels=64"), "model.params.unet"),
)


def _case(command: tuple[str, ...], option: str, value: str) -> Case:
    values = value.split() if option in ("--bpm", "--stems", "--split") and " " in value else [value]
    # An option's value that begins with a minus sign needs the equals sign.
    words = [f"{option}={value}"] if value.startswith("-") and option else [option, *values] if option else [value]
    named = option.lstrip("-") or value.replace("{shared}", "")
    path = [part for part in (value.partition("=")[2] or value).split("/") if part and part != "{shared}"]
    shown = value if len(value) < 40 else f"{value[:20]}…{len(value)}"
    program = " ".join(command[: 2 if command[0] in ("synctrack", "prepare_data.py") else 1])
    # Shorter ones are in many a line by chance.
    names = (named, *(part[:80] for part in path[-1:] or ["shared"] if len(part) >= 3 and value))
    return Case(f"{program} {option} {shown}", (*command, *words), names)


def cases() -> list[Case]:
    """All of them."""
    found = [_case(command, option, value) for command, option, values in TABLE for value in values]
    return found + [Case(name, command, (named,)) for name, command, named in OTHERS]
