"""Hand-made reports for the tests: call times that are known."""

from array import array
from collections.abc import Mapping, Sequence

from toolkit.measure.measurement import Key, Measurement
from toolkit.measure.plan import EFFORTS, Threads
from toolkit.measure.report import Report
from toolkit.measure.sampling import WarmUp

US, MS = 1_000, 1_000_000
MACHINE = {
    "cpu": "Known CPU",
    "cores": 2,
    "architecture": "x86_64",
    "governor": "performance",
    "versions": {"tensorflow": "2.21.0"},
    "flags": {},
}


def measurement(path: str, call_ns: int, *, batch_size: int = 1, rounds: int = 10, calls: int = 300) -> Measurement:
    """A path whose calls all take about as long, with 1 % of spread."""
    spread = [call_ns * (995 + at % 11) // 1000 for at in range(calls)]
    return Measurement(
        key=Key("mlp", path, batch_size, Threads(2, 2)),
        cold_s={"process": 0.1, "import": 2.0, "load": 0.3, "trace": 0.2, "first call": 0.05},
        warm_up=WarmUp(100, 1_000_000_000, flat=True),
        rounds=tuple(array("q", spread) for _ in range(rounds)),
        peak_bytes=500_000_000,
    )


def report(
    measurements: Sequence[Measurement], effort: str = "normal", machine: Mapping[str, object] | None = None
) -> Report:
    """A report of one model."""
    return Report(
        created="2026-11-22T12:00:00+00:00",
        machine=MACHINE if machine is None else machine,
        effort=EFFORTS[effort],
        settings={"max_seconds_per_path": EFFORTS[effort].most_s},
        seed=1,
        measurements=tuple(measurements),
        models={"mlp": {"trace": {"count": 1, "ops": 33}, "artifacts": {"onnx": 1234}}},
    )


def three_paths() -> Report:
    """Eager at 4 ms, a graph at 2 ms, and ONNX at 2 ms with a served path beside them."""
    served = measurement("grpc", 3 * MS)
    phases = {"client encode": 20, "network": 500, "queue": 100, "parse": 80, "compute": 2000, "encode": 60}
    served = Measurement(
        **{
            **{name: getattr(served, name) for name in ("key", "cold_s", "warm_up", "rounds", "peak_bytes")},
            "phases_ns": {name: array("q", [us * US] * 50) for name, us in phases.items()},
        }
    )
    return report([measurement("eager", 4 * MS), measurement("graph", 2 * MS), measurement("onnx", 2 * MS), served])
