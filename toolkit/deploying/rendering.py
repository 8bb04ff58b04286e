"""From measured figures to files for an engine that runs many servers: the figures, the arithmetic, who writes what."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.core.files import storage_errors
from toolkit.core.plugins import Registry
from toolkit.deploying import operations, publish
from toolkit.deploying.commands import DEFAULT_IMAGE
from toolkit.deploying.figures import Figure, Figures, read_figures
from toolkit.deploying.layout import Layout
from toolkit.deploying.requests import Server
from toolkit.errors import UsageError
from toolkit.measure.measurement import Measurement
from toolkit.wire.configs import write_config_text
from toolkit.wire.messages import ModelConfig

MODELS_FOLDER = "/models"
CONFIG_FOLDER = "/config"
# Half as much again for what grows under load; twice because a new version loads while the old one still answers.
REQUEST_FACTOR, LIMIT_FACTOR = 1.5, 2.5
_MIB = 2**20


@dataclass(frozen=True)
class Workload:
    """What shall be served, and what was measured of it.

    Args:
        base_path: the model's base path on the machine that renders.
        rate: requests a second, all servers together.
        capacity: requests a second that one server answers within the SLO.
        source: where the capacity comes from, in words.
        memory_bytes: of one server with one version.
        memory_source: where that comes from, in words.
        batching: the text of a batching.config; empty where no report says that batches pay.
        canary_percent: of the traffic, for a new version, where the engine splits it.
        storage: where an engine that fetches models finds the base path.
    """

    name: str
    base_path: Path
    rate: float
    capacity: float
    source: str
    memory_bytes: int
    memory_source: str = "measured by the gate"
    cores: int = 1
    batching: str = ""
    image: str = DEFAULT_IMAGE
    canary_percent: int = 10
    storage: str = ""

    @property
    def replicas(self) -> int:
        """How many servers the rate needs."""
        return max(1, math.ceil(self.rate / self.capacity))

    @property
    def memory_request_mib(self) -> int:
        """What a server is given."""
        return math.ceil(self.memory_bytes * REQUEST_FACTOR / _MIB)

    @property
    def memory_limit_mib(self) -> int:
        """Where it is ended."""
        return math.ceil(self.memory_bytes * LIMIT_FACTOR / _MIB)

    @property
    def object_name(self) -> str:
        """The model's name as clusters spell names."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:50]

    @property
    def arithmetic(self) -> str:
        """How the figures came about, a line each."""
        measured = self.memory_bytes / _MIB
        return (
            f"replicas: {self.rate:g} requests/s / {self.capacity:g} requests/s of one server = {self.replicas}\n"
            f"capacity: {self.source}\n"
            f"memory: {measured:.0f} MiB with one version, {self.memory_source}; request x {REQUEST_FACTOR:g} = "
            f"{self.memory_request_mib} MiB,\n"
            f"  limit x {LIMIT_FACTOR:g} = {self.memory_limit_mib} MiB (a new version loads while the old one answers)"
        )

    @property
    def flags(self) -> list[str]:
        """Those of tensorflow_model_server, for the files of `configs` in CONFIG_FOLDER."""
        batching = ["--enable_batching=true", f"--batching_parameters_file={CONFIG_FOLDER}/batching.config"]
        return [
            "--port=8500",
            "--rest_api_port=8501",
            f"--model_config_file={CONFIG_FOLDER}/models.config",
            "--model_config_file_poll_wait_seconds=30",
            f"--monitoring_config_file={CONFIG_FOLDER}/monitoring.config",
            *(batching if self.batching else []),
        ]

    @property
    def configs(self) -> dict[str, str]:
        """TensorFlow Serving's own files."""
        found = {
            "models.config": write_config_text([ModelConfig(self.name, f"{MODELS_FOLDER}/{self.name}")]),
            "monitoring.config": 'prometheus_config {\n  enable: true\n  path: "/monitoring/prometheus/metrics"\n}\n',
        }
        return found | ({"batching.config": self.batching} if self.batching else {})


@dataclass(frozen=True)
class Renderer:
    """One engine.

    Args:
        files: file name to text.
        warning: what a person should know before using them; empty for nothing.
    """

    name: str
    files: Callable[[Workload], Mapping[str, str]]
    warning: str = ""


RENDERERS: Registry[Renderer] = Registry("toolkit.deploying.render", "RENDERER", "tfx_export.renderers")


@dataclass(frozen=True)
class RenderRequest:
    """What people ask for; the fields are the options of `tfx-export render`.

    Args:
        reports: of `tfx-export load` (capacity, memory) and `tfx-export bench` (batch sizes; a lower bound of both).
        capacity: requests a second of one server within the SLO; None takes what the reports say.
        memory: MB of one server; None takes what a load, the gate or a benchmark measured.
    """

    base_path: Path
    rate: float
    reports: tuple[Path, ...] = ()
    capacity: float | None = None
    memory: float | None = None
    cpus: int | None = None
    image: str = DEFAULT_IMAGE
    canary_percent: int = 10
    storage: str = ""

    def workload(self) -> Workload:
        """The figures, from what was measured.

        Raises:
            UsageError: a figure is missing or makes no sense.
        """
        layout = Layout.of(self.base_path)
        figures = read_figures(self.reports, _names(layout))
        capacity, memory = self._capacity(figures), self._memory(layout, figures)
        cores = figures.cores if self.cpus is None else self.cpus
        self._check(capacity.value, memory.value, cores)
        return Workload(
            name=layout.name,
            base_path=layout.base_path,
            rate=self.rate,
            capacity=capacity.value,
            source=capacity.source,
            memory_bytes=int(memory.value),
            memory_source=memory.source,
            cores=cores,
            batching=batching_text(figures.rows, cores),
            image=self.image,
            canary_percent=self.canary_percent,
            storage=self.storage,
        )

    def _check(self, capacity: float, memory_bytes: float, cores: int) -> None:
        figures = {"--rate": self.rate, "--capacity": capacity, "--memory": memory_bytes, "--cpus": cores}
        # A rate that is not finite needs no number of servers.
        wrong = [name for name, value in figures.items() if not (math.isfinite(value) and value > 0)]
        if wrong:
            raise UsageError(f"{' and '.join(wrong)} must be above 0", hint="correct the options")
        if not 0 <= self.canary_percent <= 100:
            raise UsageError("--canary-percent is from 0 to 100", hint="correct the options")

    def _capacity(self, figures: Figures) -> Figure:
        if self.capacity is not None:
            return Figure(self.capacity, "as given with --capacity")
        if figures.capacity is None:
            raise UsageError(
                "nothing says what one server can do",
                hint="give --capacity, or the --report of `tfx-export load MODEL --slo p99=20ms --json`",
            )
        return figures.capacity

    def _memory(self, layout: Layout, figures: Figures) -> Figure:
        if self.memory is not None:
            return Figure(self.memory * 1e6, "as given with --memory")
        if figures.memory is not None:
            return figures.memory
        gated = [facts.figures.get("memory_bytes") for facts in operations.list_versions(layout, Server())]
        known = [Figure(float(found), "measured by the gate") for found in gated if found]
        known = known or [Figure(row.peak_bytes, "measured by the benchmark") for row in figures.rows if row.peak_bytes]
        if not known:
            raise UsageError("nothing says how much memory a server needs", hint="give --memory, in MB")
        return known[-1]


def _names(layout: Layout) -> set[str]:
    """What clients call the model, and what its bundles do."""
    bundles = {str(publish.read_facts(layout, version).get("model", "")) for version in layout.versions()}
    return {layout.name, *bundles} - {""}


def batching_text(rows: Sequence[Measurement], cores: int) -> str:
    """A batching.config from the batch sizes that were measured; empty where larger ones do not pay.

    A batch waits no longer than one call of batch 1 takes: whoever comes alone is at most twice as slow.
    """
    if not rows:
        return ""
    best = max(rows, key=lambda row: row.rows_per_s)
    if best.key.batch_size == 1:
        return ""
    sizes = sorted({1, *(row.key.batch_size for row in rows if row.key.batch_size <= best.key.batch_size)})
    wait_us = max(1, round(rows[0].median_s * 1e6))
    figures = {
        "max_batch_size": best.key.batch_size,
        "batch_timeout_micros": wait_us,
        "num_batch_threads": cores,
        "max_enqueued_batches": 100 * cores,
    }
    lines = [f"# {best.rows_per_s:.0f} rows/s at batch {best.key.batch_size}, {rows[0].rows_per_s:.0f} at batch "
             f"{rows[0].key.batch_size}, by one caller over gRPC"]  # fmt: skip
    lines += [f"{name} {{ value: {value} }}" for name, value in figures.items()]
    lines += [f"allowed_batch_sizes: {size}" for size in sizes]
    return "\n".join(lines) + "\n"


def render(engine: str, request: RenderRequest, out: Path) -> tuple[Workload, list[Path]]:
    """Writes an engine's files; gives what they were made from.

    Raises:
        UsageError: there is no such engine, or a figure is missing.
        StoreError: the folder cannot be written.
    """
    renderer, workload = RENDERERS.load(engine), request.workload()
    written = []
    for name, text in renderer.files(workload).items():
        path = out / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        written.append(path)
    return workload, written
