"""After publishing: watches production take the version up, asks it the golden feeds, and goes back if it is wrong."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from toolkit.deploying import gate, publish, records
from toolkit.deploying.gate import Finding, Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof, proof_of
from toolkit.deploying.records import Record
from toolkit.deploying.servers import state_of
from toolkit.errors import DeployError, ToolkitError
from toolkit.wire.messages import Endpoint, State, Target

_POLL_S = 0.1


@dataclass(frozen=True)
class Production:
    """A running server that serves the base path on TensorFlow Serving's default policy (the latest version)."""

    grpc: Endpoint
    rest: Endpoint | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is asked."""
        return (self.grpc,) if self.rest is None else (self.grpc, self.rest)


def watch(
    production: Production, layout: Layout, version: int, proof: Proof, tell: Callable[[str], None]
) -> Sequence[Finding]:
    """The findings of a version that went live. The caller holds the model's lock.

    Raises:
        DeployError: it was wrong, slow or missing; it has been taken out again and the version before it was asked.
    """
    findings: list[Finding] = []
    try:
        _wait_until_available(production, Target(layout.name, version))
        findings.append(Finding("production", True, f"version {version} is AVAILABLE"))
        target = Target(layout.name, version)
        findings += gate.check_answers(production.endpoints, target, proof)
        findings += gate.check_latency(production.grpc, target, proof, production.limits)
    except ToolkitError as error:
        findings.append(Finding("production", False, error.message))
    for found in findings:
        tell(f"rollout: {'ok  ' if found.passed else 'FAIL'} {found.name}: {found.text}")
    failed = [found for found in findings if not found.passed]
    if not failed:
        records.append(layout, Record("rollout", version, "done", f"{len(findings)} findings"))
        return findings
    reason = "; ".join(f"{found.name}: {found.text}" for found in failed)
    publish.withdraw(layout, version, reason)
    raise DeployError(
        f"version {version} was taken out again: {reason}", hint=_after_rollback(production, layout, tell)
    )


def _wait_until_available(production: Production, target: Target) -> None:
    deadline = time.monotonic() + production.limits.load_timeout_s
    while time.monotonic() < deadline:
        state = state_of(production.grpc, target)
        if state is not None and state.state is State.AVAILABLE:
            return
        if state is not None and state.state is State.END and state.error_code:
            raise DeployError(f"production cannot load version {target.version}: {state.error_message}")
        time.sleep(_POLL_S)
    raise DeployError(f"production did not serve version {target.version} after {production.limits.load_timeout_s:g} s")


def _after_rollback(production: Production, layout: Layout, tell: Callable[[str], None]) -> str:
    """Whether the version before answers again."""
    left = layout.versions()
    if not left:
        return "there is no version before it: nothing is served"
    before = left[-1]
    try:
        _wait_until_available(production, Target(layout.name, before))
        proof = proof_of(layout, before)
        wrong = (
            []
            if proof is None
            else [
                found
                for found in gate.check_answers(production.endpoints, Target(layout.name, before), proof)
                if not found.passed
            ]
        )
    except ToolkitError as error:
        tell(f"rollback: FAIL version {before}: {error.message}")
        return f"version {before} does not answer either: {error.message}"
    tell(f"rollback: {'FAIL' if wrong else 'ok  '} version {before} answers")
    return f"version {before} answers again" if not wrong else f"version {before} answers wrong: {wrong[0].text}"
