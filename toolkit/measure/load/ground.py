"""Carries out single loads on prepared targets: a schedule or callers in, a point with all that came of it out."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from toolkit.errors import UnavailableError
from toolkit.measure.load import outcomes
from toolkit.measure.load.arrivals import Bounds, Moments, arrivals, mean_rate
from toolkit.measure.load.counters import Counters
from toolkit.measure.load.crew import Crew, Glance, Load, Played
from toolkit.measure.load.jobs import Choices, choose
from toolkit.measure.load.point import CLIENT_DECODE, CLIENT_ENCODE, Point, Shape
from toolkit.measure.load.records import Records
from toolkit.measure.load.request import LoadRequest
from toolkit.measure.load.streams import Stream
from toolkit.measure.load.traffic import difference
from toolkit.measure.sampling import SECOND_NS
from toolkit.wire.endpoints import UNIX
from toolkit.wire.messages import Endpoint, Protocol

# What one worker sends without being the limit, with room to spare; measured in docs/performance.md.
RATE_OF_A_WORKER = 2000.0
_CONNECTIONS = {Protocol.GRPC: 1, Protocol.REST: 256}
_REST_CALLS = 40
Watch = Callable[[str, Glance], object]
Meanwhile = Callable[[float], AbstractContextManager[list[tuple[float, str]]]]


@dataclass(frozen=True)
class Asked:
    """One load: a rate, or callers.

    Args:
        seconds: counted; the warm-up comes before.
        variant: what tells it from others of the same load.
    """

    seconds: float
    rate: float = 0.0
    callers: int = 0
    variant: str = ""


@dataclass
class Ground:
    """Targets that have answered, at one batch size, and the workers that load them.

    Args:
        rows: of a request; None sends feeds as they are.
        counters: of the server, where it shows them.
        at_rest: the answer to each payload when nothing else was asked; those that do not repeat are left out.
    """

    request: LoadRequest
    streams: Sequence[Stream]
    crew: Crew
    rows: int | None
    watch: Watch
    counters: Counters | None = None
    at_rest: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def rest(self) -> float:
        """Learns each payload's answer at rest; gives the median latency in seconds.

        Raises:
            UnavailableError: nothing is answered well.
        """
        first, second = self._at_rest(), self._at_rest()
        protocols = [stream.traffic.remote.endpoint.protocol for stream in self.streams]
        self.at_rest = {
            key: body
            for key, body in first.answers.items()
            if key in second.answers and not difference(protocols[key[0]], body, second.answers[key])
        }
        well = second.columns["outcome"] == outcomes.WELL
        if not well.any():
            word = next(iter(second.words.values()), "no answer")
            raise UnavailableError(f"no request was answered: {word}", hint="`tfx-export predict TARGET` asks once")
        return float(np.median((second.columns["done"] - second.columns["sent"])[well])) / 1e9

    def _at_rest(self) -> Played:
        pairs = [(at, which) for at, one in enumerate(self.streams) for which in range(len(one.traffic.feeds))]
        times = max(1, _REST_CALLS // len(pairs))
        choices = Choices(*(np.array([pair[part] for pair in pairs] * times, dtype=np.int64) for part in (0, 1)))
        count = len(pairs) * times
        seconds = max(1.0, count * self.request.timeout_s)
        return self._play(Asked(seconds, callers=1), choices, None, count, quiet=True)

    def point(self, asked: Asked, meanwhile: Meanwhile | None = None) -> tuple[Point, bool]:
        """Carry out a load; the point, and whether a person interrupted it.

        Args:
            asked: the load.
            meanwhile: what happens during it; gets the seconds from now until counting begins, and notes events.
        """
        request, warm_s = self.request, self.request.warm_up_s
        due, most = None, None
        if asked.callers:
            most = request.requests
            warm_s = 0.0 if most is not None else warm_s
        else:
            due = arrivals(request.arrival, asked.rate, self._bounds(asked, warm_s), request.seed)
        count = None if due is None else len(due)
        sizes = [len(stream.traffic.feeds) for stream in self.streams]
        choices = choose([stream.traffic.weight for stream in self.streams], sizes, count, request.seed)
        before = self.counters.read() if self.counters else {}
        with meanwhile(warm_s) if meanwhile else nullcontext([]) as events:
            played = self._play(asked, choices, due, most)
        rate = asked.rate or (mean_rate(due) if due is not None else 0.0)
        records = Records(played.columns, *_window(played, warm_s, asked, limited=request.requests is not None))
        point = Point(
            shape=self._shape(asked, rate),
            streams=self._names(),
            records=records,
            cpu_shares=played.cpu_shares,
            words={outcomes.name_of(outcome): text for outcome, text in played.words.items()},
            lost=played.lost,
            problem=self._problem(played),
            codec_s=self._codec_s(),
            events=tuple(events),
            client=" and ".join(played.clients),
        )
        if self.counters:
            point = self.counters.described(point, before)
        return point, played.interrupted

    def _bounds(self, asked: Asked, warm_s: float) -> Bounds:
        limit = self.request.requests
        if limit is None:
            return Bounds(warm_s + asked.seconds)
        return Bounds(warm_s + asked.seconds, limit + round(warm_s * asked.rate))

    def _play(
        self, asked: Asked, choices: Choices, due: Moments | None, most: int | None, *, quiet: bool = False
    ) -> Played:
        warm_s = self.request.warm_up_s if most is None else 0.0
        seconds = asked.seconds + warm_s
        endpoints = [stream.traffic.remote.endpoint for stream in self.streams]
        load = Load(
            tuple(stream.traffic.route for stream in self.streams),
            choices,
            seconds,
            due,
            asked.callers,
            most,
            self.request.timeout_s,
            self.request.connections or max(_CONNECTIONS[endpoint.protocol] for endpoint in endpoints),
        )
        name = str(self._shape(asked, asked.rate))
        return self.crew.play(load, lambda glance: None if quiet else self.watch(name, glance))

    def _shape(self, asked: Asked, rate: float) -> Shape:
        names = [stream.traffic.name for stream in self.streams]
        protocols = dict.fromkeys(_way(stream.traffic.remote.endpoint) for stream in self.streams)
        arrival = "" if asked.callers else Path(self.request.arrival).name
        return Shape("+".join(names), "+".join(protocols), self.rows or 1, arrival, rate, asked.callers, asked.variant)

    def _names(self) -> tuple[str, ...]:
        """What tells the streams from each other: their models, and where one is asked in several ways, how."""
        plain = [stream.traffic.name for stream in self.streams]
        ways = [f"{one.traffic.name} over {_way(one.traffic.remote.endpoint)}" for one in self.streams]
        names = [way if plain.count(name) > 1 else name for name, way in zip(plain, ways, strict=True)]
        return tuple(f"{name}, {at + 1}" if names.count(name) > 1 else name for at, name in enumerate(names))

    def _problem(self, played: Played) -> str:
        found = next((stream.problem for stream in self.streams if stream.problem), "")
        for (stream, payload), body in sorted(played.answers.items()):
            expected = self.at_rest.get((stream, payload))
            if not found and expected is not None:
                protocol = self.streams[stream].traffic.remote.endpoint.protocol
                found = difference(protocol, expected, body)
        return found

    def _codec_s(self) -> dict[str, float]:
        weights = [stream.traffic.weight for stream in self.streams]
        return {
            name: float(np.average([stream.codec_s[name] for stream in self.streams], weights=weights))
            for name in (CLIENT_ENCODE, CLIENT_DECODE)
        }


def workers_for(request: LoadRequest) -> int:
    """How many processes a request takes: as many as its rate asks for, leaving a core to the server."""
    if request.workers:
        return request.workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = int(np.ceil(max(request.rates, default=0.0) / RATE_OF_A_WORKER))
    return max(1, min(wanted, cores - 1))


def _way(endpoint: Endpoint) -> str:
    tls, unix = "+tls" * endpoint.tls, "+unix" * endpoint.address.startswith(UNIX)
    return f"{endpoint.protocol.value}{tls}{unix}"


def _window(played: Played, warm_s: float, asked: Asked, *, limited: bool) -> tuple[int, int]:
    """From when on requests count, and until when."""
    start = int(warm_s * SECOND_NS)
    due, done = played.columns["due"], played.columns["done"]
    end = start + int(asked.seconds * SECOND_NS)
    if limited or played.interrupted:
        # Cut short: the time that it took, to the last answer, or for a schedule to the last moment that was due.
        last = done.max(initial=0) if asked.callers else due.max(initial=0)
        end = min(end, int(last) + 1)
    return start, max(end, start + 1)
