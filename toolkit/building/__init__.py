"""From a model reference to a proven bundle."""
