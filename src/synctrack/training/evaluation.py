"""A test set's clips from a configuration: generated on every device, written, scored beside their targets."""

import logging
from dataclasses import asdict

from synctrack.checkpoint.loading import load_for_evaluation
from synctrack.config import Config
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError
from synctrack.files import write_json
from synctrack.generation.clips import Generation
from synctrack.metrics.score import score_folder
from synctrack.metrics.tables import counts_line, table
from synctrack.training.synctrack_module import SyncTrackModule
from synctrack.training.trainer import build_trainer

logger = logging.getLogger(__name__)


def evaluate(config: Config) -> None:
    """Generate one clip of stems for each segment of the test set, as `eval_synctrack.py` does.

    Raises:
        InputError: the mode is not `test`, there is no test set or checkpoint, or the checkpoint does not fit.
    """
    if config.mode != "test":
        raise InputError(f"mode: {config.mode} does not generate; set mode=test, or run train_synctrack.py")
    if not config.model.params.ckpt_path:
        raise InputError("model.params.ckpt_path: is not set; name a SyncTrack checkpoint")
    data = StemDataModule(config)
    data.require("valid")
    module = SyncTrackModule(config)
    params = config.model.params
    weights = load_for_evaluation(module.model, params.ckpt_path, params.vocoder_ckpt_path)
    module.generation = Generation(config, asdict(weights), data.valid_names)
    _generate(config, module, data)


def _generate(config: Config, module: SyncTrackModule, data: StemDataModule) -> None:
    """Generate the clips that are not there yet, on every configured device, then finish the manifest."""
    generation = module.generation
    generation.claim()
    data.complete = generation.complete()
    clips = len(generation.names)
    logger.info("%d clips in %s, %d of them there already", clips, config.evaluation.out, len(data.complete))
    trainer = build_trainer(config)
    if len(data.complete) < clips:
        trainer.test(module, datamodule=data, verbose=False)
        trainer.strategy.barrier()
    if trainer.is_global_zero:
        picture = generation.finish()
        for name in generation.names:
            logger.info("%s", "  ".join(map(str, generation.generated.files(name))))
        logger.info("picture of the first clip: %s", picture)
        if config.evaluation.score:
            _score(generation)


def _score(generation: Generation) -> None:
    """Print the rhythm metrics of the clips beside those of their targets, and write all of it to scores.json."""
    scores = score_folder(generation.generated.root, generation.targets.root)
    write_json(generation.out / "scores.json", scores)
    logger.info("%s\n%s", table(scores), counts_line(scores))
