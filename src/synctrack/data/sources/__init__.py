"""What data sets are made from: procedural grooves, MIDI files, Slakh2100, and their latents; see `prepare_data.py`."""
