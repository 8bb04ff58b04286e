"""`tfx-export render`: files for Docker Compose, Kubernetes or KServe, by measured figures."""

import sys
from pathlib import Path
from typing import Any

import click

from toolkit.cli.output import Answer, Output

_PATH = click.Path(path_type=Path)


@click.command(short_help="Write files for Compose, Kubernetes or KServe.")
@click.argument("engine")
@click.argument("base_path", type=_PATH)
@click.option("--out", type=_PATH, required=True, help="The folder to write to.")
@click.option("--rate", type=float, required=True, help="Requests a second, all servers together.")
@click.option("--capacity", type=float, help="Requests a second of one server within the SLO. [default: by --report]")
@click.option(
    "--report", "reports", type=_PATH, multiple=True,
    help="Of `load --slo --json`: capacity, memory; of `bench --json`: batch sizes.",
)  # fmt: skip
@click.option("--memory", type=float, metavar="MB", help="Of one server. [default: by --report, or by the gate]")
@click.option("--cpus", type=int, help="Of one server. [default: the report's]")
@click.option("--image", default="tensorflow/serving:2.21.0", show_default=True, help="TensorFlow Serving's image.")
@click.option("--canary-percent", type=int, default=10, show_default=True, help="kserve: a new version's traffic.")
@click.option("--storage-uri", "storage", default="", help="kserve: where the base path is fetched from.")
@click.pass_obj
def command(output: Output, /, engine: str, out: Path, **options: Any) -> Answer:
    """Write what runs BASE/NAME on ENGINE: compose, kubernetes or kserve."""
    from toolkit.deploying.rendering import RENDERERS, RenderRequest, render  # late: --help must not load NumPy

    workload, written = render(engine, RenderRequest(**options), out)
    warning = RENDERERS.load(engine).warning
    if warning and not output.quiet:
        sys.stderr.write(f"warning: {' '.join(warning.split())}\n")

    def show(screen: Output) -> None:
        screen.line(workload.arithmetic)
        for path in written:
            screen.line(str(path))

    figures = {
        "replicas": workload.replicas,
        "rate": workload.rate,
        "capacity": workload.capacity,
        "capacity_source": workload.source,
        "memory_bytes": workload.memory_bytes,
        "memory_source": workload.memory_source,
        "memory_request_mib": workload.memory_request_mib,
        "memory_limit_mib": workload.memory_limit_mib,
    }
    return Answer({"files": [str(path) for path in written], "warning": warning, **figures}, show)
