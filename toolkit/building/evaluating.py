"""Asks the author's own data: feeds to calibrate with, and a score on rows that were held out."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from toolkit.building.blame import first_line, own_frame
from toolkit.core.model import DEFAULT_SIGNATURE, ModelSpec, Predict, TracedModel
from toolkit.core.tensors import Feed, Outputs, check_feed
from toolkit.errors import CatalogError, ToolkitError

# What is kept of the evaluation's feeds, to hold the calibration's range against.
_FEEDS_KEPT = 50


class Calibration:
    """The author's calibration data, read once and only where a format asks for it."""

    def __init__(self, traced: TracedModel) -> None:
        self._traced = traced

    @cached_property
    def feeds(self) -> Sequence[Feed]:
        """Those of `serving_default`; empty where there are none.

        Raises:
            CatalogError: the author's code raises, or what it gives does not fit the signature.
        """
        given, signatures = self._traced.spec.calibration, self._traced.signatures
        if given is None or DEFAULT_SIGNATURE not in signatures:
            return ()
        try:
            return [check_feed(signatures[DEFAULT_SIGNATURE], feed) for feed in given()]
        except Exception as error:  # runs the author's code
            raise _blamed(self._traced.spec, "calibration", error) from error


class Evaluation:
    """The author's `evaluate`, and what it asked."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._rows: set[str] = set()
        self.feeds: list[Feed] = []

    def score(self, predict: Predict) -> Mapping[str, float]:
        """Metric to value.

        Raises:
            CatalogError: the author's code raises.
        """
        evaluate = self._spec.evaluate
        assert evaluate is not None, "asked only of a model that has one"

        def watched(feed: Feed) -> Outputs:
            arrays = {name: np.asarray(value) for name, value in feed.items()}  # authors give lists, too
            self._rows.update(_rows_of(arrays))
            if len(self.feeds) < _FEEDS_KEPT:
                self.feeds.append(arrays)
            return predict(feed)

        try:
            found = evaluate(watched)
        except ToolkitError:
            raise
        except Exception as error:  # runs the author's code
            raise _blamed(self._spec, "evaluate", error) from error
        scores = found if isinstance(found, Mapping) else {"accuracy": found}
        return {name: float(score) for name, score in scores.items()}

    def shared_with(self, calibration: Sequence[Feed]) -> int:
        """How many rows of the calibration data were evaluated, too."""
        return sum(row in self._rows for feed in calibration for row in _rows_of(feed))


def _rows_of(feed: Feed) -> Iterator[str]:
    """A hash of each row of a feed; of the whole feed where an input has no rows."""
    count = {array.shape[0] if array.ndim else None for array in feed.values()}
    if len(count) != 1 or None in count:
        yield hashlib.sha256(b"".join(array.tobytes() for _, array in sorted(feed.items()))).hexdigest()
        return
    columns = [array for _, array in sorted(feed.items())]
    for row in zip(*columns, strict=True):
        cells = zip(columns, row, strict=True)
        values = [repr(cell).encode() if column.dtype.kind == "O" else cell.tobytes() for column, cell in cells]
        yield hashlib.sha256(b"\0".join(values)).hexdigest()


def _blamed(spec: ModelSpec, what: str, error: Exception) -> ToolkitError:
    if isinstance(error, ToolkitError):
        return CatalogError(f"{what} of '{spec.name}' does not fit: {error.message}", hint=error.hint)
    return CatalogError(
        f"{what} of '{spec.name}' failed: {type(error).__name__}: {first_line(error)}", hint=f"see {own_frame(error)}"
    )
