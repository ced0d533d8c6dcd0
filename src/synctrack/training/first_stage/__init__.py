"""Training of SyncTrack's first stages, the mel VAE and the vocoder; see `train_first_stage.py`."""
