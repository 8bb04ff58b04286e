"""What the tests of serving share: a disk, a loader, and models that answer without TensorFlow."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.serving.fakes import Disk, FakeLoader
from tests.serving.running import Running, running
from toolkit.serving import transports
from toolkit.serving.transport import TRANSPORTS

Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Base paths of models, empty."""
    return Disk(tmp_path)


@pytest.fixture
def load() -> FakeLoader:
    """Loads what is on that disk."""
    return FakeLoader()


@pytest.fixture(scope="session", autouse=True)
def _patient_check() -> Iterator[None]:
    """On a machine that does ten other things the fast transport is given longer, or the other is tested twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transports, "_CHECK_TIMEOUT_S", 30.0)
        yield


@pytest.fixture(params=TRANSPORTS)
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Start:
    """Starts a server with each transport."""

    @contextmanager
    def started(**flags: Any) -> Iterator[Running]:
        with running(tmp_path, transport=request.param, **flags) as server:
            yield server

    return started
