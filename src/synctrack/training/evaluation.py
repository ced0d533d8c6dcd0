"""A test set's clips from a configuration: generated on every device, written, scored beside their targets."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synctrack.checkpoint.loading import load_for_evaluation, load_vae, same_weights
from synctrack.config import Config, ModelParams
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.generation.clips import TARGETS, Generation
from synctrack.metrics.score import Scored, score_files, score_folder
from synctrack.metrics.tables import counts_line, summary_table, table
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.models.vae import VAE
from synctrack.training.holding import held_by_first_process
from synctrack.training.synctrack_module import SyncTrackModule
from synctrack.training.trainer import build_trainer, resumable

REPORT = "report.html"

logger = logging.getLogger(__name__)


def evaluate(config: Config) -> None:
    """Generate one clip of stems for each segment of the test set, as `eval_synctrack.py` does.

    Raises:
        InputError: the mode is not `test`, there is no test set or checkpoint, or the checkpoint does not fit.
    """
    if config.mode != "test":
        raise InputError(f"mode: {config.mode} does not generate; set mode=test, or run train_synctrack.py")
    data, module, weights = _load(config)
    module.generation = Generation(config, weights, data.valid_names)
    if _generate(config, module, data) and config.evaluation.score:
        _score(module.generation, config.evaluation.report)


def evaluate_steps(config: Config, steps: Sequence[int]) -> None:
    """Generate the test set's clips with several numbers of steps, and print one table.

    `evaluation.out` holds a folder `steps_<N>` for each number, the `targets` that they share, and `evaluation.json`.

    Raises:
        InputError: as `evaluate`.
    """
    data, module, weights = _load(config)
    out, generated = Path(config.evaluation.out), {}
    for number in steps:
        own = copy.deepcopy(config)
        own.evaluation.steps, own.evaluation.out = number, str(out / f"steps_{number:03d}")
        module.config = own
        module.generation = Generation(own, weights, data.valid_names, out / TARGETS)
        # The other processes generate their share with every number of steps, and score nothing.
        if _generate(own, module, data):
            generated[f"{number} steps"] = module.generation.generated.root
    if config.evaluation.score and generated:
        scores = _score_each(generated, out / TARGETS, config.evaluation.report)
        write_json(out / "evaluation.json", scores)
        logger.info("%s", summary_table(scores))


def _score_each(generated: Mapping[str, Path], targets: Path, report: bool) -> dict[str, dict[str, Any]]:
    """Scores of each folder of clips and of their targets; with `report` a page beside each folder's clips."""
    if not report:
        return {name: score_folder(folder) for name, folder in {**generated, TARGETS: targets}.items()}
    scores: dict[str, dict[str, Any]] = {}
    for name, folder in generated.items():
        scored = score_files(folder, targets)
        _report(folder, scored)
        beside = ("reference", "comparison")
        scores[name] = {key: value for key, value in scored.result.items() if key not in beside}
    return {**scores, TARGETS: scored.result["reference"]}


def _report(folder: Path, scored: Scored) -> None:
    """Write the page of a folder of clips, into it."""
    # Here and not above: scores alone need no templates.
    from synctrack.report.page.write import report_scored

    report_scored(folder / REPORT, scored, folder)
    logger.info("%s", folder / REPORT)


def _load(config: Config) -> tuple[StemDataModule, SyncTrackModule, dict[str, Any]]:
    """The test set, and a module with the checkpoint's weights and their description."""
    params = config.model.params
    if not params.ckpt_path:
        raise InputError("model.params.ckpt_path: is not set; name a SyncTrack checkpoint")
    data = StemDataModule(config)
    data.require("valid")
    module = SyncTrackModule(config)
    weights = load_for_evaluation(module.model, params.ckpt_path, params.vocoder_ckpt_path)
    if params.vae_ckpt_path:
        require_own_vae(module.model, params)
    return data, module, asdict(weights)


def require_own_vae(model: LatentDiffusion, params: ModelParams) -> None:
    """Raise InputError where `vae_ckpt_path` names another VAE than the checkpoint's, which alone knows its latents."""
    if not Path(params.vae_ckpt_path).is_file():
        logger.info("model.params.vae_ckpt_path: %s is not there; the checkpoint's own is used", params.vae_ckpt_path)
        return
    named = VAE(model.config.vae)
    load_vae(named, params.vae_ckpt_path, model.config.audio)
    if not same_weights(named, model.vae):
        raise InputError(
            f"model.params.vae_ckpt_path: {params.vae_ckpt_path} is another VAE than that of {params.ckpt_path}, whose "
            "latents it does not know; set null"
        )


def _generate(config: Config, module: SyncTrackModule, data: StemDataModule) -> bool:
    """Generate the clips that are not there yet, on every device, then finish the manifest; whether this is rank 0."""
    with held_by_first_process(module.generation.out):
        return _generate_missing(config, module, data)


def _generate_missing(config: Config, module: SyncTrackModule, data: StemDataModule) -> bool:
    generation = module.generation
    generation.claim()
    data.complete = generation.complete()
    clips = len(generation.names)
    logger.info("%d clips in %s, %d of them there already", clips, config.evaluation.out, len(data.complete))
    trainer = build_trainer(config)
    if len(data.complete) < clips:
        with resumable(trainer):
            trainer.test(module, datamodule=data, verbose=False)
            trainer.strategy.barrier()
    if not trainer.is_global_zero:
        return False
    picture = generation.finish()
    for name in generation.names:
        logger.info("%s", "  ".join(map(str, generation.generated.files(name))))
    logger.info("picture of the first clip: %s", picture)
    return True


def _score(generation: Generation, report: bool) -> None:
    """Print the rhythm metrics of the clips beside those of their targets, and write all of it to scores.json."""
    scored = score_files(generation.generated.root, generation.targets.root)
    write_json(generation.out / "scores.json", scored.result)
    logger.info("%s\n%s", table(scored.result), counts_line(scored.result))
    if report:
        _report(generation.out, scored)
