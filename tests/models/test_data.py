"""The rows of the committed data: how they are split, drawn, resized and judged."""

import numpy as np
import pytest

from models._data import LANGUAGES, TOKENS, Rows, Split, alphabet, digits, encoded, letters, resized, sentences
from models.tabular import example, penguins

SPLITS = {"digits": digits, "sentences": sentences, "letters": letters, "penguins": penguins}
ROWS = Rows({"number": np.arange(5, dtype=np.float32)}, np.array([0, 1, 0, 1, 0]))


def rows_of(rows: Rows) -> set[bytes]:
    columns = [column.tolist() for column in rows.columns.values()]
    return {repr(row).encode() for row in zip(*columns, strict=True)}


@pytest.mark.parametrize("name", SPLITS)
def test_no_row_is_both_trained_on_and_held_out(name: str) -> None:
    split: Split = SPLITS[name]()
    assert rows_of(split.train).isdisjoint(rows_of(split.held_out))


@pytest.mark.parametrize("name", SPLITS)
def test_about_a_quarter_of_each_class_is_held_out(name: str) -> None:
    split: Split = SPLITS[name]()
    trained, held_out = (np.bincount(rows.labels) for rows in (split.train, split.held_out))
    share = held_out / (trained + held_out)
    # The sentences are split by message, which no class decides.
    assert np.all((share > 0.18) & (share < 0.30))


def test_rows_are_drawn_without_repeats_while_there_are_enough() -> None:
    assert sorted(ROWS.draw(5, 0)["number"].tolist()) == [0, 1, 2, 3, 4]
    assert len(ROWS.draw(1000, 0)["number"]) == 1000


def test_accuracy_is_the_share_of_rows_with_the_largest_score_at_their_class() -> None:
    assert ROWS.accuracy(lambda feed: {"scores": np.eye(2)[feed["number"].astype(int) % 2]}, "scores") == 1.0
    assert ROWS.accuracy(lambda feed: {"scores": np.eye(2)[[0] * len(feed["number"])]}, "scores") == 0.6


def test_resizing_keeps_a_flat_image_flat_and_an_equal_size_as_it_is() -> None:
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4)
    assert np.array_equal(resized(image, 4), image)
    assert np.allclose(resized(np.ones((2, 8, 8), np.float32), 28), 1.0)


def test_resizing_interpolates_between_the_middles_of_pixels() -> None:
    image = np.array([[[0.0, 4.0], [0.0, 4.0]]], dtype=np.float32)
    assert resized(image, 4)[0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


def test_a_text_becomes_known_letters_unknown_ones_and_padding() -> None:
    row = encoded(["Ab\u4e00", "x" * 100])
    assert row.shape == (2, TOKENS)
    assert row[0, :4].tolist() == [alphabet()["a"], alphabet()["b"], 1, 0]
    assert (row[1] == alphabet()["x"]).all()


def test_every_language_has_sentences() -> None:
    assert set(sentences().train.labels.tolist()) == set(range(len(LANGUAGES)))


def test_a_row_is_written_as_tensorflow_writes_it() -> None:
    # tf.train.Example.SerializeToString(deterministic=True) of TensorFlow 2.21
    expected = (
        b"\nA\n\x0e\n\x01a\x12\t\n\x07\n\x05Dream\n\r\n\x01b\x12\x08\x12\x06\n\x04ff\x1cB"
        b"\n\x13\n\x01c\x12\x0e\x1a\x0c\n\n\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01\n\x0b\n\x01d\x12\x06\x1a\x04\n\x02\xac\x02"
    )
    assert example({"a": b"Dream", "b": np.float32(39.1), "c": np.int64(-3), "d": np.int64(300)}) == expected
