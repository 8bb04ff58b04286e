"""Holds a bundle against its own manifest: every byte by hash, every artifact by replaying the golden cases."""

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from toolkit.core.artifact import GOLDEN, MANIFEST, Artifact, Behaviour, Manifest, read_manifest
from toolkit.core.golden import read_golden
from toolkit.core.parity import Allowed, Check, Parity
from toolkit.core.plugins import FORMATS, RUNTIMES, Opening, Runtime
from toolkit.core.store import hash_files
from toolkit.errors import ParityError, ToolkitError
from toolkit.verifying.parity import Expectation, at_batch, check_runner


def check_files(bundle: Path, besides: Collection[str] = ()) -> Manifest:
    """The manifest of a bundle whose files are byte for byte those that were published.

    Args:
        bundle: its directory.
        besides: files that may be there, too.

    Raises:
        ParityError: a file is flipped, missing or extra; all of them are named.
    """
    manifest = read_manifest(bundle)
    expected = dict(manifest.files)
    for artifact in manifest.artifacts:
        expected |= artifact.files
    actual = {name: digest for name, digest in hash_files(bundle).items() if name not in (MANIFEST, *besides)}
    found = [f"{name} is missing" for name in sorted(set(expected) - set(actual))]
    found += [f"{name} does not belong there" for name in sorted(set(actual) - set(expected))]
    changed = (name for name in sorted(set(expected) & set(actual)) if expected[name] != actual[name])
    found += [f"{name} was changed" for name in changed]
    found += [f"{path} of {artifact.name} is none of its files" for artifact, path in _strange_paths(manifest)]
    if found:
        raise ParityError(f"{bundle}: {'; '.join(found)}", hint="build the bundle again, or copy it again")
    return manifest


def _strange_paths(manifest: Manifest) -> Iterator[tuple[Artifact, str]]:
    for artifact in manifest.artifacts:
        for path in artifact.paths.values():
            if not any(file == path or file.startswith(f"{path}/") for file in artifact.files):
                yield artifact, path


def judge(bundle: Path, manifest: Manifest, name: str, allowed: Mapping[str, Allowed]) -> Parity:
    """Whether one artifact gives the golden answers in every runtime that opens it; never raises for what it finds."""
    artifact = manifest.artifact(name)
    assert artifact is not None, "only an artifact of the manifest can be judged"
    cases = read_golden(bundle / GOLDEN, manifest.signatures)
    checks = []
    for runtime in runtimes_for(artifact):
        for signature, relative in artifact.paths.items():
            wanted = Expectation(
                name=signature,
                signature=manifest.signatures[signature],
                cases=[case for case in cases if case.signature == signature],
                behaviour=manifest.behaviour.get(signature, Behaviour()),
                tolerances=manifest.tolerances_of(artifact),
                allowed=allowed,
            )
            if artifact.fixed_batch is not None:
                wanted = at_batch(wanted, artifact.fixed_batch)
            opening = Opening(bundle / relative, signature, wanted.signature)
            faults = faults_of(runtime, opening)
            check = check_runner(runtime.name, partial(runtime.open, opening), wanted)
            sizes = check.batch_sizes if artifact.fixed_batch is None else (artifact.fixed_batch,)
            checks.append(replace(check, batch_sizes=sizes, problems=(*faults, *check.problems)))
            gc.collect()  # a restored graph holds itself, and its weights, by cycles
    if not checks:
        return Parity("fail", f"no installed runtime opens {artifact.format}, so nothing is known of {name}")
    unanswered = ", ".join(f"'{key}'" for key in manifest.signatures if key not in artifact.paths)
    if unanswered:
        return Parity("fail", f"{manifest.model} as {name} has no file for signature {unanswered}", tuple(checks))
    broken = next((check for check in checks if not check.passed), None)
    if broken is None:
        return Parity("pass", "", tuple(checks))
    where = f"signature '{broken.signature}' in {broken.runtime}"
    return Parity("fail", f"{manifest.model} as {name}, {where}: {_first_problem(broken)}", tuple(checks))


def unrun(manifest: Manifest, name: str, error: ToolkitError) -> Parity:
    """The verdict on an artifact that did not come to the end of its checks."""
    return Parity("fail", f"{manifest.model} as {name} does not run: {error.message}")


def _first_problem(check: Check) -> str:
    of_outputs = (found.problem for found in check.outputs.values() if not found.passed)
    return next(iter((*check.problems, *of_outputs)))


def runtimes_for(artifact: Artifact) -> Sequence[Runtime]:
    """The runtimes that must agree with the baseline before this artifact is good."""
    kind = FORMATS.load(artifact.name).opened_as if artifact.name in FORMATS.names() else artifact.format
    return [runtime for runtime in RUNTIMES.load_all() if runtime.judges and kind in runtime.opens]


def faults_of(runtime: Runtime, opening: Opening) -> Sequence[str]:
    """What the runtime's own examination of the file says."""
    try:
        return runtime.faults(opening)
    except ToolkitError as error:
        return [error.message]
