"""Docker Compose: TensorFlow Serving and Prometheus on one machine."""

from collections.abc import Mapping

from toolkit.deploying.rendering import CONFIG_FOLDER, MODELS_FOLDER, Renderer, Workload
from toolkit.deploying.yaml_text import document

PROMETHEUS = "prom/prometheus:v3.5.0"
_METRICS = "/monitoring/prometheus/metrics"
_LOCKED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def files(workload: Workload) -> Mapping[str, str]:
    """compose.yaml, prometheus.yml and TensorFlow Serving's own files."""
    scraped = {
        "job_name": "tensorflow-serving",
        "metrics_path": _METRICS,
        "static_configs": [{"targets": ["serving:8501"]}],
    }
    return {
        "compose.yaml": document(_compose(workload), f"docker compose up\n\n{workload.arithmetic}"),
        "prometheus.yml": document({"global": {"scrape_interval": "15s"}, "scrape_configs": [scraped]}),
        **{f"config/{name}": text for name, text in workload.configs.items()},
    }


def _compose(workload: Workload) -> dict[str, object]:
    serving = {
        "image": workload.image,
        "command": workload.flags,
        # The image's own entry point would add flags of its own.
        "entrypoint": ["tensorflow_model_server"],
        "user": "65532:65532",
        **_LOCKED,
        "tmpfs": ["/tmp"],  # noqa: S108  # inside the container
        "ports": ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"],
        "volumes": [
            f"{workload.base_path}:{MODELS_FOLDER}/{workload.name}:ro",
            f"./config:{CONFIG_FOLDER}:ro",
        ],
        "deploy": {
            "resources": {
                "limits": {"memory": f"{workload.memory_limit_mib}M", "cpus": str(workload.cores)},
                "reservations": {"memory": f"{workload.memory_request_mib}M"},
            }
        },
        "restart": "unless-stopped",
    }
    prometheus = {
        "image": PROMETHEUS,
        **_LOCKED,
        "ports": ["127.0.0.1:9090:9090"],
        "volumes": ["./prometheus.yml:/etc/prometheus/prometheus.yml:ro", "prometheus:/prometheus"],
        "depends_on": ["serving"],
        "restart": "unless-stopped",
    }
    return {
        "name": workload.object_name,
        "services": {"serving": serving, "prometheus": prometheus},
        "volumes": {"prometheus": {}},
    }


RENDERER = Renderer("compose", files)
