"""Reconstruction quality of the first stages on held-out songs: mel distance and beats of the reconstructions.

    python experiments/first_stages.py --config config/synctrack_train.yaml config/demo.yaml \\
        data.params.path.valid_data=FOLDER [--clips 64] [--json FILE]

Passes evenly spaced segments of `valid_data` through VAE and vocoder, whose weights `model.params.vae_ckpt_path` and
`vocoder_ckpt_path` name, and prints for each stem the L1 distance of log-mels (natural logarithm) after the VAE
alone, after the vocoder alone and after both, once over the active stems and once over silent ones too, and the
F-measure of the beats (madmom's, mir_eval within 70 ms, nothing trimmed) of each drum stem after both against the
original's. Segments with fewer than two beats in the original's drums are left out of the F-measure.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import mir_eval
import numpy as np
import torch
from tqdm import tqdm

from synctrack.audio.files import write_wav
from synctrack.audio.mel import LogMel
from synctrack.checkpoint.loading import fill_vocoder, load_vae
from synctrack.config import Config, add_config_arguments, config_of
from synctrack.data.dataset import StemDataset
from synctrack.data.splits import not_set, split_roots
from synctrack.errors import InputError, run_command
from synctrack.files import write_json
from synctrack.metrics.beats.madmom.tracker import MadmomTracker
from synctrack.metrics.summary import SILENCE_PEAK
from synctrack.models.latent_diffusion import build_vocoder
from synctrack.models.vae import VAE

PARTS = ("vae", "vocoder", "both")
TOLERANCE = 0.07  # seconds
DRUMS = "drums"


class FirstStages:
    """Both first stages of a configuration, with its weights."""

    def __init__(self, config: Config) -> None:
        params = config.model.params
        if not params.vae_ckpt_path:
            raise InputError("model.params.vae_ckpt_path: is not set; name the VAE to measure")
        self.audio, self.mel = params.audio, LogMel(params.audio)
        self.vae, self.vocoder = VAE(params.vae), build_vocoder(params)
        load_vae(self.vae, params.vae_ckpt_path, params.audio)
        fill_vocoder(self.vocoder, params.vocoder_ckpt_path, params.audio)

    @torch.no_grad()
    def measure(self, waveform: torch.Tensor) -> tuple[dict[str, np.ndarray], torch.Tensor]:
        """Waveforms (s, n) -> for each of PARTS the mel distance of each stem (s,), and the waveforms after both."""
        mel = self.mel(waveform)[None]
        through_vae = self.vae.decode(self.vae.encode(mel).mean)
        waves = {"vocoder": self.vocoder(mel), "both": self.vocoder(through_vae)}
        mels = {"vae": through_vae} | {
            part: self.mel(wave[..., : waveform.shape[-1]].clamp(-1, 1)) for part, wave in waves.items()
        }
        distances = {part: (mels[part] - mel).abs().mean(dim=(0, 2, 3)).numpy() for part in PARTS}
        return distances, waves["both"][0, :, : waveform.shape[-1]]


def beat_agreement(original: np.ndarray, reconstructed: np.ndarray, sample_rate: int, folder: Path) -> float | None:
    """F-measure of the beats of `reconstructed` (n,) against those of `original`; None if that has less than two."""
    found = []
    for name, wave in (("original", original), ("reconstructed", reconstructed)):
        path = folder / f"{name}.wav"
        write_wav(path, wave, sample_rate)
        found.append(MadmomTracker().track_file(path).beats["corrected"])
    return mir_eval.beat.f_measure(*found, f_measure_threshold=TOLERANCE) if len(found[0]) > 1 else None


def measure(config: Config, clips: int) -> dict[str, Any]:
    """Mel distances by part and stem, and drum beats, over at most `clips` segments."""
    paths, params = config.data.params, config.model.params
    stems = paths.path.stems
    data = StemDataset(
        paths.path.valid_data, stems, params.audio, shift=False, seed=0,
        missing_stem=paths.missing_stem, max_seconds=paths.max_seconds,
    )  # fmt: skip
    stages, distances, activity, beats = FirstStages(config), [], [], []
    drums = stems.index(DRUMS) if DRUMS in stems else None
    chosen = np.linspace(0, len(data) - 1, min(clips, len(data))).round().astype(int)
    with tempfile.TemporaryDirectory() as folder:
        for index in tqdm(chosen, "segments"):
            waveform = data[0, index]["waveform"]
            of_segment, reconstructed = stages.measure(waveform)
            distances.append([of_segment[part] for part in PARTS])
            activity.append((waveform.abs().amax(dim=-1) >= SILENCE_PEAK).numpy())
            if drums is not None and activity[-1][drums]:
                original, reconstruction = waveform[drums].numpy(), reconstructed[drums].numpy()
                beats.append(beat_agreement(original, reconstruction, params.audio.sample_rate, Path(folder)))
    active = np.stack(activity)
    by_part = dict(zip(PARTS, np.stack(distances).transpose(1, 0, 2), strict=True))
    agreement = [value for value in beats if value is not None]
    return {
        "segments": len(chosen),
        "mel_l1": {part: float(value[active].mean()) for part, value in by_part.items()},
        "mel_l1_with_silence": {part: float(value.mean()) for part, value in by_part.items()},
        "mel_l1_by_stem": {
            stem: {part: float(value[active[:, i], i].mean()) for part, value in by_part.items()}
            for i, stem in enumerate(stems)
            if active[:, i].any()
        },
        "drum_beats": {
            "segments": len(agreement),
            "f_measure": float(np.mean(agreement)) if agreement else None,
            "share_of_segments_at_0.9": float(np.mean(np.array(agreement) >= 0.9)) if agreement else None,
        },
    }


def report(result: dict[str, Any]) -> str:
    """The result as an aligned table and a line on the beats."""
    rows = result["mel_l1_by_stem"] | {"all": result["mel_l1"], "with silence": result["mel_l1_with_silence"]}
    lines = ["".join(cell.rjust(14) for cell in ("mel L1 after", *PARTS))]
    lines += ["".join([name.rjust(14), *(f"{row[part]:14.3f}" for part in PARTS)]) for name, row in rows.items()]
    beats = result["drum_beats"]
    if beats["segments"]:
        share = f"{beats['share_of_segments_at_0.9']:.0%} of the segments at 0.9 or more"
        lines.append(f"drum beats: F-measure {beats['f_measure']:.3f} in {beats['segments']} segments, {share}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--clips", type=int, default=64, help="segments to measure, at most (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    arguments = parser.parse_args()
    if arguments.clips < 1:
        raise InputError(f"--clips: {arguments.clips} is not 1 or more")
    config = config_of(arguments.config, arguments.overrides)
    if not split_roots(config, "valid"):
        raise not_set("valid")
    result = measure(config, arguments.clips)
    print(report(result))
    if arguments.json:
        write_json(arguments.json, result)


if __name__ == "__main__":
    run_command(main)
