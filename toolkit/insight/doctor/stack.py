"""Holds what is installed against what this release is tested with, and against what is known to clash."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distributions, requires

from toolkit.insight.doctor.check import Check, State

AREA = "stack"
_NAME = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_BOUND = re.compile(r"(>=|<=|==|!=|~=|<|>)\s*([\w.]+)")


@dataclass(frozen=True, slots=True)
class Clash:
    """Two things that do not go together, or one that changes what everything else does.

    Args:
        packages: distributions; the clash is there when all are installed.
        variable: or a setting of the environment, and the value that is harmless ('' for any but none).
        text: what comes of it.
        hint: what to do.
        state: WARNING where something breaks, NOTE where something is only slower or otherwise.
    """

    text: str
    hint: str
    packages: tuple[str, ...] = ()
    variable: tuple[str, str] | None = None
    state: State = State.WARNING


_SAME_FILES = "both bring the same module: whichever was installed last answers"
CLASHES = (
    Clash(_SAME_FILES, "pip uninstall both, install tensorflow", ("tensorflow", "tensorflow-cpu")),
    Clash(_SAME_FILES, "pip uninstall both, install tensorflow", ("tensorflow", "tf-nightly")),
    Clash(_SAME_FILES, "pip uninstall both, install one", ("onnxruntime", "onnxruntime-gpu")),
    Clash("it was built for NumPy 1 and does not import", "pip uninstall tflite-runtime", ("tflite-runtime", "numpy")),
    Clash(
        "every start of Keras takes 0.7 s longer, since it looks for scikit-learn",
        "keep scikit-learn in an environment for training",
        ("scikit-learn", "keras"),
        state=State.NOTE,
    ),
    Clash(
        "tf.keras is Keras 2, in which models of Keras 3 do not load",
        "unset it",
        variable=("TF_USE_LEGACY_KERAS", "0"),
    ),
    Clash(
        "Keras does not run on TensorFlow: its models cannot be traced", "unset it",
        variable=("KERAS_BACKEND", "tensorflow"),
    ),
    Clash("XLA compiles whole graphs unasked: figures are not those of a plain graph", "unset it for measurements",
          variable=("TF_XLA_FLAGS", ""), state=State.NOTE),
    Clash("oneDNN rounds otherwise than TensorFlow's own kernels, within the tolerances", "the same on every machine",
          variable=("TF_ENABLE_ONEDNN_OPTS", "1"), state=State.NOTE),
)  # fmt: skip


def installed() -> dict[str, str]:
    """Distribution, spelled as pip spells it, to version."""
    # One whose metadata is damaged has no name.
    return {_spelled(one.metadata["Name"]): one.version for one in distributions() if one.metadata["Name"]}


def declared() -> list[str]:
    """What this release needs, as its own metadata says."""
    try:
        return [line for line in requires("tfx-export") or () if "extra ==" not in line]
    except PackageNotFoundError:
        return []


def stack_checks(versions: Mapping[str, str], needs: list[str], environment: Mapping[str, str]) -> Iterator[Check]:
    """Every distribution that is needed, then every clash.

    Args:
        versions: distribution to version.
        needs: requirements, as in `numpy>=2.1,<3`.
        environment: variable to value.
    """
    if not needs:
        hint = "pip install -e . in the repository, so that it knows what it needs"
        yield Check(AREA, "tfx-export", State.NOTE, "it is not installed as a package: versions are not checked", hint)
    for line in needs:
        yield _needed(line, versions)
    for clash in CLASHES:
        if clash.packages and all(name in versions for name in clash.packages):
            named = " and ".join(f"{name} {versions[name]}" for name in clash.packages)
            yield Check(AREA, clash.packages[0], clash.state, f"{named}: {clash.text}", clash.hint)
        if clash.variable is not None:
            name, harmless = clash.variable
            value = environment.get(name, harmless)
            if value != harmless:
                yield Check(AREA, name, clash.state, f"{name}={value}: {clash.text}", clash.hint)


def _needed(line: str, versions: Mapping[str, str]) -> Check:
    parts = _NAME.match(line)
    name, bounds = (parts[1], parts[2].strip()) if parts else (line, "")
    version = versions.get(_spelled(name))
    wanted = f"pip install '{name}{bounds}'"
    if version is None:
        return Check(AREA, name, State.MISSING, "it is not installed", wanted)
    if not all(_holds(version, sign, bound) for sign, bound in _BOUND.findall(bounds)):
        return Check(AREA, name, State.WARNING, f"{version}, and this release is tested with {bounds}", wanted)
    return Check(AREA, name, State.OK, version)


def _holds(version: str, sign: str, bound: str) -> bool:
    have, want = _numbers(version), _numbers(bound)
    size = max(len(have), len(want))
    have, want = have + (0,) * (size - len(have)), want + (0,) * (size - len(want))
    return {">=": have >= want, "<=": have <= want, "<": have < want, ">": have > want, "==": have == want}.get(
        sign, have != want if sign == "!=" else have >= want
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.match(r"[\d.]*", version)[0].split(".") if number)  # type: ignore[index]


def _spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
