"""The standard services beside TensorFlow Serving's: grpc.health.v1 and server reflection."""

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from toolkit.wire import protos

# The names under which the real server answers a health check.
_HEALTHY = ("", "ModelService", "PredictionService", *protos.SERVICES)


class _Health(health.HealthServicer):
    """grpcio's health service, with the real server's words for a service that it does not know."""

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802  # the protocol's name
        """The state of a service."""
        answer = super().Check(request, context)
        if context.code() is grpc.StatusCode.NOT_FOUND:
            context.set_details("service name unknown")
        return answer


def add_health(server: Any) -> Any:
    """Adds grpc.health.v1; every service is SERVING until the server drains."""
    servicer = _Health()
    for name in _HEALTHY:
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    return servicer


def add_reflection(server: Any) -> None:
    """Lets clients list the services and their messages."""
    names = (*protos.SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
