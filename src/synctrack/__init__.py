"""SyncTrack: synchronised multi-track music generation by latent diffusion."""

__version__ = "0.1.0"
