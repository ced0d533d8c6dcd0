"""The configuration: a typed schema, and YAML files and key=value pairs that fill it."""

from synctrack.config.loading import (
    add_config_arguments,
    config_of,
    load_config,
    parse_command_line,
    save_config,
    to_dict,
)
from synctrack.config.schema import (
    CONTEXT_KINDS,
    MAX_SECONDS,
    Config,
    DataConfig,
    DataParams,
    DataPaths,
    EvaluationConfig,
    FirstStageConfig,
    GivenConfig,
    ModelParams,
    ModelSection,
    ValidationConfig,
)
from synctrack.config.trainer import TrainerConfig

__all__ = [
    "CONTEXT_KINDS",
    "MAX_SECONDS",
    "Config",
    "DataConfig",
    "DataParams",
    "DataPaths",
    "EvaluationConfig",
    "FirstStageConfig",
    "GivenConfig",
    "ModelParams",
    "ModelSection",
    "TrainerConfig",
    "ValidationConfig",
    "add_config_arguments",
    "config_of",
    "load_config",
    "parse_command_line",
    "save_config",
    "to_dict",
]
