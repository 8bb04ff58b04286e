"""Canvases of digits, and the judgement of what a detector says of them."""

import numpy as np
import pytest

from models._data import digits
from models._scenes import MOST, Scenes, Score, overlaps, scenes
from toolkit.core.tensors import Array

TRUTH = Scenes(
    np.zeros((1, 4, 4), np.float32),
    np.array([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]]], np.float32),
    np.array([[3, 7]]),
)


def judged(boxes: list[list[float]], classes: list[int]) -> Score:
    score = Score()
    outputs: dict[str, Array] = {
        "boxes": np.array([boxes], np.float32).reshape(1, -1, 4),
        "classes": np.array([classes]),
        "count": np.array([len(classes)]),
    }
    score.add(TRUTH, 0, outputs, 0)
    return score


FIRST, SECOND = TRUTH.boxes[0].tolist()


@pytest.mark.parametrize(
    ("boxes", "classes", "f1"),
    [
        ([FIRST, SECOND], [3, 7], 1.0),
        ([FIRST, SECOND], [7, 3], 0.0),
        ([], [], 0.0),
        ([FIRST], [3], 2 / 3),
        ([FIRST, FIRST], [3, 3], 0.5),
        ([[0.0, 0.0, 0.5, 0.2]], [3], 0.0),
    ],
    ids=["all", "wrong classes", "nothing", "one of two", "one twice", "too small a box"],
)
def test_a_digit_counts_once_with_its_class_and_half_of_its_box(
    boxes: list[list[float]], classes: list[int], f1: float
) -> None:
    assert judged(boxes, classes).f1 == pytest.approx(f1)


def test_overlap_is_the_shared_part_of_both() -> None:
    others = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 1.5], [2.0, 2.0, 3.0, 3.0]])
    assert overlaps(np.array([0.0, 0.0, 1.0, 1.0]), others).tolist() == pytest.approx([1.0, 1 / 3, 0.0])


def test_every_canvas_holds_digits_inside_it_and_says_which() -> None:
    found = scenes(digits().train, 50, 0)
    used = found.classes >= 0
    assert used[:, 0].all()
    assert used.shape == (50, MOST)
    assert (found.boxes[used][:, 2:] > found.boxes[used][:, :2]).all()
    assert found.boxes.min() >= 0.0
    assert found.boxes.max() <= 1.0
    assert found.images.max(axis=(1, 2)).min() > 0.5


def test_canvases_follow_their_seed() -> None:
    first, again, other = (scenes(digits().train, 3, seed).images for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
