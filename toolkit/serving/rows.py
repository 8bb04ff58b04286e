"""Which signatures of a bundle answer each row by itself, so that the rows of several requests may run together."""

from toolkit.core.artifact import Artifact, Manifest
from toolkit.core.tensors import composite_parts


def rows_alone(manifest: Manifest, artifact: Artifact) -> frozenset[str]:
    """Signatures that an artifact was proven to answer a row alike alone and among others, however many there are."""
    return frozenset(name for name in artifact.paths if artifact.fixed_batch is None and _by_rows(manifest, name))


def _by_rows(manifest: Manifest, name: str) -> bool:
    signature, behaviour = manifest.signatures[name], manifest.behaviour.get(name)
    tensors = (*signature.inputs.values(), *signature.outputs.values())
    return (
        behaviour is not None
        and behaviour.rows_independent
        and not behaviour.random
        and all(spec.batched for spec in tensors)
        and not composite_parts(signature.inputs)
    )
