"""Runs an artifact that is split between TensorFlow and a file."""
