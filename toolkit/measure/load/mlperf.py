"""MLPerf's SingleStream and Server scenarios, by mlcommons-loadgen itself: its schedule, its rules, its logs."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.building.isolate import Isolated
from toolkit.core.files import storage_errors
from toolkit.errors import UsageError, nearest
from toolkit.measure.load import loadgen
from toolkit.measure.load.loadgen import SCENARIOS, SERVER, Scenario
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.search import Slo
from toolkit.measure.load.streams import Payload, prepare
from toolkit.measure.load.targets import aims_at, check_loopback
from toolkit.measure.statistics import samples_needed

_DEFAULT_PERCENTILE = {"SingleStream": 90.0, "Server": 99.0}
_LINE = re.compile(r"^\s*(?P<name>[^:]+?)\s*:\s*(?P<value>.+?)\s*$")
_VALID = "Result is"
_GRACE_S = 300.0


@dataclass(frozen=True)
class MlperfResult:
    """What LoadGen found.

    Args:
        summary: its own, name to value.
        errors: requests without a good answer, which LoadGen does not know of.
        logs: where its logs are.
    """

    scenario: Scenario
    summary: Mapping[str, str]
    errors: int
    word: str
    logs: Path

    @property
    def valid(self) -> bool:
        """Whether LoadGen's rules hold, and every answer was a good one."""
        return self.summary.get(_VALID) == "VALID" and not self.errors

    @property
    def reason(self) -> str:
        """Why it is not valid."""
        if self.errors:
            return f"{self.errors} errors: {self.word}"
        broken = [name for name, value in self.summary.items() if value.casefold() == "no"]
        return f"the result is {self.summary.get(_VALID, 'missing')}" + f" ({', '.join(broken)})" * bool(broken)

    def rows(self) -> Iterator[tuple[str, str]]:
        """The summary as a table's rows."""
        yield from self.summary.items()
        yield "errors", str(self.errors)

    def to_json(self) -> dict[str, Any]:
        """The summary and where the logs are."""
        return {
            "kind": "tfx-export mlperf",
            "scenario": self.scenario.name,
            "valid": self.valid,
            "reason": "" if self.valid else self.reason,
            "errors": self.errors,
            "summary": dict(self.summary),
            "logs": str(self.logs),
        }


def run_mlperf(request: LoadRequest, name: str, logs: Path | None) -> MlperfResult:
    """One MLPerf run on one target.

    Raises:
        UsageError: there is no such scenario, or Server has no rate or limit.
        UnavailableError: LoadGen is not installed, or nobody answers.
    """
    scenario = scenario_of(request, name)
    folder = logs if logs is not None else Path(tempfile.mkdtemp(prefix="tfx-export-mlperf-"))
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with aims_at(request.targets, request.serving, request.reach, request.place) as aims:
        check_loopback(aims.aims[0].remote, allow_remote=request.allow_remote)
        rows = request.batch_sizes[0] if request.batch_sizes else None
        payload = Payload(request.feeds, rows, request.signature, request.seed)
        route = prepare(aims.aims[0], payload, 1.0, request.timeout_s).traffic.route
        with Isolated(verbose=request.verbose) as child:
            longest_s = max(scenario.seconds, scenario.queries * scenario.timeout_s) + _GRACE_S
            text, errors, word = child.run(loadgen.play, route, scenario, folder.absolute(), timeout_s=longest_s)
    return MlperfResult(scenario, summary_of(text), errors, word, folder)


def scenario_of(request: LoadRequest, name: str) -> Scenario:
    """The scenario with the request's settings.

    Raises:
        UsageError: there is no such scenario, or Server has no rate or limit.
    """
    if name not in SCENARIOS:
        raise UsageError(f"there is no MLPerf scenario '{name}' here", hint=nearest(name, SCENARIOS))
    if len(request.targets) > 1 or len(request.rates) > 1 or len(request.batch_sizes) > 1:
        raise UsageError("LoadGen loads one target at one rate and batch size", hint="run it once for each")
    slo = Slo.read(*request.slo) if request.slo else Slo(_DEFAULT_PERCENTILE[name], 0.0)
    rate = request.rates[0] if request.rates else 0.0
    if name == SERVER and not (rate and slo.limit_s):
        raise UsageError("Server needs a rate and a limit", hint="--mlperf Server --rate 100 --slo p99=20ms")
    queries = request.requests or samples_needed(slo.percentile)
    return Scenario(name, request.duration_s, queries, rate, slo.percentile, slo.limit_s, request.timeout_s)


def summary_of(text: str) -> dict[str, str]:
    """LoadGen's summary, name to value; titles and rules between them are left out."""
    found = (_LINE.match(line) for line in text.splitlines())
    return {match["name"]: match["value"] for match in found if match}
