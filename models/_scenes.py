"""Lays handwritten digits out on a larger canvas, and judges what a detector says it found there."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models._data import Rows, resized
from toolkit.core.tensors import Array, Outputs

SIZE = 64
MOST = 5
SMALLEST, LARGEST = 16, 28
OVERLAP_OF_A_HIT = 0.5
# Below this a pixel is the blur of enlarging, not ink.
INK = 0.15


@dataclass(frozen=True)
class Scenes:
    """Canvases of digits; boxes are top, left, bottom, right from 0 to 1, and the class of an unused place is -1."""

    images: Array
    boxes: Array
    classes: Array


def scenes(digits: Rows, count: int, seed: int) -> Scenes:
    """Seeded canvases with one to five of these digits on each, apart from each other."""
    rng = np.random.default_rng(seed)
    found = Scenes(
        np.zeros((count, SIZE, SIZE), dtype=np.float32),
        np.zeros((count, MOST, 4), dtype=np.float32),
        np.full((count, MOST), -1, dtype=np.int64),
    )
    for scene in range(count):
        for place, (top, left, size) in enumerate(_places(rng)):
            row = int(rng.integers(len(digits)))
            image = resized(digits.columns["image"][row : row + 1], size)[0]
            canvas = found.images[scene, top : top + size, left : left + size]
            np.maximum(canvas, image, out=canvas)
            found.boxes[scene, place] = (_ink_box(image) + np.array([top, left, top, left])) / SIZE
            found.classes[scene, place] = digits.labels[row]
    return found


def _places(rng: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    taken = np.zeros((SIZE, SIZE), dtype=bool)
    for _ in range(int(rng.integers(1, MOST + 1))):
        size = int(rng.integers(SMALLEST, LARGEST + 1))
        top, left = (int(corner) for corner in rng.integers(0, SIZE - size + 1, 2))
        area = taken[top : top + size, left : left + size]
        # The first always fits; a later one that would lie on another is left out.
        if not area.any():
            area[:] = True
            yield top, left, size


def _ink_box(image: Array) -> Array:
    rows, columns = np.nonzero(image > INK)
    return np.array([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])


def overlaps(box: Array, others: Array) -> Array:
    """Intersection over union of a box with each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(shared / np.maximum(area - shared, 1e-9))


@dataclass
class Score:
    """Counts of a comparison: digits found in the right place with the right class, claimed, and really there."""

    hits: int = 0
    claimed: int = 0
    there: int = 0

    def add(self, truth: Scenes, scene: int, outputs: Outputs, row: int) -> None:
        """Count one scene; a digit is found once at most."""
        real = truth.classes[scene] >= 0
        boxes, classes = truth.boxes[scene][real], truth.classes[scene][real]
        count = int(outputs["count"][row])
        free = np.ones(len(classes), dtype=bool)
        for box, label in zip(outputs["boxes"][row][:count], outputs["classes"][row][:count], strict=True):
            matching = np.where(free & (classes == label), overlaps(box, boxes), 0.0)
            best = int(matching.argmax())
            if matching[best] >= OVERLAP_OF_A_HIT:
                free[best] = False
        self.hits += int(np.sum(~free))
        self.claimed += count
        self.there += len(classes)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2.0 * self.hits / max(self.claimed + self.there, 1)
