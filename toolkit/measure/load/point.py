"""One load and what came of it: the raw records and the facts around them; every figure is computed from these."""

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from toolkit.measure.load import outcomes
from toolkit.measure.load.recording import encoded
from toolkit.measure.load.records import Numbers, Records
from toolkit.measure.load.tape import COLUMNS
from toolkit.measure.measurement import Status
from toolkit.measure.statistics import Interval, percentile

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
# Above these the client was the limit, and the figures are about it.
MOST_LATE, MOST_CPU = 0.01, 0.80
CLIENT_ENCODE, CLIENT_DECODE = "client encode", "client decode"


@dataclass(frozen=True)
class Shape:
    """What kind of load it was.

    Args:
        model: whom it asked, several with plus signs between them.
        protocol: grpc or rest, with +tls or +unix where it went that way.
        batch_size: rows of a request.
        arrival: constant, poisson, or a file's name; empty for callers that wait for their answers.
        rate: requests a second that were to be sent; 0 for callers.
        callers: those who each wait for an answer; 0 for a rate.
        variant: what else tells it from the others, as a setting of the server.
    """

    model: str
    protocol: str
    batch_size: int
    arrival: str = ""
    rate: float = 0.0
    callers: int = 0
    variant: str = ""

    @property
    def load(self) -> str:
        """The load by itself, as `200/s poisson`."""
        text = (
            f"{self.callers} caller{'s' * (self.callers != 1)}" if self.callers else f"{self.rate:.6g}/s {self.arrival}"
        )
        return f"{text}, {self.variant}" if self.variant else text

    def __str__(self) -> str:
        return f"{self.model} over {self.protocol}, batch {self.batch_size}, {self.load}"


@dataclass(frozen=True, eq=False)
class Point:
    """One load on one target.

    Args:
        streams: the models asked, in the order of their numbers in the records.
        cpu_shares: of one core, for each worker, while it worked.
        words: what was first said with each kind of error, by its name.
        lost: connections that were lost and made again.
        problem: what is wrong with the answers; empty when nothing is.
        codec_s: seconds that the client takes to encode a request and to decode an answer, measured at rest.
        server_s: means by phase, in seconds, by the difference of a server's own counters.
        events: what happened meanwhile: seconds since counting began, and what.
        padding: of batches: rows filled in, by rows run; None where nobody counted.
        client: what the requests were sent by; empty where nobody said.
    """

    shape: Shape
    streams: tuple[str, ...]
    records: Records
    cpu_shares: tuple[float, ...] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    lost: int = 0
    problem: str = ""
    codec_s: Mapping[str, float] = field(default_factory=dict)
    server_s: Mapping[str, float] = field(default_factory=dict)
    events: tuple[tuple[float, str], ...] = ()
    padding: float | None = None
    client: str = ""

    @property
    def corrected_ns(self) -> Numbers:
        """Latencies from when requests were due."""
        return self.records.corrected_ns

    def percentile_s(self, wanted: float, *, corrected: bool = True) -> Interval | None:
        """A percentile in seconds with its bounds; None where the samples are too few."""
        found = percentile(self.corrected_ns if corrected else self.records.uncorrected_ns, wanted)
        return Interval(found.value / 1e9, found.low / 1e9, found.high / 1e9) if found else None

    @property
    def client_cpu(self) -> float:
        """The busiest worker's share of a core."""
        return max(self.cpu_shares, default=0.0)

    @property
    def cpu_us(self) -> float:
        """The client's processor time for each request, in µs; of the warm-up's requests too."""
        sent = int((self.records.columns["sent"] >= 0).sum())
        spent_s = sum(self.cpu_shares) * (float(self.records.columns["done"].max(initial=0)) / 1e9)
        return spent_s / max(1, sent) * 1e6

    @cached_property
    def doubts(self) -> list[str]:
        """What keeps the figures from being about the server; empty when nothing does."""
        found = []
        if not len(self.corrected_ns):
            found.append(f"no request was answered: {next(iter(self.words.values()), 'none was sent')}")
        if not self.shape.callers and self.records.late_share > MOST_LATE:
            found.append(f"the client was the limit: {self.records.late_share:.1%} of the requests were sent late")
        if self.client_cpu >= MOST_CPU:
            found.append(f"the client was the limit: a worker took {self.client_cpu:.0%} of a core")
        return found

    @property
    def status(self) -> tuple[Status, str]:
        """The verdict and its reason."""
        if self.problem:
            return Status.WRONG, self.problem
        return (Status.INVALID, "; ".join(self.doubts)) if self.doubts else (Status.VALID, "")

    def medians_s(self) -> dict[str, float]:
        """Where the time of a request goes: the median of each phase, in the order in which it goes through them."""
        return self._phases(lambda values: float(np.median(values)))

    def slowest_s(self) -> dict[str, float]:
        """The same of the slowest 1 %: the mean of each phase."""
        well = self.records.counted["outcome"] == outcomes.WELL
        total = (self.records.counted["done"] - self.records.counted["due"])[well]
        if not len(total):
            return {}
        slow = total >= np.percentile(total, 99)
        return self._phases(lambda values: float(values[slow].mean()))

    def _phases(self, one_of: Any) -> dict[str, float]:
        phases = {name: one_of(values) / 1e9 for name, values in self.records.phases_ns.items() if len(values)}
        wait = {"client wait": phases.pop("client wait")} if "client wait" in phases else {}
        before, after = (
            {name: self.codec_s[name]} if name in self.codec_s else {} for name in (CLIENT_ENCODE, CLIENT_DECODE)
        )
        return {**before, **wait, **phases, **after}

    def summary(self) -> dict[str, Any]:
        """The figures, for programs that do not compute them; nothing reads them back."""
        records, (status, reason) = self.records, self.status
        sends = records.send_error_ns
        return {
            "status": status.value,
            "reason": reason,
            "requests": len(records),
            "corrected_ms": _figures(records.corrected_ns),
            "uncorrected_ms": _figures(records.uncorrected_ns) | {"waiting_callers": records.waiting_callers},
            "rate_offered": records.rate_offered,
            "rate_achieved": records.rate_achieved,
            "rows_per_s": records.rate_achieved * self.shape.batch_size,
            "late_percent": records.late_share * 100,
            "send_error_p99_ms": float(np.percentile(sends, 99)) / 1e6 if len(sends) else None,
            "client_cpu_percent": self.client_cpu * 100,
            "client_cpu_us_per_request": self.cpu_us,
            "errors": dict(records.errors),
            "timeouts": records.count(outcomes.TIMEOUTS),
            "refused": records.count(outcomes.REFUSALS),
            "reconnects": self.lost,
            "where_ms": {name: value * 1e3 for name, value in self.medians_s().items()},
            "streams": {
                name: _figures(records.of_stream(at).corrected_ns) | {"errors": dict(records.of_stream(at).errors)}
                for at, name in enumerate(self.streams)
            },
        }

    def to_json(self) -> dict[str, Any]:
        """The facts, raw samples included, and the figures that follow from them."""
        return {
            **{name: getattr(self.shape, name) for name in SHAPE},
            "streams": list(self.streams),
            "cpu_shares": list(self.cpu_shares),
            "words": dict(self.words),
            "lost": self.lost,
            "problem": self.problem,
            "codec_s": dict(self.codec_s),
            "server_s": dict(self.server_s),
            "events": [list(event) for event in self.events],
            "padding": self.padding,
            "client": self.client,
            "from_ns": self.records.from_ns,
            "until_ns": self.records.until_ns,
            "summary": self.summary(),
            "histograms": {
                "corrected": encoded(self.corrected_ns),
                "uncorrected": encoded(self.records.uncorrected_ns),
            },
            "requests": {name: _packed(self.records.columns[name]) for name in COLUMNS},
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> "Point":
        """The point that `to_json` wrote; KeyError, TypeError or ValueError where it is not one."""
        columns = {name: _unpacked(entry["requests"][name]) for name in COLUMNS}
        if len({len(values) for values in columns.values()}) != 1:
            raise ValueError("columns of unlike lengths")
        return cls(
            shape=Shape(**{name: entry[name] for name in SHAPE}),
            streams=tuple(entry["streams"]),
            records=Records(columns, entry["from_ns"], entry["until_ns"]),
            cpu_shares=tuple(entry["cpu_shares"]),
            words=entry["words"],
            lost=entry["lost"],
            problem=entry["problem"],
            codec_s=entry["codec_s"],
            server_s=entry["server_s"],
            events=tuple((float(at), str(what)) for at, what in entry["events"]),
            padding=entry["padding"],
            client=entry.get("client", ""),  # reports of before have none
        )


SHAPE = ("model", "protocol", "batch_size", "arrival", "rate", "callers", "variant")


def _figures(latencies_ns: Numbers) -> dict[str, Any]:
    """Milliseconds by percentile, null where the samples are too few; the least, mean and largest."""
    found = {f"p{wanted:g}": percentile(latencies_ns, wanted) for wanted in PERCENTILES}
    named: dict[str, Any] = {name: one.value / 1e6 if one else None for name, one in found.items()}
    if not len(latencies_ns):
        return named | {"count": 0}
    ends = {"min": latencies_ns.min(), "mean": latencies_ns.mean(), "max": latencies_ns.max()}
    return named | {name: float(value) / 1e6 for name, value in ends.items()} | {"count": len(latencies_ns)}


def _packed(values: Sequence[int] | Numbers) -> str:
    """Int64s, little endian, as the difference of each from the one before, deflated, in base64."""
    whole = np.asarray(values, dtype="<i8")
    return base64.b64encode(zlib.compress(np.diff(whole, prepend=0).astype("<i8").tobytes(), 6)).decode("ascii")


def _unpacked(text: str) -> Numbers:
    try:
        content = zlib.decompress(base64.b64decode(text, validate=True))
    except zlib.error as error:
        raise ValueError(f"a column is damaged: {error}") from error
    return np.cumsum(np.frombuffer(content, dtype="<i8"), dtype=np.int64)
