"""Which versions are on disk, and which of them a policy wants."""

from pathlib import Path

import pytest

from tests.serving.fakes import ALL, latest, specific
from toolkit.serving.disk import directory_of, versions_on_disk, wanted_versions
from toolkit.wire.messages import VersionPolicy


@pytest.mark.parametrize(
    ("names", "versions"),
    [
        (["1", "2", "10"], {1: "1", 2: "2", 10: "10"}),
        (["00000005"], {5: "00000005"}),
        (["0"], {0: "0"}),
        (["9223372036854775807"], {2**63 - 1: "9223372036854775807"}),
        (["1e3", "-3", "foo", "0x5", "99999999999999999999", "9223372036854775808"], {}),
        (["1.5", "+4", " 4", "4 ", "1_000", "\u0665", "\u00b2", ".staging-1", "3.tmp"], {}),
        (["007", "7"], {7: "7"}),
        (["007", "07"], {7: "07"}),
        ([], {}),
    ],
)
def test_a_version_is_a_name_of_decimal_digits(tmp_path: Path, names: list[str], versions: dict[int, str]) -> None:
    for name in names:
        (tmp_path / name).mkdir()
    assert versions_on_disk(tmp_path) == {number: tmp_path / name for number, name in versions.items()}


def test_versions_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "0002", "1"):
        (tmp_path / name).mkdir()
    assert list(versions_on_disk(tmp_path) or ()) == [1, 2, 9, 10]


def test_a_plain_file_counts_as_a_version(tmp_path: Path) -> None:
    (tmp_path / "9").touch()
    assert versions_on_disk(tmp_path) == {9: tmp_path / "9"}


def test_a_missing_base_path_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert versions_on_disk(tmp_path / "missing") is None
    assert versions_on_disk(tmp_path) == {}


def test_a_file_as_base_path_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    assert versions_on_disk(tmp_path / "m") is None


def test_a_base_path_may_be_a_uri() -> None:
    assert directory_of("file:///models/m") == directory_of("/models/m") == Path("/models/m")


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        (VersionPolicy(), [10]),
        (latest(2), [2, 10]),
        (latest(9), [1, 2, 10]),
        (latest(0), [10]),
        (ALL, [1, 2, 10]),
        (specific(1, 10), [1, 10]),
        (specific(10, 1), [1, 10]),
        (specific(9), []),
        (specific(), []),
    ],
)
def test_a_policy_wants(policy: VersionPolicy, wanted: list[int]) -> None:
    assert wanted_versions([10, 1, 2], policy) == wanted


@pytest.mark.parametrize("policy", [VersionPolicy(), latest(3), ALL, specific(1)])
def test_no_policy_wants_what_is_not_there(policy: VersionPolicy) -> None:
    assert wanted_versions([], policy) == []
