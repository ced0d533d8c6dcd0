"""Generate a test set's stems: python eval_synctrack.py --config config/synctrack_eval.yaml [key=value ...]"""

import logging
from dataclasses import asdict

from eval_metrics.report import counts_line, table
from eval_metrics.score import score_folder
from synctrack import checkpoint
from synctrack.config import Config, parse_command_line
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError, run_command
from synctrack.files import write_json
from synctrack.generation import Generation
from synctrack.lightning_module import SyncTrackModule
from synctrack.training import build_trainer, start_logging

logger = logging.getLogger(__name__)


def main() -> None:
    config = parse_command_line("Generate one clip of stems for each segment of a test set.")
    start_logging()
    if config.mode != "test":
        raise InputError(f"mode: {config.mode} does not generate; set mode=test, or run train_synctrack.py")
    if not config.model.params.ckpt_path:
        raise InputError("model.params.ckpt_path: is not set; name a SyncTrack checkpoint")
    data = StemDataModule(config)
    data.require("valid")
    module = SyncTrackModule(config)
    params = config.model.params
    weights = checkpoint.load_for_evaluation(module.model, params.ckpt_path, params.vocoder_ckpt_path)
    module.generation = Generation(config, asdict(weights), data.valid_names)
    generate(config, module, data)


def generate(config: Config, module: SyncTrackModule, data: StemDataModule) -> None:
    """Make the clips that are not there yet, on every configured device, then finish the manifest."""
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
            score(generation)


def score(generation: Generation) -> None:
    """Print the rhythm metrics of the clips beside those of their targets, and write all of it to scores.json."""
    scores = score_folder(generation.generated.root, generation.targets.root)
    write_json(generation.out / "scores.json", scores)
    logger.info("%s\n%s", table(scores), counts_line(scores))


if __name__ == "__main__":
    run_command(main)
