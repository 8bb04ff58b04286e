"""Two looks at the disk at the same time: neither loses what the other one saw."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.fakes import BY_HAND, Disk, FakeLoader, serving, wait_for
from toolkit.serving.disk import wanted_on_disk
from toolkit.serving.library import Library
from toolkit.wire.messages import ModelConfig


@pytest.fixture
def served(disk: Disk, load: FakeLoader) -> Iterator[Library]:
    """A server of model a, version 1."""
    disk.publish("a", 1)
    with serving(load, BY_HAND, disk.config("a")) as library:
        yield library


def test_a_list_that_repeats_a_model_still_being_added_does_not_lose_it(
    served: Library, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second list arrives while the first one's look at the disk is under way."""
    disk.publish("b", 1)
    repeated: list[list[str]] = []

    def look_slowly(config: ModelConfig) -> dict[int, Path] | None:
        if not repeated:
            repeated.append(served.reconfigure([disk.config("a"), disk.config("b")]))
        return wanted_on_disk(config)

    monkeypatch.setattr("toolkit.serving.library.wanted_on_disk", look_slowly)
    served.reconfigure([disk.config("a"), disk.config("b")])
    assert repeated == [[]]
    wait_for(served, "b", {1: "AVAILABLE"})


def test_what_an_older_look_at_the_disk_saw_does_not_undo_a_newer_one(
    served: Library, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[dict[int, Path] | None] = []

    def looks_at(config: ModelConfig) -> dict[int, Path] | None:
        found = wanted_on_disk(config)
        looks.append(found)
        if len(looks) == 1:
            disk.publish("a", 2)
            served.poll()
        return found

    monkeypatch.setattr("toolkit.serving.library.wanted_on_disk", looks_at)
    served.poll()
    assert [list(found or ()) for found in looks] == [[1], [2]]
    wait_for(served, "a", {2: "AVAILABLE", 1: "END"})
