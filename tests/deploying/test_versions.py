"""Numbers, records, pins and removal: no version comes twice, and nothing that somebody needs is removed."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.deploying.conftest import endpoints, watched
from toolkit.deploying import operations, records
from toolkit.deploying.layout import Layout
from toolkit.deploying.operations import Step, carry_out, list_versions, needed_versions
from toolkit.deploying.publish import publish, withdraw
from toolkit.deploying.records import Record
from toolkit.deploying.requests import Server
from toolkit.errors import DeployError, StoreError, UnavailableError, UsageError
from toolkit.serving.host import Host
from toolkit.verifying.bundle import check_files
from toolkit.wire.messages import Target

Publish = Callable[[int], None]
Make = Callable[..., Path]
NOBODY = Server()


def do(layout: Layout, steps: list[Step]) -> list[str]:
    said: list[str] = []
    with layout.alone():
        carry_out(steps, said.append, dry_run=False)
    return said


def rollback(layout: Layout, version: int | None = None, server: Server = NOBODY) -> list[str]:
    return do(layout, operations.rollback_steps(layout, version, server))


def promote(layout: Layout, version: int | None = None, server: Server = NOBODY) -> list[str]:
    return do(layout, operations.promote_steps(layout, version, server))


def gc(layout: Layout, keep: int, server: Server = NOBODY) -> list[str]:
    return do(layout, operations.gc_steps(layout, keep, needed_versions(layout, server)))


def publish_next(layout: Layout, made: Path) -> int:
    with layout.alone():
        return publish(layout, made, check_files(made), {})


def test_a_number_is_never_given_twice(layout: Layout, published: Publish, bundle: Make) -> None:
    published(3)
    made = bundle(5.0, 1)
    rollback(layout, 1)
    assert (layout.versions(), layout.withdrawn_versions()) == ([1], [2, 3])
    assert publish_next(layout, made) == 4
    with layout.alone():
        withdraw(layout, 4, "wrong")
        layout.discard(layout.withdrawn / "4")
    assert publish_next(layout, made) == 5


def test_a_bundle_keeps_its_own_number_where_that_is_above_all(layout: Layout, bundle: Make) -> None:
    assert publish_next(layout, bundle(version=17)) == 17
    assert publish_next(layout, bundle(version=16)) == 18


def test_a_refused_bundle_does_not_use_its_number_up(layout: Layout, bundle: Make) -> None:
    records.append(layout, Record("gate", 1, "refused"))
    assert publish_next(layout, bundle(version=1)) == 1


def test_numbers_that_come_to_an_end_are_told(layout: Layout, bundle: Make) -> None:
    (layout.base_path / str(2**63 - 1)).mkdir(parents=True)
    with pytest.raises(StoreError, match="no version number left"):
        publish_next(layout, bundle())


def test_a_clock_that_went_back_changes_nothing(
    layout: Layout, published: Publish, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(2)
    past = datetime.now(UTC) - timedelta(days=400)
    monkeypatch.setattr(records, "now", past.isoformat)
    assert publish_next(layout, bundle(9.0, 1)) == 3
    assert [record.version for record in records.read(layout)] == [1, 2, 3]
    assert records.read(layout)[-1].when < records.read(layout)[0].when
    rollback(layout)
    assert layout.versions() == [1, 2]


def test_leading_zeros_are_the_same_number(layout: Layout, bundle: Make) -> None:
    (layout.base_path / "007").mkdir(parents=True)
    (layout.base_path / "6").mkdir()
    for odd in ("1e3", "-3", "0x5", "foo", "99999999999999999999"):
        (layout.base_path / odd).mkdir()
    assert layout.versions() == [6, 7]
    assert layout.version_path(7).name == "007"
    assert publish_next(layout, bundle(version=7)) == 8
    rollback(layout, 7)
    rollback(layout, 6)
    assert layout.versions() == [6]
    promote(layout, 7)
    assert layout.version_path(7).name == "7"


def test_both_names_of_a_number_are_taken_out_together(layout: Layout) -> None:
    for name in ("6", "7", "007"):
        (layout.base_path / name).mkdir(parents=True)
    rollback(layout)
    assert (layout.versions(), layout.withdrawn_versions()) == ([6], [7])
    assert len(list(layout.withdrawn.iterdir())) == 2


def test_a_version_put_there_by_hand_is_listed_rolled_back_to_and_kept_unless_old(
    layout: Layout, published: Publish
) -> None:
    (layout.base_path / "1").mkdir(parents=True)
    (layout.base_path / "1" / "mark").touch()
    published_after = layout.versions()
    assert published_after == [1]
    (layout.base_path / "5").mkdir()
    facts = list_versions(layout, NOBODY)
    assert [(found.version, found.place, found.digest, found.when) for found in facts] == [
        (1, "live", "", ""),
        (5, "live", "", ""),
    ]
    rollback(layout)
    assert (layout.versions(), (layout.base_path / "1" / "mark").exists()) == ([1], True)
    promote(layout)
    assert gc(layout, 2) == []
    assert gc(layout, 1) == ["remove version 1"]
    assert layout.versions() == [5]


def test_records_cut_short_lose_nothing_that_matters(layout: Layout, published: Publish, bundle: Make) -> None:
    published(3)
    content = layout.records.read_bytes()
    digests = [found.digest for found in list_versions(layout, NOBODY)]
    for size in range(0, len(content), 7):
        layout.records.write_bytes(content[:size])
        facts = list_versions(layout, NOBODY)
        assert [found.version for found in facts] == [1, 2, 3]
        assert [found.digest for found in facts] == digests
        assert [found.figures for found in facts] == [{"p50_ms": 1.5}] * 3
        assert all(found.when for found in facts)
        records.append(layout, Record("rollout", 3, "done"))
        assert records.read(layout)[-1].step == "rollout"
    layout.records.unlink()
    assert publish_next(layout, bundle(9.0, 1)) == 4


def test_lines_that_are_no_records_are_passed_over(layout: Layout) -> None:
    records.append(layout, Record("publish", 1, "done"))
    with layout.records.open("a") as file:
        file.write('[]\n{}\n{"model": "times"}\n{"model": 1, "step": "publish", "version": "x", "outcome": ""}\nnull\n')
    records.append(layout, Record("publish", 2, "done"))
    assert records.versions_used(layout) == {1, 2}


def test_rollback_goes_to_the_one_before_or_the_one_named(layout: Layout, published: Publish) -> None:
    published(4)
    assert rollback(layout) == ["take out version 4"]
    assert rollback(layout, 1) == ["take out version 2", "take out version 3"]
    assert (layout.versions(), layout.withdrawn_versions()) == ([1], [2, 3, 4])
    assert promote(layout) == ["bring back version 4"]
    assert promote(layout, 2) == ["bring back version 2"]
    assert layout.versions() == [1, 2, 4]


def test_a_way_that_is_not_there_is_told(layout: Layout, published: Publish) -> None:
    published(1)
    with pytest.raises(DeployError, match="no version to go back to"):
        rollback(layout)
    with pytest.raises(UsageError, match="has no version 9"):
        rollback(layout, 9)
    with pytest.raises(DeployError, match="has no withdrawn version"):
        promote(layout)
    with pytest.raises(DeployError, match="has no withdrawn version 1"):
        promote(layout, 1)
    with pytest.raises(UsageError, match="leave nothing to serve"):
        gc(layout, 0)
    with pytest.raises(UsageError, match="has no version 9"):
        operations.pin_steps(layout, 9, keep=True)
    assert layout.versions() == [1]


def test_gc_keeps_the_newest_the_pinned_and_the_withdrawn_ones_that_may_come_back(
    layout: Layout, published: Publish
) -> None:
    published(6)
    do(layout, operations.pin_steps(layout, 2, keep=True))
    assert operations.pin_steps(layout, 2, keep=True) == []
    rollback(layout, 4)
    assert gc(layout, 1) == ["remove version 1", "remove version 3", "remove withdrawn version 5"]
    assert (layout.versions(), layout.withdrawn_versions()) == ([2, 4], [6])
    assert sorted(path.name for path in (layout.own / "proof").iterdir()) == ["2", "4", "6"]
    do(layout, operations.pin_steps(layout, 2, keep=False))
    assert gc(layout, 1) == ["remove version 2"]


def test_gc_keeps_what_a_server_has_in_memory(
    layout: Layout, published: Publish, production: Callable[..., Host], tmp_path: Path
) -> None:
    published(4)
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "times" base_path: "{layout.base_path}" model_platform: "tensorflow"'
        ' model_version_policy { specific { versions: 1 versions: 4 } } version_labels { key: "old" value: 1 } } }'
    )
    grpc, _ = endpoints(production(model_config_file=str(config), allow_version_labels_for_unavailable_models=True))
    server = Server(grpc=grpc.address)
    states = {found.version: found.state for found in list_versions(layout, server)}
    assert (states[1], states[4]) == ("AVAILABLE", "AVAILABLE")
    assert gc(layout, 1, server) == ["remove version 2", "remove version 3"]
    assert gc(layout, 1, Server(config=config)) == []
    labels = {found.version: found.labels for found in list_versions(layout, Server(config=config))}
    assert labels == {1: ["old"], 4: []}


def test_gc_removes_nothing_where_the_named_server_does_not_answer(layout: Layout, published: Publish) -> None:
    published(3)
    with pytest.raises(UnavailableError):
        gc(layout, 1, Server(grpc="127.0.0.1:1"))
    assert layout.versions() == [1, 2, 3]


def test_rollback_and_promote_ask_the_server_that_is_named(
    layout: Layout, published: Publish, production: Callable[..., Host]
) -> None:
    published(2)
    host = production("broken@2")
    server = Server(grpc=endpoints(host)[0].address)
    assert rollback(layout, None, server)[-1].startswith("ask 127.0.0.1:")
    watched(host).wait_until_available(Target("times", 1))
    with pytest.raises(DeployError, match="version 2 does not answer: production cannot load version 2"):
        promote(layout, None, server)


def test_nothing_is_made_where_nothing_was_deployed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing is deployed at"):
        Layout.of(tmp_path / "serving" / "times").require()
    assert list(tmp_path.iterdir()) == []
