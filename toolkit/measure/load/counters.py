"""Means from a server's Prometheus counters: what they grew by during a load, as TensorFlow Serving shows them.

Its histograms have buckets that grow by 1.8, so no percentile is read from them; sums and counts are exact.
"""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace

from prometheus_client.parser import text_string_to_metric_families

from toolkit.errors import UnavailableError
from toolkit.measure.load.point import Point

_PREFIX = ":tensorflow:serving:"
_TIMEOUT_S = 5.0
Page = Mapping[str, float]
# Microseconds, by what a request goes through; the label names that tell whose they are, where there are such.
_LATENCY = f"{_PREFIX}request_latency"
_RUNTIME = f"{_PREFIX}runtime_latency"
_QUEUED = f"{_PREFIX}batching_session:queuing_latency"
_PROCESSED = f"{_PREFIX}batching_session:processed_batch_size"
_PADDING = f"{_PREFIX}batching_session:padding_size"
SERVER, RUNTIME, QUEUE, REST = "in the server", "of that runtime", "of that batch queue", "outside the server"


@dataclass(frozen=True)
class Counters:
    """The counters of one server.

    Args:
        url: of its page.
        models: whose requests count.
    """

    url: str
    models: tuple[str, ...]

    def read(self) -> Page:
        """Sums and counts by name, over these models.

        Raises:
            UnavailableError: there is no such page.
        """
        try:
            with urllib.request.urlopen(self.url, timeout=_TIMEOUT_S) as answer:  # noqa: S310  # http, by the user's own word
                return totals(answer.read().decode("utf-8", "replace"), self.models)
        except (OSError, ValueError, urllib.error.URLError, http.client.HTTPException) as error:
            raise UnavailableError(
                f"no metrics at {self.url}: {error}", hint="a server shows them with --monitoring_config_file"
            ) from error

    def described(self, point: Point, before: Page) -> Point:
        """The point with what the counters grew by: means in seconds, and the share of padding."""
        grown = {name: value - before.get(name, 0.0) for name, value in self.read().items()}
        means = {
            label: grown[f"{name}_sum"] / grown[f"{name}_count"] / 1e6
            for label, name in ((SERVER, _LATENCY), (RUNTIME, _RUNTIME), (QUEUE, _QUEUED))
            if grown.get(f"{name}_count")
        }
        if SERVER in means and len(point.records.from_send_ns):
            means[REST] = max(0.0, float(point.records.from_send_ns.mean()) / 1e9 - means[SERVER])
        rows = grown.get(f"{_PROCESSED}_sum", 0.0)
        padding = grown.get(f"{_PADDING}_sum", 0.0) / rows if rows else None
        return replace(point, server_s=means, padding=padding)


def totals(page: str, models: tuple[str, ...]) -> dict[str, float]:
    """Sums and counts of histograms by name, over the labels, of these models where a label says whose they are."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            ours = sample.labels.get("model_name", models[0] if models else "") in models
            # Over REST the same is called predict.
            predict = sample.labels.get("API", "Predict") in ("Predict", "predict")
            if ours and predict and sample.name.endswith(("_sum", "_count")):
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found
