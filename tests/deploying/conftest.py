"""What the tests of deploying share: bundles, a private server without TensorFlow, and one in production."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.deploying.bundles import make_bundle
from tests.deploying.server import TimesLoader, serving
from toolkit.deploying import gate
from toolkit.deploying.commands import EmbeddedCommand, Ports
from toolkit.deploying.config_file import ConfigFile
from toolkit.deploying.deployment import Plan, Rollout
from toolkit.deploying.gate import Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.publish import publish
from toolkit.deploying.rollout import DirectoryRollout, Production
from toolkit.serving.host import Host
from toolkit.verifying.bundle import check_files
from toolkit.wire.messages import Endpoint, Protocol

QUICK = Limits(load_timeout_s=20.0, rate=1000.0, requests=20)
# Long enough to see that a server does not come; what is waited for has come to its end already.
SHORT = Limits(load_timeout_s=2.0, rate=1000.0, requests=20)


OTHER = """
config {
  name: "other" base_path: "BASE/other" model_platform: "tensorflow"
  model_version_policy { specific { versions: 4 } }
  version_labels { key: "stable" value: 4 }
  logging_config { sampling_config { sampling_rate: 0.5 } }
}
"""


@dataclass(frozen=True)
class StandIn(EmbeddedCommand):
    """A script of this folder in place of our own server."""

    script: str = "server.py"
    words: tuple[str, ...] = ()

    def line(self, model: str, base_path: Path, ports: Ports) -> list[str]:
        flags = super().line(model, base_path, ports)[4:]
        return [sys.executable, str(Path(__file__).with_name(self.script)), *self.words, *flags]

    def version(self) -> str | None:
        return "2.21.0"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a first request may take long for reasons that are not the model's."""
    monkeypatch.setattr(gate, "FIRST_REQUEST_FLOOR_S", 10.0)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Where `times` is deployed to."""
    return Layout(tmp_path / "serving", "times")


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Makes bundles: `bundle(factor, version)`."""

    def make(factor: float = 2.0, version: int = 1, **more: Any) -> Path:
        return make_bundle(tmp_path / f"bundle-{factor}-{version}", factor, version, **more)

    return make


@pytest.fixture
def published(layout: Layout, bundle: Callable[..., Path]) -> Callable[[int], None]:
    """Publishes versions 1 to n without a gate; version n multiplies by n + 1."""

    def publish_all(count: int) -> None:
        with layout.alone():
            for version in range(1, count + 1):
                made = bundle(version + 1.0, version)
                assert publish(layout, made, check_files(made), {"p50_ms": 1.5}) == version

    return publish_all


@pytest.fixture
def plan(layout: Layout) -> Callable[..., Plan]:
    """A plan with the stand-in as the private server: `plan(bundle, fault, limits=..., rollout=...)`."""

    def make(made: Path, *faults: str, limits: Limits = QUICK, rollout: Rollout | None = None) -> Plan:
        command = StandIn(words=tuple(f"--fault={fault}" for fault in faults))
        return Plan(made, layout, rollout or DirectoryRollout(), command, limits)

    return make


@pytest.fixture
def ungated(plan: Callable[..., Plan]) -> Callable[..., Plan]:
    """The same without a private server, as with --server remote."""
    return lambda made, rollout: replace(plan(made, rollout=rollout), command=None)


@pytest.fixture
def production(layout: Layout) -> Iterator[Callable[..., Host]]:
    """Starts servers on the base path in this process: `production(faults, **flags)`."""
    with ExitStack() as stack:

        def start(*faults: str, **flags: Any) -> Host:
            flags = flags or {"model_name": layout.name, "model_base_path": str(layout.base_path)}
            return stack.enter_context(serving(TimesLoader(faults), **flags))

        yield start


@pytest.fixture
def config(layout: Layout, published: Callable[[int], None]) -> ConfigFile:
    """Two models: `times` serves version 1 of two on disk as stable, `other` its version 4."""
    published(2)
    (layout.base / "other" / "4").mkdir(parents=True)
    (layout.base / "other" / "4" / "factor").write_text("7")
    path = layout.base / "models.config"
    path.write_text("model_config_list {" + OTHER.replace("BASE", str(layout.base)) + times(layout) + "}")
    return ConfigFile(path)


def times(layout: Layout, policy: str = "specific { versions: 1 }", labels: str = "stable") -> str:
    return (
        f'config {{ name: "times" base_path: "{layout.base_path}" model_platform: "tensorflow"'
        f' model_version_policy {{ {policy} }} version_labels {{ key: "{labels}" value: 1 }} }}'
    )


@pytest.fixture
def serve(config: ConfigFile, production: Callable[..., Host]) -> Callable[..., Host]:
    """Starts a server by the file."""
    return lambda *faults, **flags: production(
        *faults,
        model_config_file=str(config.path),
        allow_version_labels_for_unavailable_models=True,
        **flags,
    )


def endpoints(host: Host) -> tuple[Endpoint, Endpoint]:
    """gRPC and REST of a host in this process."""
    ready = host.ready()
    return (
        Endpoint(f"127.0.0.1:{ready.grpc_port}", Protocol.GRPC),
        Endpoint(f"127.0.0.1:{ready.rest_api_port}", Protocol.REST),
    )


def watched(host: Host, limits: Limits = QUICK) -> Production:
    """A host as the server in production."""
    return Production(*endpoints(host), limits)
