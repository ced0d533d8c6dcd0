"""What all cases of the campaign read: data, weights, a song, beats, all good."""

import json
from pathlib import Path

from helpers.latent_store import save_vae
from helpers.small_model import SMALL_AUDIO
from helpers.sources import clicking_fluidsynth
from helpers.steered import NOTHING, save_steered, steered_model
from synctrack.audio.beat_files import regular_beats, write_midi_beats
from synctrack.data.sources.grooves import write_grooves

CONFIG = """
run_dir: run
trainer: {accelerator: cpu, devices: 1, max_steps: 1, validation_every_n_steps: 1, save_checkpoint_every_n_steps: 1}
data:
  params:
    batch_size: 2
    num_workers: 0
    path: {train_data: SHARED/data/train, valid_data: SHARED/data/train}
model:
  params:
    vae_ckpt_path: SHARED/vae.ckpt
    audio: {sample_rate: 8000, n_fft: 512, hop_length: 160, n_mels: 32, f_max: 4000.0, frames: 64}
    vae: {channels: 32, channel_mult: [1, 1], num_res_blocks: 1, latent_channels: 4}
    unet: {model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_resolutions: [2]}
    vocoder:
      kind: griffin_lim
      hifigan: {upsample_rates: [2], upsample_kernel_sizes: [4], upsample_initial_channel: 32, istft_hop: 80,
        resblock_kernel_sizes: [3], resblock_dilations: [1]}
validation: {clips: 1, steps: 1}
evaluation: {out: out, steps: 1, clips: 1, score: false}
"""


def make_shared(folder: Path) -> Path:
    """Fill `folder` with a configuration, a data set, weights with and without conditions, a song and beats.

    FluidSynth may be missing where the tests run, and must not be what is refused: `bin` has one that clicks.
    """
    seconds = 1.2 * SMALL_AUDIO.segment_seconds
    write_grooves(
        folder / "data/train", songs=2, seconds=seconds, sample_rate=SMALL_AUDIO.sample_rate, seed=0, workers=0
    )
    (folder / "small.yaml").write_text(CONFIG.replace("SHARED", str(folder)))
    save_vae(folder / "vae.ckpt", seed=0)
    save_steered(folder / "small.safetensors")
    save_steered(folder / "plain.safetensors", NOTHING)
    steered_model().generate(seed=1, steps=1).save(folder / "song")
    times = [0.5, 1.0, 1.5, 2.0, 2.5]
    beats = {"beats": {"song": {"bass": times, "drums": times}}, "durations": {"song": 4.0}}
    (folder / "beats.json").write_text(json.dumps(beats))
    (folder / "song.txt").write_text("0.5\n1.0\n1.5\n")
    clicking_fluidsynth(folder / "bin")
    (folder / "midi").mkdir()
    write_midi_beats(folder / "midi/song.mid", regular_beats(bpm=100, meter=4, seconds=10.0))
    return folder
