"""One deployment from bundle to production: preflight, gate, publish, rollout; each step printed and recorded."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.core.artifact import Manifest
from toolkit.deploying import gate, publish, records
from toolkit.deploying.gate import Finding, Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof, keep_proof
from toolkit.deploying.records import Record
from toolkit.deploying.rollout import Production, watch
from toolkit.deploying.servers import Command, EmbeddedCommand, PrivateServer, check_age
from toolkit.errors import DeployError
from toolkit.verifying.bundle import check_files
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Target

Tell = Callable[[str], None]
STEPS = (
    "start a private server on a link to the bundle",
    "ask it every golden feed over gRPC and REST",
    "measure its first request, p99 and memory",
    "publish by one rename",
    "watch production take it up, where --grpc names it",
)


@dataclass(frozen=True)
class Plan:
    """What to deploy, where, and what it must hold.

    Args:
        command: the server that the gate asks.
        production: the running server to watch after publishing; None where none was named.
    """

    bundle: Path
    layout: Layout
    limits: Limits = field(default_factory=Limits)
    command: Command = field(default_factory=EmbeddedCommand)
    production: Production | None = None
    tell: Tell = lambda text: None


@dataclass(frozen=True)
class Deployment:
    """What came of it."""

    model: str
    version: int
    path: Path
    findings: Sequence[Finding]


def deploy(plan: Plan) -> Deployment:
    """Deploy a bundle.

    Raises:
        ParityError: the bundle is not what was built.
        DeployError: a gate refused, or the rollout was taken back.
        StoreError: the target is full or cannot be written.
    """
    manifest = preflight(plan)
    proof = Proof.of(plan.bundle, manifest)
    with plan.layout.alone():
        findings = list(_told(plan, run_gate(plan, proof)))
        facts = {key: value for found in findings for key, value in found.facts.items()}
        failed = [found for found in findings if not found.passed]
        if failed:
            text = "; ".join(f"{found.name}: {found.text}" for found in failed)
            records.append(plan.layout, Record("gate", manifest.version, "refused", text, facts))
        gate.refuse(findings)
        version = publish.publish(plan.layout, plan.bundle, manifest, facts)
        keep_proof(plan.layout, plan.bundle, version)
        plan.tell(f"published {plan.layout.version_path(version)}")
        if plan.production is not None:
            findings += watch(plan.production, plan.layout, version, proof, plan.tell)
    return Deployment(plan.layout.name, version, plan.layout.version_path(version), tuple(findings))


def preflight(plan: Plan) -> Manifest:
    """What can be known before a server is started."""
    manifest = check_files(plan.bundle)
    artifact = publish.served_artifact(manifest)
    check_age(plan.command, manifest.toolchain.get("tensorflow", "0.0"))
    publish.check_space(plan.layout, artifact.size_bytes)
    plan.tell(f"preflight: {plan.bundle} is whole, {artifact.size_bytes / 1e6:.1f} MB fit")
    return manifest


def run_gate(plan: Plan, proof: Proof) -> Iterator[Finding]:
    """The findings of a private server on a link to the bundle, never on the production directory."""
    manifest = proof.manifest
    name, version = plan.layout.name, manifest.version or 1
    saved = plan.bundle / publish.served_artifact(manifest).path
    with ExitStack() as stack:
        server = stack.enter_context(_private(plan.command, name, {version: saved}))
        server.wait_until_available(version, plan.limits.load_timeout_s)
        yield Finding("load", True, "AVAILABLE")
        target = Target(name, version)
        yield from gate.check_latency(server.grpc, target, proof, plan.limits)
        yield from gate.check_answers((server.grpc, server.rest), target, proof)
        yield from gate.check_memory(server, plan.limits)
        current = plan.layout.versions()
        if current and plan.limits.max_change is not None:
            before = stack.enter_context(
                _private(plan.command, name, {current[-1]: plan.layout.version_path(current[-1])})
            )
            before.wait_until_available(current[-1], plan.limits.load_timeout_s)
            for signature in manifest.signatures:
                old = Remote(before.grpc, Target(name, current[-1], signature=signature))
                new = Remote(server.grpc, Target(name, version, signature=signature))
                yield from gate.check_change(old, new, proof, plan.limits)


@contextmanager
def _private(command: Command, name: str, versions: dict[int, Path]) -> Iterator[PrivateServer]:
    with tempfile.TemporaryDirectory(prefix="tfx-export-gate-") as folder:
        base_path = Path(folder) / name
        base_path.mkdir()
        for version, path in versions.items():
            if not path.is_dir():
                raise DeployError(f"{path} is gone", hint="was it removed while the gate ran?")
            (base_path / str(version)).symlink_to(path.absolute(), target_is_directory=True)
        with PrivateServer(command, name, base_path) as server:
            yield server


def _told(plan: Plan, findings: Iterator[Finding]) -> Iterator[Finding]:
    for found in findings:
        plan.tell(f"gate: {'ok  ' if found.passed else 'FAIL'} {found.name}: {found.text}")
        yield found
