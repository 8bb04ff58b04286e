"""Coarser numbers: what the quantized variants of a format share."""
