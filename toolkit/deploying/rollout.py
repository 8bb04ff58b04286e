"""Directory mode: publishing is going live; production is watched, asked, and the version taken out if it is wrong."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from toolkit.deploying import gate, publish, records
from toolkit.deploying.gate import Finding, Limits
from toolkit.deploying.layout import Layout
from toolkit.deploying.proofs import Proof, proof_of
from toolkit.deploying.records import Record
from toolkit.deploying.servers import state_of
from toolkit.errors import DeployError, ServingError, ToolkitError
from toolkit.runtimes.served import ask_status
from toolkit.wire.messages import Endpoint, State, Target

Tell = Callable[[str], None]
_POLL_S = 0.05
STATUS_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Production:
    """A running server."""

    grpc: Endpoint
    rest: Endpoint | None = None
    limits: Limits = field(default_factory=Limits)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What is asked."""
        return (self.grpc,) if self.rest is None else (self.grpc, self.rest)

    def wait_until_available(self, target: Target) -> None:
        """Waits for the target's version.

        Raises:
            DeployError: it does not load, or the time is up.
        """
        deadline = time.monotonic() + self.limits.load_timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            state = state_of(self.grpc, target, left_s)
            if state is not None and state.state is State.AVAILABLE:
                return
            if state is not None and state.state is State.END and state.error_code:
                raise DeployError(f"production cannot load version {target.version}: {state.error_message}")
            time.sleep(_POLL_S)
        raise DeployError(f"production did not serve version {target.version} after {self.limits.load_timeout_s:g} s")

    def findings(self, target: Target, proof: Proof) -> Iterator[Finding]:
        """The golden feeds and a short load."""
        yield from gate.check_answers(self.endpoints, target, proof)
        yield from gate.check_latency(self.grpc, target, proof, self.limits)


@dataclass(frozen=True)
class DirectoryRollout:
    """For a server on its default policy, the latest version; None where no server was named to be watched."""

    production: Production | None = None

    def check(self, layout: Layout) -> None:
        """Refuses a server that is not there to be watched: what it would be blamed for is not the version's fault.

        Raises:
            UnavailableError: nobody answers.
        """
        if self.production is not None:
            with suppress(ServingError):  # it answers, and knows no such model yet
                ask_status(self.production.grpc, Target(layout.name), STATUS_TIMEOUT_S)

    def steps(self) -> Sequence[str]:
        """What it would do, in words."""
        return () if self.production is None else (f"watch {self.production.grpc.address} take it up, and ask it",)

    def current(self, layout: Layout) -> int | None:
        """The newest on disk."""
        return max(layout.versions(), default=None)

    def carry_out(self, layout: Layout, version: int, proof: Proof, tell: Tell) -> Sequence[Finding]:
        """The findings of a version that went live. The caller holds the model's lock.

        Raises:
            DeployError: it was wrong, slow or missing; it has been taken out and the version before it was asked.
        """
        if self.production is None:
            return ()
        findings: list[Finding] = []
        try:
            for found in _watched(self.production, Target(layout.name, version), proof):
                tell(f"rollout: {'ok  ' if found.passed else 'FAIL'} {found.name}: {found.text}")
                findings.append(found)
        except KeyboardInterrupt:
            # It is live, and nobody has seen it answer.
            publish.withdraw(layout, version, "interrupted before it was known to be right")
            tell(f"interrupted: version {version} was taken out again; {_after(self.production, layout, tell)}")
            raise
        reason = "; ".join(f"{found.name}: {found.text}" for found in findings if not found.passed)
        if not reason:
            records.append(layout, Record("rollout", version, "done", f"{len(findings)} findings"))
            return findings
        publish.withdraw(layout, version, reason)
        raise DeployError(
            f"version {version} was taken out again: {reason}", hint=_after(self.production, layout, tell)
        )


def _watched(production: Production, target: Target, proof: Proof) -> Iterator[Finding]:
    try:
        production.wait_until_available(target)
        yield Finding("production", True, f"version {target.version} is AVAILABLE")
        yield from production.findings(target, proof)
    except ToolkitError as error:
        yield Finding("production", False, error.message)


def _after(production: Production, layout: Layout, tell: Tell) -> str:
    """Whether the version before answers again."""
    left = layout.versions()
    return answers_again(production, layout, left[-1], tell) if left else "there is no version before it to go back to"


def answers_again(production: Production, layout: Layout, version: int, tell: Tell) -> str:
    """Whether a version that is served again gives its golden answers, in words."""
    wrong = unanswered(production, layout, version)
    tell(f"rollback: {'FAIL' if wrong else 'ok  '} version {version}{': ' + wrong if wrong else ' answers'}")
    return f"version {version} does not answer either: {wrong}" if wrong else f"version {version} answers again"


def unanswered(production: Production, layout: Layout, version: int) -> str:
    """What is wrong with a version that should be served; empty where it gives its golden answers, if it has any."""
    target = Target(layout.name, version)
    try:
        production.wait_until_available(target)
        proof = proof_of(layout, version)
        answers = [] if proof is None else list(gate.check_answers(production.endpoints, target, proof))
    except ToolkitError as error:
        return error.message
    return next((found.text for found in answers if not found.passed), "")
