"""The commands of the published scripts IRS.py, CBS.py and CBD.py; their output is as published."""

from synctrack.cli.metric_arguments import (
    metric_arguments,
    print_values,
    read_arguments,
    window_size,
)
from synctrack.metrics.cbd import cbd
from synctrack.metrics.cbs import WINDOW_SIZE, cbs
from synctrack.metrics.irs import irs


def run_irs(description: str) -> None:
    """`eval_metrics/IRS.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description)
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = irs(beats.by_stem(protocol))
        rows = {f"interval_std {stem}": value for stem, value in result.stem_interval_std.items()}
        rows |= {"avg_interval_std": result.avg_interval_std, "avg_interval_mean": result.avg_interval_mean}
        print_values(protocol, rows)


def run_cbs(description: str) -> None:
    """`eval_metrics/CBS.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description, {"--window_size": {"type": window_size, "default": WINDOW_SIZE}})
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = cbs(beats.by_song(protocol), beats.durations, arguments.window_size)
        print_values(protocol, {"mean_beat_ratio": result.mean_beat_ratio})


def run_cbd(description: str) -> None:
    """`eval_metrics/CBD.py`: the published script, with `description` as its help."""
    arguments = metric_arguments(description)
    beats = read_arguments(arguments)
    for protocol in beats.protocols:
        result = cbd(beats.by_song(protocol))
        values = {
            "coverage": result.coverage,
            "avg_std_error": result.avg_std_error,
            "avg_error": result.avg_error,
            "avg_median_error": result.avg_median_error,
        }
        print_values(protocol, values)
