"""Checkpoints: their file format, their content, the files of a run, and when they are written."""
