"""Which calls may run on the polling thread."""

from toolkit.serving.paces import LONG_NS, SHORT_NS, Kind, Paces
from toolkit.wire.messages import Target

KIND: Kind = (Target("m"), 10)


def known() -> Paces:
    """After a first call."""
    paces = Paces()
    paces.ran_pooled(KIND, LONG_NS * 9)
    while not paces.short(KIND):
        paces.ran_pooled(KIND, SHORT_NS)
    return paces


def test_the_first_call_of_a_kind_goes_to_the_pool() -> None:
    assert not Paces().short(KIND)


def test_a_short_kind_stays_though_single_calls_are_slow() -> None:
    paces = known()
    for took_ns in (SHORT_NS // 2, SHORT_NS * 9, SHORT_NS * 9, SHORT_NS * 9, SHORT_NS // 2) * 5:
        paces.ran(KIND, took_ns)
        assert paces.short(KIND)


def test_a_kind_that_is_always_slow_goes_to_the_pool() -> None:
    paces = known()
    for _ in range(4):
        assert paces.short(KIND)
        paces.ran(KIND, SHORT_NS * 2)
    assert not paces.short(KIND)


def test_one_call_that_is_long_beyond_doubt_is_enough() -> None:
    paces = known()
    paces.ran(KIND, LONG_NS + 1)
    assert not paces.short(KIND)


def test_a_kind_is_tried_again_though_calls_side_by_side_looked_slow() -> None:
    paces = known()
    paces.ran(KIND, LONG_NS + 1)
    for _ in range(100):
        assert not paces.short(KIND)
        paces.ran_pooled(KIND, SHORT_NS * 20)
    assert paces.short(KIND)


def test_a_kind_that_is_long_on_the_pool_too_is_never_tried() -> None:
    paces = known()
    paces.ran(KIND, LONG_NS + 1)
    for _ in range(1000):
        paces.ran_pooled(KIND, LONG_NS * 2)
        assert not paces.short(KIND)


def test_kinds_that_clients_make_up_are_forgotten() -> None:
    paces = Paces()
    for size in range(10_000):
        paces.ran_pooled((Target("m"), size), SHORT_NS)
    assert len(paces._paces) <= 4096
