"""The watching side of one hot folder: new files, health, and status."""
