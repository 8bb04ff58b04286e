"""KServe: an InferenceService that gives a new version a share of the traffic."""

from collections.abc import Mapping

from toolkit.deploying.rendering import Renderer, Workload
from toolkit.deploying.yaml_text import document
from toolkit.errors import UsageError

_WARNING = (
    "canaryTrafficPercent counts only where Knative splits the traffic (serverless mode);\n"
    "in raw deployment mode KServe ignores it, and a new version gets everything at once"
)


def files(workload: Workload) -> Mapping[str, str]:
    """inference-service.yaml, and TensorFlow Serving's own files for a ServingRuntime that mounts them.

    Raises:
        UsageError: nothing says where KServe shall fetch the model.
    """
    if not workload.storage:
        raise UsageError(
            "KServe fetches models from a storage", hint=f"--storage-uri pvc://models/{workload.name}, or gs://, s3://"
        )
    resources = {
        "requests": {"cpu": str(workload.cores), "memory": f"{workload.memory_request_mib}Mi"},
        "limits": {"memory": f"{workload.memory_limit_mib}Mi"},
    }
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": workload.object_name},
        "spec": {
            "predictor": {
                "minReplicas": workload.replicas,
                "maxReplicas": 2 * workload.replicas,
                "canaryTrafficPercent": workload.canary_percent,
                "model": {
                    "modelFormat": {"name": "tensorflow"},
                    "runtimeVersion": workload.image.rpartition(":")[2],
                    "storageUri": workload.storage,
                    "resources": resources,
                },
            }
        },
    }
    comment = f"{workload.arithmetic}\n\nWarning: {_WARNING}"
    return {"inference-service.yaml": document(service, comment), **workload.configs}


RENDERER = Renderer("kserve", files, warning=_WARNING)
