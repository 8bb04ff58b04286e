"""Plain data: tensors, models, artifacts and where they are kept. No TensorFlow, no sockets."""
