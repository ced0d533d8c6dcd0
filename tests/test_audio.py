"""Reading at any rate and format, the log-mel against the golden file, writing, and what is refused."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from omegaconf import OmegaConf

from helpers.filler import chirp_wave
from synctrack.audio.files import audio_info, new_waveforms, read_audio, read_channels, write_wav
from synctrack.audio.mel import AudioFormat, LogMel
from synctrack.errors import InputError

GOLDEN_MEL = np.load(Path(__file__).parent / "fixtures" / "golden_mel.npz")


def _noise(rate: int, channels: int, seconds: float = 3.0) -> np.ndarray:
    return 0.2 * np.random.default_rng(rate).standard_normal((int(rate * seconds), channels)).astype(np.float32)


@pytest.fixture(scope="module")
def log_mel() -> LogMel:
    return LogMel(AudioFormat())


def test_log_mel_equals_golden(log_mel):
    wave = chirp_wave()
    np.testing.assert_allclose(wave[:64], GOLDEN_MEL["chirp_wave_head"], atol=1e-7)
    mel = log_mel(torch.from_numpy(wave))
    assert mel.shape == (1024, 64)
    np.testing.assert_allclose(mel[::16], GOLDEN_MEL["chirp_every_16th_frame"], atol=5e-5)
    np.testing.assert_allclose(mel[-1], GOLDEN_MEL["chirp_last_frame"], atol=5e-5)


def test_log_mel_of_silence_is_the_floor(log_mel):
    mel = log_mel(torch.zeros(163840))
    np.testing.assert_allclose(mel, np.full((1024, 64), GOLDEN_MEL["silence"]), atol=5e-5)


def test_log_mel_keeps_batch_axes_and_float32_under_autocast(log_mel):
    wave = torch.from_numpy(chirp_wave()[:32000]).reshape(2, 2, 8000)
    plain = log_mel(wave)
    assert plain.shape == (2, 2, 50, 64)
    torch.testing.assert_close(plain[1, 0], log_mel(wave[1, 0]), atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = log_mel(wave.bfloat16().float())
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, log_mel(wave.bfloat16().float()), atol=0, rtol=0)


def test_log_mel_adds_nothing_to_checkpoints(log_mel):
    assert not log_mel.state_dict()


def test_audio_format_is_a_config_node():
    config = OmegaConf.structured(AudioFormat)
    audio = OmegaConf.to_object(OmegaConf.merge(config, {"frames": 512}))
    assert (audio.segment_samples, audio.segment_seconds) == (81920, 5.12)
    assert AudioFormat().segment_seconds == 10.24


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (22050, 1), (44100, 2), (48000, 3), (11027, 1)])
def test_part_of_a_file_equals_a_slice_of_the_whole(tmp_path, rate, channels, suffix):
    path = tmp_path / f"noise{suffix}"
    soundfile.write(path, _noise(rate, channels), rate, subtype="PCM_24")
    stored, _ = soundfile.read(path, dtype="float32", always_2d=True)
    whole = soxr.resample(stored.mean(1), rate, 16000)
    for start, samples in [(0, 100), (0, 47999), (1, 16000), (16001, 8191), (31999, 16000), (47000, 990)]:
        part = read_audio(path, start, samples, 16000)
        assert part.dtype == np.float32
        np.testing.assert_allclose(part, whole[start : start + samples], atol=1e-5, err_msg=f"{start}+{samples}")


def test_same_rate_is_read_unchanged(tmp_path):
    path = tmp_path / "noise.wav"
    wave = _noise(16000, 1)
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    np.testing.assert_array_equal(read_audio(path, 777, 5000, 16000), wave[777:5777, 0])


def test_end_of_file_is_padded_by_rounding_only(tmp_path):
    path = tmp_path / "noise.wav"
    soundfile.write(path, _noise(16000, 1, seconds=1.0), 16000, subtype="FLOAT")
    assert read_audio(path, 15901, 100, 16000)[-1] == 0
    with pytest.raises(InputError, match=r"noise\.wav: ends 0\.006 s before its segment"):
        read_audio(path, 16000, 100, 16000)


def test_info_counts_samples_at_another_rate(tmp_path):
    path = tmp_path / "noise.flac"
    soundfile.write(path, _noise(44100, 2), 44100)
    info = audio_info(path)
    assert info == (44100, 132300)
    assert info.seconds == 3.0
    assert info.num_samples_at(16000) == 48000


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_cut_off_files_are_refused_without_being_read(tmp_path, suffix, kept):
    path = tmp_path / f"cut{suffix}"
    soundfile.write(path, _noise(44100, 2), 44100)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match=r"cut\.(wav|flac): is cut off"):
        audio_info(path)
    with pytest.raises(InputError, match=r"cut\.(wav|flac): (is cut off|ends)"):
        read_audio(path, 0, 48000, 16000)


def test_wav_of_undeclared_length_is_read(tmp_path):
    path = tmp_path / "piped.wav"
    soundfile.write(path, _noise(16000, 1, seconds=1.0), 16000)
    content = bytearray(path.read_bytes())
    position = content.index(b"data") + 4
    content[position : position + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert audio_info(path).num_samples == 16000


@pytest.mark.parametrize("content", [b"", b"this is no audio", b"RIFF\x00\x00\x00\x00WAVE"])
def test_files_that_are_not_audio_are_refused(tmp_path, content):
    path = tmp_path / "text.wav"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"text\.wav: is not a readable audio"):
        audio_info(path)


def test_empty_and_missing_files_are_refused(tmp_path):
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0), 16000)
    with pytest.raises(InputError, match="holds no audio"):
        audio_info(path)
    with pytest.raises(InputError, match="is not there"):
        read_audio(tmp_path / "missing.wav", 0, 1, 16000)


@pytest.mark.parametrize("reader", [audio_info, read_channels, lambda path: read_audio(path, 0, 1, 16000)])
def test_pipes_and_devices_are_refused_without_waiting(tmp_path, reader):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zeros.wav").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.wav", tmp_path / "zeros.wav", tmp_path):
        with pytest.raises(InputError, match="not an ordinary file"):
            reader(path)


@pytest.mark.parametrize("reader", [audio_info, read_channels, lambda path: read_audio(path, 0, 1, 16000)])
@pytest.mark.parametrize("rate", [1, 999, 768_001, 2_000_000_000])
def test_sample_rates_that_cannot_be_right_are_refused(tmp_path, reader, rate):
    path = tmp_path / "odd.wav"
    soundfile.write(path, np.zeros(1000), rate)
    with pytest.raises(InputError, match=rf"odd\.wav: has a sample rate of {rate} Hz"):
        reader(path)


def test_files_too_long_for_memory_are_refused(tmp_path):
    """A sparse file: its header states what its size is, and it takes no room."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(10), 1000)
    content, samples = bytearray(path.read_bytes()[:44]), 4 * 3600 * 1000 + 1
    content[40:44] = (2 * samples).to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(content)
        file.truncate(44 + 2 * samples)
    with pytest.raises(InputError, match=r"long\.wav: is too long \(4 h in 1 channels"):
        audio_info(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_whole_files_that_are_cut_off_are_refused(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    soundfile.write(path, _noise(44100, 2), 44100)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError, match=r"cut\.(wav|flac): is cut off"):
        read_channels(path)


def test_whole_files_are_read_as_they_are(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, _noise(44100, 2, seconds=0.5), 44100, "FLOAT")
    whole = read_channels(path)
    np.testing.assert_array_equal(whole.samples, soundfile.read(path, dtype="float32")[0])
    assert whole[1:] == (44100, "WAV", "FLOAT")


def test_samples_that_are_not_finite_are_not_written(tmp_path):
    wave = np.zeros(100, np.float32)
    wave[50] = np.nan
    with pytest.raises(InputError, match=r"out\.wav: its samples from 0 on are not all numbers"):
        write_wav(tmp_path / "out.wav", wave, 16000)
    assert not list(tmp_path.iterdir())


def test_samples_that_are_not_finite_are_refused(tmp_path):
    path = tmp_path / "nan.wav"
    wave = _noise(16000, 1, seconds=1.0)
    wave[8000] = np.nan
    soundfile.write(path, wave, 16000, subtype="FLOAT")
    assert len(read_audio(path, 0, 8000, 16000)) == 8000
    with pytest.raises(InputError, match=r"nan\.wav: holds samples that are not numbers"):
        read_audio(path, 0, 8001, 16000)
    with pytest.raises(InputError, match=r"nan\.wav: holds samples that are not numbers"):
        read_channels(path)


def test_written_wav_is_clipped_16_bit(tmp_path):
    path = tmp_path / "new" / "out.wav"
    write_wav(path, np.array([-2.0, -1.0, 0.0, 0.5, 3.0]), 16000)
    written, rate = soundfile.read(path, dtype="int16")
    assert soundfile.info(path).subtype == "PCM_16"
    assert rate == 16000
    np.testing.assert_allclose(written, [-32768, -32768, 0, 16384, 32767], atol=1)


def test_failed_write_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        write_wav(tmp_path / "file" / "out.wav", np.zeros(10), 16000)
    with pytest.raises(TypeError):
        write_wav(tmp_path / "out.wav", np.array(["no", "audio"]), 16000)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system takes no room ahead")
def test_waveforms_that_find_no_room_are_one_line(monkeypatch):
    """Writing to a map of a file without room would kill the process."""

    def without_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", without_room)
    with pytest.raises(InputError, match=r"cannot hold 80 MB of samples \(No space left on device\); free space there"):
        new_waveforms((4, 5_000_000))
    assert new_waveforms((4, 100)).shape == (4, 100)
