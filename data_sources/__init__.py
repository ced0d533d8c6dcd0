"""Where data sets come from: procedural grooves, MIDI files, Slakh2100; and their latents. `prepare_data.py` is their command line."""
