"""Kubernetes: a Deployment of TensorFlow Serving with all that keeps it up, by the measured figures."""

from collections.abc import Mapping
from typing import Any

from toolkit.deploying.rendering import CONFIG_FOLDER, MODELS_FOLDER, Renderer, Workload
from toolkit.deploying.yaml_text import document, documents

_ABOUT_MODELS = """The base path is a claim that the servers read: put its parent there, `tfx-export deploy --to` writes
to it. Publishing stays one rename on the claim's file system, so one that many nodes read (ReadOnlyMany) is needed."""
_ABOUT_READY = """Ready is who answers for the model: /metadata is 404 until a version is AVAILABLE, while the bare
status is 200 as soon as the model is known."""


def files(workload: Workload) -> Mapping[str, str]:
    """One file for `kubectl apply`, and TensorFlow Serving's own files as they stand in its ConfigMap."""
    parts = [
        document(_config_map(workload)),
        document(_deployment(workload), f"{workload.arithmetic}\n\n{_ABOUT_MODELS}\n\n{_ABOUT_READY}"),
        document(_service(workload)),
        document(_autoscaler(workload), "From the replicas that the rate needs to twice as many, by CPU."),
        document(_budget(workload), "A drained node takes one server at a time."),
        document(_network(workload), "Clients of this namespace come in; a server has nobody to call."),
    ]
    return {"tensorflow-serving.yaml": documents(parts), **workload.configs}


def _metadata(workload: Workload) -> dict[str, Any]:
    return {"name": workload.object_name, "labels": _labels(workload)}


def _labels(workload: Workload) -> dict[str, str]:
    return {"app.kubernetes.io/name": "tensorflow-serving", "app.kubernetes.io/instance": workload.object_name}


def _config_map(workload: Workload) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(workload), "data": workload.configs}


def _deployment(workload: Workload) -> dict[str, Any]:
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(workload)],
        "volumes": [
            {"name": "models", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
            {"name": "config", "configMap": {"name": workload.object_name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(workload),
        "spec": {
            "replicas": workload.replicas,
            "selector": {"matchLabels": _labels(workload)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": _labels(workload)}, "spec": pod},
        },
    }


def _container(workload: Workload) -> dict[str, Any]:
    answers = {"httpGet": {"path": f"/v1/models/{workload.name}/metadata", "port": "rest"}}
    return {
        "name": "serving",
        "image": workload.image,
        "command": ["tensorflow_model_server"],
        "args": workload.flags,
        "ports": [{"name": "grpc", "containerPort": 8500}, {"name": "rest", "containerPort": 8501}],
        "startupProbe": {**answers, "periodSeconds": 2, "failureThreshold": 150},
        "readinessProbe": {**answers, "periodSeconds": 5, "timeoutSeconds": 2},
        "livenessProbe": {"tcpSocket": {"port": "grpc"}, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {
            "requests": {"cpu": str(workload.cores), "memory": f"{workload.memory_request_mib}Mi"},
            "limits": {"memory": f"{workload.memory_limit_mib}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The server ends at once when it is told to; until the endpoints know, requests still come.
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}},
        "volumeMounts": [
            {"name": "models", "mountPath": MODELS_FOLDER, "readOnly": True},
            {"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # inside the container
        ],
    }


def _ports() -> list[dict[str, Any]]:
    return [
        {"name": "grpc", "port": 8500, "targetPort": "grpc", "appProtocol": "kubernetes.io/h2c"},
        {"name": "rest", "port": 8501, "targetPort": "rest"},
    ]


def _service(workload: Workload) -> dict[str, Any]:
    spec = {"selector": _labels(workload), "ports": _ports()}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(workload), "spec": spec}


def _autoscaler(workload: Workload) -> dict[str, Any]:
    usage = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": _metadata(workload),
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": workload.object_name},
            "minReplicas": workload.replicas,
            "maxReplicas": 2 * workload.replicas,
            "metrics": [{"type": "Resource", "resource": usage}],
        },
    }


def _budget(workload: Workload) -> dict[str, Any]:
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": _labels(workload)}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": _metadata(workload), "spec": spec}


def _network(workload: Workload) -> dict[str, Any]:
    ports = [{"protocol": "TCP", "port": "grpc"}, {"protocol": "TCP", "port": "rest"}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(workload),
        "spec": {
            "podSelector": {"matchLabels": _labels(workload)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [{"podSelector": {}}], "ports": ports}],
            "egress": [],
        },
    }


RENDERER = Renderer("kubernetes", files)
