"""TensorFlow Serving's protocols: bytes to messages and back; opens no socket."""
