"""An embedded server that speaks TensorFlow Serving: versions in memory, one engine, thin skins for gRPC and REST."""
