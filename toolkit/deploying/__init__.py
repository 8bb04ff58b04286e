"""Takes a bundle to TensorFlow Serving: a gate, one rename, a watched rollout, and a way back."""
