"""Where data sets come from: procedural grooves, MIDI files, Slakh2100. `prepare_data.py` is their command line."""
