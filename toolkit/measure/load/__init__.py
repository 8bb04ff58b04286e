"""Latency under load: a schedule of sends, workers that keep to it, and what a server made of it."""
