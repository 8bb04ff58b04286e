"""Turns what a load is pointed at into models that answer: a URL as it is, a bundle behind a server of our own."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path

from toolkit.building.catalog import resolve, shipped
from toolkit.building.current import Report as Told
from toolkit.building.current import current_bundle
from toolkit.building.pipeline import Options
from toolkit.building.targets import find_bundle
from toolkit.core.artifact import GOLDEN, Behaviour, Manifest, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.store import find_root
from toolkit.errors import UnavailableError, UsageError, nearest
from toolkit.measure.server import Served, serve_bundle
from toolkit.verifying.parity import Expectation, batch_size
from toolkit.wire.endpoints import UNIX, Reach, Remote, is_url, parse_url

OVER = ("grpc", "rest", "unix")
METRICS_PATH = "/monitoring/prometheus/metrics"
_MONITORING = f'prometheus_config {{ enable: true, path: "{METRICS_PATH}" }}\n'


@dataclass(frozen=True)
class Serving:
    """How bundles are served.

    Args:
        over: grpc, rest, or unix (gRPC over a UNIX socket).
        runtime: what runs them, as `tfx-export serve --runtime`.
        flags: further flags of `tfx-export serve`.
        threads: of one operation; 0 is the runtime's choice.
        most_rows: of a request, where the flags let the server take no more; 0 has no such limit.
    """

    over: str = "grpc"
    runtime: str = "saved_model"
    flags: tuple[str, ...] = ()
    threads: int = 0
    most_rows: int = 0


@dataclass(frozen=True)
class Aim:
    """One model that answers, and what its bundle knows of its answers, by signature."""

    remote: Remote
    expectations: Mapping[str, Expectation] = field(default_factory=dict)
    metrics_url: str = ""


@dataclass(frozen=True)
class Stage:
    """The folder that our own server serves, where a version or a model can be added while it runs."""

    folder: Path
    bundles: dict[str, Path]
    served: Served

    def add(self, model: str, version: int, bundle: Path) -> None:
        """Another version appears, whole, by one rename."""
        place = self.folder / model / str(version)
        place.parent.mkdir(exist_ok=True)
        fresh = place.with_name(f".{version}")
        fresh.symlink_to(bundle.absolute(), target_is_directory=True)
        fresh.rename(place)


@dataclass(frozen=True)
class Aims:
    """All that a load asks, and the stage where the server is ours."""

    aims: tuple[Aim, ...]
    stage: Stage | None = None


def check_loopback(remote: Remote, *, allow_remote: bool) -> None:
    """Refuses to load any other machine unless that was allowed.

    Raises:
        UsageError: it is another machine.
    """
    if not allow_remote and not _is_loopback(remote.endpoint.address):
        raise UsageError(
            f"{remote.endpoint.address} is not this machine, and load harms who did not ask for it",
            hint="--allow-remote, where you may",
        )


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if address.startswith(UNIX) or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Place:
    """What a reference to a model of the project means: where it is looked for, and who is told of a build."""

    root: Path | None = None
    imports: tuple[str, ...] = ()
    told: Told = field(default=lambda model, step: None)


@contextmanager
def aims_at(references: Sequence[str], serving: Serving, reach: Reach, place: Place) -> Iterator[Aims]:
    """Everything that is to be loaded, answering.

    Raises:
        ToolkitError: a reference means nothing, or the server does not start.
    """
    if all(map(is_url, references)):
        yield Aims(tuple(Aim(reach.apply(parse_url(url))) for url in references))
        return
    if any(map(is_url, references)):
        raise UsageError("a URL and a bundle in one load", hint="serve the bundle and give its URL")
    if serving.over not in OVER:
        raise UsageError(f"bundles are not asked over '{serving.over}'", hint=nearest(serving.over, OVER))
    bundles = [_bundle(reference, place) for reference in references]
    with _staged(bundles, serving) as stage:
        yield Aims(tuple(_aim(bundle, stage, serving, reach) for bundle in bundles), stage)


def _bundle(reference: str, place: Place) -> Path:
    """As `serve` finds it: a folder as it is, a model's newest bundle built first where its source has changed."""
    root = place.root or find_root(Path.cwd())
    if reference not in shipped(root) and Path(reference).is_dir():
        return find_bundle(Path(reference))
    return current_bundle(resolve(reference, root, place.imports), Options(root / "exported"), place.told)


@contextmanager
def _staged(bundles: Sequence[Path], serving: Serving) -> Iterator[Stage]:
    models = {read_manifest(bundle).model: bundle for bundle in bundles}
    if len(models) < len(bundles):
        raise UsageError("two of the bundles are of one model", hint="load each by itself, or serve them and give URLs")
    with tempfile.TemporaryDirectory(prefix="tfx-export-load-") as own:
        folder = Path(own) / "models"
        folder.mkdir()
        stage = Stage(folder, models, Served("", "", ""))
        for model, bundle in models.items():
            stage.add(model, 1, bundle)
        monitoring = Path(own) / "monitoring.config"
        monitoring.write_text(_MONITORING)
        flags = [f"--monitoring_config_file={monitoring}", f"--runtime={serving.runtime}", *serving.flags]
        if serving.over == "unix":
            flags.append(f"--grpc_socket_path={Path(own) / 'grpc.sock'}")
        with serve_bundle(folder, next(iter(models)), serving.threads, flags) as served:
            yield replace(stage, served=served)


def _aim(bundle: Path, stage: Stage, serving: Serving, reach: Reach) -> Aim:
    manifest = read_manifest(bundle)
    url = replace(stage.served, model=manifest.model).url("grpc" if serving.over != "rest" else "rest", "")
    if not url:
        raise UnavailableError("the server has no such port", hint="--over grpc | rest | unix")
    if serving.over == "unix":
        url = f"{UNIX}//{stage.folder.parent / 'grpc.sock'}/{manifest.model}"
    remote = reach.apply(parse_url(url.removesuffix(":")))
    return Aim(remote, _expectations(bundle, manifest, serving.most_rows), f"http://{stage.served.rest}{METRICS_PATH}")


def _expectations(bundle: Path, manifest: Manifest, most_rows: int) -> dict[str, Expectation]:
    cases = [
        case
        for case in read_golden(bundle / GOLDEN, manifest.signatures)
        # A server that batches refuses what is larger than its batches: that is no wrong answer.
        if not most_rows or (batch_size(manifest.signatures[case.signature], case.feed) or 1) <= most_rows
    ]
    allowed = {
        name: deviation.allowed
        for artifact in manifest.artifacts
        for check in artifact.parity.checks
        for name, deviation in check.outputs.items()
        if deviation.allowed
    }
    return {
        name: Expectation(
            name,
            signature,
            [case for case in cases if case.signature == name],
            manifest.behaviour.get(name, Behaviour()),
            manifest.tolerances,
            allowed,
        )
        for name, signature in manifest.signatures.items()
    }
