"""One deployment from bundle to production: preflight, gate, publish, rollout; each step printed and recorded."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from toolkit.core.artifact import Manifest
from toolkit.deploying import gate, publish, records
from toolkit.deploying.commands import Command, check_age
from toolkit.deploying.gate import Finding, Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof
from toolkit.deploying.records import Record
from toolkit.deploying.servers import PrivateServer
from toolkit.errors import DeployError, ToolkitError
from toolkit.verifying.bundle import check_files
from toolkit.wire.endpoints import Remote
from toolkit.wire.messages import Target

Tell = Callable[[str], None]


class Rollout(Protocol):
    """How production comes to serve a published version, and back."""

    def check(self, layout: Layout) -> None:
        """Refuses what could not be rolled out, before anything is published."""

    def steps(self) -> Sequence[str]:
        """What it would do, in words."""

    def current(self, layout: Layout) -> int | None:
        """The version that production answers with now."""

    def carry_out(self, layout: Layout, version: int, proof: Proof, tell: Tell) -> Sequence[Finding]:
        """The findings of a version that went live; a wrong one is taken out again.

        Raises:
            DeployError: it was wrong, slow or missing; what was served before has been asked.
        """


@dataclass(frozen=True)
class Plan:
    """What to deploy, where, and what it must hold.

    Args:
        command: starts the private server that the gate asks; None where production's own canary is the gate.
        rollout: how production takes it up.
    """

    bundle: Path
    layout: Layout
    rollout: Rollout
    command: Command | None
    limits: Limits = field(default_factory=Limits)
    tell: Tell = lambda text: None

    def steps(self) -> list[str]:
        """What a deployment does, in words."""
        private = (
            "start a private server on a link to the bundle",
            "ask it every golden feed over gRPC and REST",
            "measure its first request, p99 and memory",
        )
        return [
            *(private if self.command is not None else ()),
            f"publish to {self.layout.base_path} by one rename",
            *self.rollout.steps(),
        ]


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
        facts = _facts(findings)
        failed = [found for found in findings if not found.passed]
        if failed:
            text = "; ".join(f"{found.name}: {found.text}" for found in failed)
            records.append(plan.layout, Record("gate", manifest.version, "refused", text, facts))
            raise DeployError(text, hint="nothing was published; mend the model, or change the limit")
        version = publish.publish(plan.layout, plan.bundle, manifest, facts)
        plan.tell(f"published {plan.layout.version_path(version)}")
        findings += plan.rollout.carry_out(plan.layout, version, proof, plan.tell)
    return Deployment(plan.layout.name, version, plan.layout.version_path(version), tuple(findings))


def preflight(plan: Plan) -> Manifest:
    """What can be known before a server is started."""
    manifest = check_files(plan.bundle)
    artifact = publish.served_artifact(manifest)
    if plan.command is not None:
        check_age(plan.command, manifest.toolchain.get("tensorflow", "0.0"))
    publish.check_space(plan.layout, artifact.size_bytes)
    plan.rollout.check(plan.layout)
    plan.tell(f"preflight: {plan.bundle} is whole, {artifact.size_bytes / 1e6:.1f} MB fit")
    return manifest


def run_gate(plan: Plan, proof: Proof) -> Iterator[Finding]:
    """The findings of a private server on a link to the bundle, never on the production directory."""
    yield from gate.check_sizes(proof, plan.limits)
    if plan.command is None:
        return
    saved = plan.bundle / publish.served_artifact(proof.manifest).path
    for tries_left in reversed(range(gate.FIRST_REQUEST_TRIES)):
        with _private(plan.command, plan.layout.name, proof.manifest.version, saved) as server:
            try:
                server.wait_until_available(proof.manifest.version, plan.limits.load_timeout_s)
                first = gate.check_first(server.grpc, Target(plan.layout.name, proof.manifest.version), proof)
                if not first.passed and tries_left:
                    continue
                yield Finding("load", True, "AVAILABLE")
                yield first
                yield from _ask(plan, proof, server)
            except ToolkitError as error:
                # Whatever a server that was started does wrong is its verdict, not an error of ours.
                words = f"; {error.hint}" if "last words" in error.hint else f"; {server.last_words()}"
                yield Finding("server", False, error.message + words)
            return


def _ask(plan: Plan, proof: Proof, server: PrivateServer) -> Iterator[Finding]:
    limits, target = plan.limits, Target(plan.layout.name, proof.manifest.version)
    answers = list(gate.check_answers((server.grpc, server.rest), target, proof))
    yield from answers
    if not all(found.passed for found in answers):
        return  # how fast a wrong answer comes is nobody's question
    figures = [*gate.check_latency(server.grpc, target, proof, limits), *gate.check_memory(server, limits)]
    yield from figures
    current = plan.rollout.current(plan.layout)
    if current is not None and all(found.passed for found in figures):
        yield from _against(plan, proof, server, current)


def _against(plan: Plan, proof: Proof, server: PrivateServer, current: int) -> Iterator[Finding]:
    """The new version against the one in production, which gets a private server for it."""
    limits, name = plan.limits, plan.layout.name
    old, new = Target(name, current), Target(name, proof.manifest.version)
    assert plan.command is not None, "without a private server there is nothing to hold against production"
    try:
        with _private(plan.command, name, current, plan.layout.version_path(current)) as before:
            before.wait_until_available(current, limits.load_timeout_s)
            for signature in proof.manifest.signatures:
                baseline = Remote(before.grpc, Target(name, current, signature=signature))
                candidate = Remote(server.grpc, Target(name, proof.manifest.version, signature=signature))
                yield from gate.check_change(baseline, candidate, proof, limits)
            yield from gate.compare_latency(before.grpc, server.grpc, (old, new), proof)
    except ToolkitError as error:
        # A version in production that does not answer these feeds is a reason to replace it, unless its answers count.
        text = f"version {current}, now in production, does not answer: {error.message}"
        yield Finding(f"change against version {current}", limits.max_change is None, text)


@contextmanager
def _private(command: Command, name: str, version: int, path: Path) -> Iterator[PrivateServer]:
    with tempfile.TemporaryDirectory(prefix="tfx-export-gate-") as folder:
        base_path = Path(folder) / name
        base_path.mkdir()
        (base_path / str(version)).symlink_to(path.absolute(), target_is_directory=True)
        with PrivateServer(command, name, base_path) as server:
            yield server


def _facts(findings: Sequence[Finding]) -> dict[str, Any]:
    """All figures; of one that was taken several times the largest."""
    facts: dict[str, Any] = {}
    for found in findings:
        for key, value in found.facts.items():
            facts[key] = max(facts.get(key, value), value, key=float)
    return facts


def _told(plan: Plan, findings: Iterator[Finding]) -> Iterator[Finding]:
    for found in findings:
        plan.tell(f"gate: {'ok  ' if found.passed else 'FAIL'} {found.name}: {found.text}")
        yield found
