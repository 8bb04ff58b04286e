"""Whether a candidate gives the baseline's answers."""
