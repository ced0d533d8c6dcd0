"""`synctrack evaluate RUN|FILE`: a test set's clips from a checkpoint alone, without its YAML files."""

import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from synctrack.arguments import CommandParser
from synctrack.config import Config, load_config
from synctrack.errors import InputError, needs_extra

FROM_CHECKPOINT = "model.params."
ALLOWED = ("model.params.vocoder_ckpt_path",)


def main(argv: Sequence[str], prog: str) -> None:
    """Run the command."""
    parser = CommandParser(prog=prog, description="Generate a test set's clips and score them beside their targets.")
    parser.add_argument("model", metavar="RUN|FILE", help="a training's run folder, or a checkpoint")
    steps = "calls of the U-Net, one or more numbers (default: evaluation.steps, 200)"
    parser.add_argument("--steps", nargs="+", default=[], metavar="N", help=steps)
    out = "folder to create (default: evaluation in the run folder; evaluation_NAME for a file)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=out)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.params.path.valid_data=FOLDER")
    arguments = parser.parse_intermixed_args(argv)
    # argparse hands a key=value that follows the numbers to --steps.
    overrides = [item for item in [*arguments.steps, *arguments.overrides] if "=" in item]
    config = evaluation_config(arguments.model, overrides, arguments.out)
    timesteps = config.model.params.diffusion.timesteps
    numbers = [_steps(item, timesteps) for item in arguments.steps if "=" not in item] or [config.evaluation.steps]
    # Here and not above: Lightning takes seconds to import, and help needs none.
    with needs_extra("train", "evaluation"):
        from synctrack.training.evaluation import evaluate_steps
        from synctrack.training.monitoring import start_logging

    start_logging()
    evaluate_steps(config, list(dict.fromkeys(numbers)))


def _steps(text: str, timesteps: int) -> int:
    if not re.fullmatch("[0-9]{1,40}", text) or not 1 <= int(text) <= timesteps:
        raise InputError(f"--steps {text}: must be whole numbers between 1 and {timesteps}")
    return int(text)


def evaluation_config(model: str, overrides: Sequence[str], out: Path | None) -> Config:
    """The configuration of an evaluation: data and trainer from the run's config.yaml, the model from the checkpoint.

    Raises:
        InputError: there is no such checkpoint, or an override sets a key that is taken from the checkpoint.
    """
    from synctrack.checkpoint.files import read_file
    from synctrack.checkpoint.pretrained import find_pretrained
    from synctrack.models.latent_diffusion import ModelConfig

    for pair in overrides:
        if pair.startswith((FROM_CHECKPOINT, "data.params.path.stems")) and not pair.startswith(ALLOWED):
            raise InputError(f"{pair}: is taken from the checkpoint; leave it out")
    path = find_pretrained(model)
    stored = Path(model) / "config.yaml"
    config = load_config([stored] if stored.is_file() else [], overrides)
    architecture, stems = read_file(path).stored_model()
    own = {item.name: getattr(architecture, item.name) for item in fields(ModelConfig)}
    params = config.model.params
    # The run's configuration may name a vocoder file; the checkpoint contains that vocoder.
    given = any(pair.startswith(ALLOWED) for pair in overrides)
    vocoder = params.vocoder_ckpt_path if given else None
    config.model.params = replace(params, **own, ckpt_path=str(path), vae_ckpt_path=None, vocoder_ckpt_path=vocoder)
    config.data.params.path.stems = list(stems)
    config.mode = "test"
    named = any(pair.startswith("evaluation.out=") for pair in overrides)
    if out is not None:
        config.evaluation.out = str(out)
    elif not named:
        place = Path(model) / "evaluation" if Path(model).is_dir() else Path(f"evaluation_{Path(model).stem}")
        config.evaluation.out = str(place)
    return config
