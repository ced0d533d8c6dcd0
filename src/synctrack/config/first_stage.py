"""The section of the configuration of `train_first_stage.py`."""

from dataclasses import dataclass, field

from synctrack.bounds import MOST_STEPS, check_choice, check_multiple, check_number, check_whole, check_wholes


@dataclass
class FirstStageConfig:
    """How `train_first_stage.py` trains the VAE or the vocoder."""

    kind: str = "vae"
    learning_rate: float = 1e-4
    betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    schedule: str = "constant"
    crop_frames: int | None = None
    kl_weight: float = 1e-6
    mel_weight: float = 45.0
    feature_weight: float = 2.0
    discriminator_start: int | None = None
    discriminator_weight: float = 0.5
    patch_channels: int = 64
    wave_channels: int = 32
    periods: list[int] = field(default_factory=lambda: [2, 3, 5, 7, 11])
    scales: int = 3

    def __post_init__(self) -> None:
        check_choice("first_stage.kind", self.kind, ("vae", "vocoder"))
        check_choice("first_stage.schedule", self.schedule, ("constant", "cosine"))
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"first_stage.betas: {self.betas} are not two numbers from 0 up to, but not, 1")
        check_number("first_stage.learning_rate", self.learning_rate, 0, 1)
        check_whole("first_stage.crop_frames", self.crop_frames, 1, 1_000_000, optional=True)
        for name in ("kl_weight", "mel_weight", "feature_weight", "discriminator_weight"):
            check_number(f"first_stage.{name}", getattr(self, name), 0, 1e6)
        check_whole("first_stage.discriminator_start", self.discriminator_start, 0, MOST_STEPS, optional=True)
        check_wholes("first_stage.periods", self.periods, 1, 65_536)
        check_whole("first_stage.scales", self.scales, 1, 10)
        for name, factor in (("patch_channels", 16), ("wave_channels", 4)):
            check_whole(f"first_stage.{name}", getattr(self, name), 1, 4096)
            check_multiple(f"first_stage.{name}", getattr(self, name), factor)
