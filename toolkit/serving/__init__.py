"""An embedded server that speaks TensorFlow Serving: versions in memory, one engine, thin skins for gRPC and REST."""

import os

# grpcio's core reads this once, when it is first loaded. Without its newer listener the thread that waits for calls
# also reads and writes their sockets: a sixth of the context switches (docs/performance.md).
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")
