"""Carries out what was asked: targets that answer, workers that load them, searches and sweeps; a report out."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime
from typing import Any

from toolkit.measure.awake import ASLEEP, cores_awake
from toolkit.measure.load import search, sweeping
from toolkit.measure.load.counters import Counters
from toolkit.measure.load.crew import Crew
from toolkit.measure.load.disturbing import Disturbance
from toolkit.measure.load.ground import Asked, Ground, Watch, workers_for
from toolkit.measure.load.point import Point
from toolkit.measure.load.report import LoadReport
from toolkit.measure.load.request import CALLERS, LoadRequest
from toolkit.measure.load.search import Found, Rates, Slo
from toolkit.measure.load.streams import Payload, prepare
from toolkit.measure.load.targets import Aims, Serving, aims_at, check_loopback
from toolkit.measure.machine import machine_facts
from toolkit.measure.measurement import Status
from toolkit.measure.worker import peak_bytes

Say = Callable[[str], object]
# Of what callers get who ask as fast as they can: where a curve is measured.
_CURVE = (0.1, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
_FURTHER, _MOST_POINTS = 1.25, 16
_CAPACITY_CALLERS, _CAPACITY_S = 16, 3.0
_LEAST_S = 2.0
# A load of a search lasts as long as its percentile needs, up to so many times --duration.
_LONGEST = 3.0
_LOADS = "10 to 20"
_FIRST_SHARE = 0.25
_MOST_RATE = 50_000.0


class _InterruptedError(Exception):
    """A person ended it; what was measured is kept."""


class Session:
    """One request, while it is carried out; what was measured so far is there even when it is interrupted."""

    def __init__(self, request: LoadRequest, say: Say, watch: Watch) -> None:
        self._request, self._say, self._watch = request, say, watch
        self._slo = Slo.read(*request.slo) if request.slo else None
        self.points: list[Point] = []
        self.found: dict[str, Any] = {}
        self.interrupted = False
        self.server_bytes: int | None = None

    def run(self, crew: Crew | None = None) -> None:
        """Measure everything that was asked for, with workers of its own unless some are lent."""
        with ExitStack() as stack:
            if crew is None:
                crew = stack.enter_context(Crew(workers_for(self._request), verbose=self._request.verbose))
            try:
                if self._request.sweep:
                    self._sweep(crew)
                else:
                    self._serve(self._request.serving, crew, self._loads)
            except (_InterruptedError, KeyboardInterrupt):
                self.interrupted = True

    def _serve(self, serving: Serving, crew: Crew, measure: Callable[[Ground, Aims], object]) -> None:
        request = self._request
        with aims_at(request.targets, serving, request.reach, request.place) as aims:
            for aim in aims.aims:
                check_loopback(aim.remote, allow_remote=request.allow_remote)
            counters = _counters(request, aims)
            for rows in request.batch_sizes or (None,):
                self._say("asking once")
                payload = Payload(request.feeds, rows, request.signature, request.seed)
                weights = request.weights or (1.0,) * len(aims.aims)
                streams = [
                    prepare(aim, payload, weight, request.timeout_s)
                    for aim, weight in zip(aims.aims, weights, strict=True)
                ]
                ground = Ground(request, streams, crew, rows, self._watch, counters)
                self._at_rest_s = ground.rest()
                measure(ground, aims)
            if aims.stage is not None:
                self.server_bytes = peak_bytes(aims.stage.served.pid)

    def _loads(self, ground: Ground, aims: Aims) -> None:
        request = self._request
        if request.searches:
            self.found["slo"] = self._search(ground).to_json()
        elif request.curve:
            self._curve(ground)
        else:
            for asked in self._asked():
                self._measure(ground, asked, aims)
            if self._slo is not None:
                self.found["slo"] = self._gate(self._slo)

    def _asked(self) -> Sequence[Asked]:
        request = self._request
        seconds = request.duration_s
        if request.traced:
            return [Asked(seconds)]
        if request.rates:
            return [Asked(seconds, rate=rate) for rate in request.rates]
        return [Asked(seconds, callers=callers) for callers in request.callers or CALLERS]

    def _measure(self, ground: Ground, asked: Asked, aims: Aims | None = None) -> Point:
        meanwhile = None
        if self._request.during and aims is not None:
            meanwhile = Disturbance.of(self._request.during, aims.stage, asked.seconds).meanwhile
        point, interrupted = ground.point(asked, meanwhile)
        self.points.append(point)
        if interrupted:
            raise _InterruptedError
        return point

    def _search(self, ground: Ground, variant: str = "", rates: Rates | None = None) -> Found:
        """The highest rate that holds the limit, among these or all."""
        slo = self._slo
        assert slo is not None, "a search has a limit"
        longest_s = _LONGEST * self._request.duration_s
        least = max(1.0, slo.seconds_at(1.0) / longest_s)
        if rates is None:
            rates = Rates(max(least, _FIRST_SHARE / self._at_rest_s), least, _MOST_RATE)
            self._say(f"searching from {rates.first:.3g}/s on: mostly {_LOADS} loads of up to {longest_s:.3g} s")

        def measure(rate: float) -> Point:
            seconds = min(longest_s, max(_LEAST_S, slo.seconds_at(rate)))
            point = self._measure(ground, Asked(seconds, rate=rate, variant=variant))
            self._say(f"{rate:.1f}/s: {slo.broken_by(point) or 'holds'}")
            return point

        return search.search(slo, measure, rates)

    def _gate(self, slo: Slo) -> dict[str, Any]:
        broken = {str(point.shape): why for point in self.points if (why := slo.broken_by(point))}
        said = "; ".join(f"{name}: {why}" for name, why in broken.items()) or "held"
        return {"limit": str(slo), "said": said, "broken": broken}

    def _curve(self, ground: Ground) -> None:
        rates = self._request.rates
        if not rates:
            asked = Asked(min(_CAPACITY_S, self._request.duration_s), callers=_CAPACITY_CALLERS)
            capacity = self._measure(ground, asked).records.rate_achieved
            rates = tuple(capacity * share for share in _CURVE)
        points = [self._measure(ground, Asked(self._request.duration_s, rate=rate)) for rate in rates]
        while not self._request.rates and search.keeps_up(points[-1]) and len(points) < _MOST_POINTS:
            # Callers who wait for each other's answers do not always bring a server to its limit.
            rate = points[-1].shape.rate * _FURTHER
            points.append(self._measure(ground, Asked(self._request.duration_s, rate=rate)))
        valid = [point for point in points if point.status[0] is Status.VALID]
        knee = search.knee(valid or points)
        if knee is not None:
            doubt = "" if valid else ", of figures that are not valid"
            self.found["knee"] = {"rate": knee.shape.rate, "said": f"{knee.shape.load}{doubt}"}

    def _sweep(self, crew: Crew) -> None:
        tried: list[sweeping.Tried] = []
        for batching in sweeping.TRIED:
            self._say(f"trying {batching}")
            begun, loads = time.monotonic(), len(self.points)

            def measure(ground: Ground, _: Aims, batching: sweeping.Batching = batching) -> None:
                tried.append(self._tried(ground, batching, tried[0].rate if tried else None))

            with sweeping.with_batching(self._request.serving, batching) as serving:
                self._serve(serving, crew, measure)
            took_s, left = time.monotonic() - begun, len(sweeping.TRIED) - len(tried)
            outlook = f"; {left} to go, at most about {took_s * left:.0f} s" if left else ""
            self._say(f"{batching}: {tried[-1].said}; loads: {len(self.points) - loads}, {took_s:.0f} s{outlook}")
        self.found["batching"] = sweeping.verdict(tried)

    def _tried(self, ground: Ground, batching: sweeping.Batching, base: float | None) -> sweeping.Tried:
        variant = str(batching)
        if self._slo is None or self._request.rates:
            asked = Asked(self._request.duration_s, rate=self._request.rates[0], variant=variant)
            return sweeping.Tried(batching, None, self._measure(ground, asked))
        better = Rates(base * sweeping.GAIN, base * sweeping.GAIN, _MOST_RATE) if base else None
        found = self._search(ground, variant, better)
        short_of = better.first if better and found.rate is None else None
        return sweeping.Tried(batching, found.rate, found.point, short_of, limited=True)


def measure_load(
    request: LoadRequest,
    say: Say = lambda text: None,
    watch: Watch = lambda name, glance: None,
    crew: Crew | None = None,
) -> LoadReport:
    """Load what a request names; what a person interrupts gives what there is.

    Args:
        request: what and how.
        say: hears what is done between loads.
        watch: sees a load while it runs.
        crew: workers that are there already; else as many as the request takes are started.

    Raises:
        ToolkitError: a target does not answer, or what is asked for makes no sense.
    """
    session = Session(request, say, watch)
    with nullcontext(ASLEEP) if request.let_sleep else cores_awake() as idle:
        machine = machine_facts() | {"idle cores": idle}
        session.run(crew)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    points = tuple(session.points)
    return LoadReport(
        created,
        machine,
        request.settings(),
        request.seed,
        points,
        session.found,
        session.interrupted,
        session.server_bytes,
    )


def _counters(request: LoadRequest, aims: Aims) -> Counters | None:
    url = request.metrics_url or next((aim.metrics_url for aim in aims.aims if aim.metrics_url), "")
    return Counters(url, tuple(aim.remote.target.model for aim in aims.aims)) if url else None
