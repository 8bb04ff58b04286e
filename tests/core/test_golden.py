"""Golden cases come back as they were written, byte for byte; what no writer made is refused in words."""

import errno
import os
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from toolkit.core.golden import Case, read_golden, write_golden
from toolkit.core.tensors import NUMPY_DTYPES, Array, Signature, TensorSpec, dtype_name
from toolkit.errors import ParityError, StoreError

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
NAMES = st.text(min_size=1, max_size=8) | st.sampled_from(
    ["a/b:0", "x#bytes", "x%2F", "é/Ж", "x.npy", "/", "\0", "\ud800"]
)


def signatures_of(cases: list[Case]) -> dict[str, Signature]:
    inputs: dict[str, dict[str, TensorSpec]] = {}
    outputs: dict[str, dict[str, TensorSpec]] = {}
    for case in cases:
        for specs, tensors in ((inputs, case.feed), (outputs, case.outputs)):
            found = {name: TensorSpec(dtype_name(array.dtype), None) for name, array in tensors.items()}
            specs.setdefault(case.signature, {}).update(found)
    return {name: Signature(inputs=inputs[name], outputs=outputs[name]) for name in inputs}


def there_and_back(folder: Path, cases: list[Case]) -> list[Case]:
    write_golden(folder / "golden.npz", cases)
    return read_golden(folder / "golden.npz", signatures_of(cases))


def same(expected: Mapping[str, Array], actual: Mapping[str, Array]) -> bool:
    def equal(one: Array, other: Array) -> bool:
        if one.dtype == object:
            return one.tolist() == other.tolist()
        return one.tobytes() == other.tobytes()

    return list(expected) == list(actual) and all(
        array.dtype.newbyteorder("=") == actual[name].dtype
        and array.shape == actual[name].shape
        and equal(array.astype(actual[name].dtype), actual[name])
        for name, array in expected.items()
    )


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    dtype, shape = draw(st.sampled_from(sorted(NUMPY_DTYPES))), draw(SHAPES)
    if dtype == "string":
        items = draw(st.lists(st.binary(max_size=5), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array.reshape(shape)
    if dtype == "bfloat16":
        return draw(hnp.arrays(np.uint16, shape)).view(NUMPY_DTYPES[dtype])
    array = draw(hnp.arrays(NUMPY_DTYPES[dtype], shape))
    return draw(st.sampled_from([array, array.T, array[..., ::2] if array.ndim else array, array.astype(dtype, "F")]))


@st.composite
def many_cases(draw: st.DrawFn) -> list[Case]:
    signatures = draw(
        st.dictionaries(NAMES, st.tuples(*[st.dictionaries(NAMES, arrays(), max_size=2)] * 2), max_size=2)
    )
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return [
        Case(signature, name, feed, outputs)
        for name in names
        for signature, (feed, outputs) in signatures.items()
        if feed or outputs
    ]


@same_folder
@given(cases=many_cases())
def test_cases_come_back_as_they_were_written(tmp_path: Path, cases: list[Case]) -> None:
    found = there_and_back(tmp_path, cases)
    assert [(case.signature, case.name) for case in found] == [(case.signature, case.name) for case in cases]
    for case, back in zip(cases, found, strict=True):
        assert same(case.feed, back.feed)
        assert same(case.outputs, back.outputs)


@pytest.mark.parametrize("dtype", [name for name in NUMPY_DTYPES if name != "string"])
def test_numbers_keep_every_bit_and_either_byte_order(tmp_path: Path, dtype: str) -> None:
    little = NUMPY_DTYPES[dtype]
    bits = np.frombuffer(bytes(range(256)) * 4, np.uint8)
    array = (bits % 2 if dtype == "bool" else bits).view(little)
    feed = {"little": array, "none": array[:0], "one": array[:1].reshape(())}
    if dtype != "bfloat16":
        feed["big"] = array.astype(little.newbyteorder(">"))
    (case,) = there_and_back(tmp_path, [Case("s", "c", feed)])
    expected = {name: np.asarray(value, little).tobytes() for name, value in feed.items() if name != "big"}
    assert {name: value.tobytes() for name, value in case.feed.items() if name != "big"} == expected
    assert {value.dtype for value in case.feed.values()} == {little}
    if "big" in feed:
        np.testing.assert_array_equal(case.feed["big"], array)


def test_strings_keep_trailing_nuls_and_empty_ones(tmp_path: Path) -> None:
    text = np.array([[b"a\0\0", b"", "é".encode()], [b"\0", b"\xff", b"x" * 70_000]], dtype=object)
    (case,) = there_and_back(
        tmp_path, [Case("s", "c", {"text": text, "none": text[:0], "one": np.array(b"\0", object)})]
    )
    assert {name: array.tolist() for name, array in case.feed.items()} == {
        "text": text.tolist(),
        "none": [],
        "one": b"\0",
    }
    assert case.feed["none"].shape == (0, 3)


def test_the_keys_are_those_of_the_contract_and_numpy_reads_them(tmp_path: Path) -> None:
    text = np.array([b"a\0", b""], dtype=object)
    cases = [
        Case(
            "serving_default", "batch1", {"image": np.array([1.5], np.float32)}, {"dense/out:0": np.array([2], np.int8)}
        ),
        Case("serving_default", "batch1.again", {"image": np.array([1.5], np.float32)}, {"text#": text}),
    ]
    write_golden(tmp_path / "golden.npz", cases)
    with np.load(tmp_path / "golden.npz", allow_pickle=False) as file:
        assert {key: file[key].tolist() for key in file} == {
            "serving_default/batch1/feed/image": [1.5],
            "serving_default/batch1/output/dense/out:0": [2],
            "serving_default/batch1.again/feed/image": [1.5],
            "serving_default/batch1.again/output/text%23#bytes": [97, 0],
            "serving_default/batch1.again/output/text%23#offsets": [0, 2, 2],
            "serving_default/batch1.again/output/text%23#shape": [2],
        }


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(12.0).reshape(3, 4)
    for name, feed in {"c": array, "fortran": np.asfortranarray(array), "big": array.astype(">f8")}.items():
        write_golden(tmp_path / name, iter([Case("s", "c", {"x": feed})]))
    assert len({(tmp_path / name).read_bytes() for name in ("c", "fortran", "big")}) == 1
    assert b"1980" not in (tmp_path / "c").read_bytes()


def test_a_case_is_written_once(tmp_path: Path) -> None:
    with pytest.raises(ParityError, match="'s' has two golden cases 'c'"):
        write_golden(tmp_path / "golden.npz", [Case("s", "c"), Case("s", "c")])
    assert not (tmp_path / "golden.npz").exists()


def test_what_is_no_tensor_is_not_written(tmp_path: Path) -> None:
    for value in (np.array(["2020"], "datetime64[s]"), np.array([(1,)], [("a", "i4")])):
        with pytest.raises(ParityError, match=r"s/c/feed/x: .* is no dtype of a tensor"):
            write_golden(tmp_path / "golden.npz", [Case("s", "c", {"x": value})])
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    path.symlink_to("/dev/full")
    with pytest.raises(StoreError, match="no space left on device"):
        write_golden(path, [Case("s", "c", {"x": np.zeros(100_000)})])
    assert not path.is_symlink()
    with pytest.raises(StoreError):
        write_golden(tmp_path / "missing" / "golden.npz", [])


def test_a_large_array_is_neither_written_nor_read_with_a_second_copy(tmp_path: Path) -> None:
    array = np.zeros((1000, 4000), np.float32)
    cases = [Case("s", "c", {"c": array, "transposed": array.T})]
    tracemalloc.start()
    try:
        write_golden(tmp_path / "golden.npz", cases)
        writing = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        read_golden(tmp_path / "golden.npz", signatures_of(cases))
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert writing < 0.5 * array.nbytes
    assert reading < 2.5 * array.nbytes


def test_a_file_that_cannot_be_opened_is_the_stores_to_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any, **named: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    (tmp_path / "golden.npz").touch()
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StoreError, match="permission denied"):
        read_golden(tmp_path / "golden.npz", {})
