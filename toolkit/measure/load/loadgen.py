"""What the process of an MLPerf run does: LoadGen asks, our senders carry its queries, LoadGen hears of the answers."""

import threading
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from toolkit.errors import UnavailableError
from toolkit.measure.load import outcomes
from toolkit.measure.load.jobs import Route
from toolkit.measure.load.sending import open_sender
from toolkit.measure.sampling import SECOND_NS

SINGLE_STREAM, SERVER = "SingleStream", "Server"
SCENARIOS = (SINGLE_STREAM, SERVER)
_QUICKEST_NS = 50_000
_SUMMARY = "mlperf_log_summary.txt"


@dataclass(frozen=True)
class Scenario:
    """One of MLPerf's scenarios and its settings.

    Args:
        name: SingleStream or Server.
        rate: queries a second, of Server.
        percentile: of the latency that counts, as in 99.
        limit_s: of that latency, of Server.
        seconds: at least.
        queries: at least.
    """

    name: str
    seconds: float
    queries: int
    rate: float = 0.0
    percentile: float = 99.0
    limit_s: float = 0.0
    timeout_s: float = 10.0


class _Bridge:
    """From LoadGen's queries to a sender, and back."""

    def __init__(self, loadgen: Any, route: Route, timeout_s: float) -> None:
        self._loadgen, self._route = loadgen, route
        self._ids: dict[int, int] = {}
        self._counting = threading.Lock()
        self._sender = open_sender(route.endpoint, 1, timeout_s, self)
        self._number = self.errors = 0
        self.word = ""

    def issue(self, samples: Any) -> None:
        """LoadGen asks."""
        for sample in samples:
            with self._counting:
                number = self._number
                self._number += 1
                self._ids[number] = sample.id
            self._sender.send(number, self._route.path, self._route.bodies[sample.index])

    def sending(self, number: int) -> None:
        """LoadGen has its own clock."""

    def finished(self, number: int, outcome: int, told: Any, content: bytes | str) -> None:
        """Tells LoadGen; it knows no errors, so they are counted here."""
        if outcome != outcomes.WELL:
            self.errors += 1
            self.word = self.word or f"{outcomes.name_of(outcome)}: {content!s}"
        self._loadgen.QuerySamplesComplete([self._loadgen.QuerySampleResponse(self._ids.pop(number), 0, 0)])

    def close(self) -> None:
        """Ends the connection."""
        self._sender.close()


def play(route: Route, scenario: Scenario, logs: Path) -> tuple[str, int, str]:
    """LoadGen's summary, the number of errors, and what was first said with one.

    Raises:
        UnavailableError: LoadGen is not installed.
    """
    try:
        loadgen = import_module("mlperf_loadgen")  # by name: an extra
    except ImportError as error:
        raise UnavailableError("LoadGen is not installed", hint="pip install 'tfx-export[mlperf]'") from error
    bridge = _Bridge(loadgen, route, scenario.timeout_s)
    count = len(route.bodies)
    system = loadgen.ConstructSUT(bridge.issue, lambda: None)
    library = loadgen.ConstructQSL(count, count, lambda indices: None, lambda indices: None)
    try:
        log = loadgen.LogSettings()
        log.log_output.outdir = str(logs)
        log.log_output.copy_summary_to_stdout = False
        log.enable_trace = False
        # An audit file would change the settings; there is none of this name.
        loadgen.StartTestWithLogSettings(system, library, _settings(loadgen, scenario), log, str(logs / "no.config"))
    finally:
        bridge.close()  # first: the thread that hears of answers may still be inside LoadGen
        loadgen.DestroyQSL(library)
        loadgen.DestroySUT(system)
    return (logs / _SUMMARY).read_text(encoding="utf-8"), bridge.errors, bridge.word


def _settings(loadgen: Any, scenario: Scenario) -> Any:
    found = loadgen.TestSettings()
    found.scenario = getattr(loadgen.TestScenario, scenario.name)
    found.mode = loadgen.TestMode.PerformanceOnly
    found.min_duration_ms = round(scenario.seconds * 1e3)
    found.min_query_count = scenario.queries
    if scenario.name == SERVER:
        found.server_target_qps = scenario.rate
        found.server_target_latency_ns = round(scenario.limit_s * SECOND_NS)
        found.server_target_latency_percentile = scenario.percentile / 100
    else:
        found.single_stream_target_latency_percentile = scenario.percentile / 100
        # From this LoadGen decides how many queries to have ready; with too few a run ends before its least duration.
        found.single_stream_expected_latency_ns = _QUICKEST_NS
    return found
