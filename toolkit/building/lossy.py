"""The gate of quantized artifacts: what the model is for, not the last digits."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from toolkit.core.artifact import Artifact, Quality
from toolkit.core.parity import Allowed, Parity

MAX_ACCURACY_DROP = 0.01
MIN_SNR_DB = 20.0
# Larger than any difference of finite numbers that is worth a word; shapes, dtypes and NaN still count.
ANY = 1e30
# Kernels of another CPU round otherwise: what a later verdict may differ by from the one at the build.
_HEADROOM = 1.5
_ROUNDING = 1e-9  # 1.00 less 0.99 is a little more than 0.01
_CPU_FLAGS = Path("/proc/cpuinfo")


def anything(outputs: Sequence[str]) -> dict[str, Allowed]:
    """Lets every output pass, so that its differences get measured."""
    return dict.fromkeys(outputs, Allowed(ANY, "measured before it is judged"))


def problem(quality: Quality | None, noise: Mapping[str, float], max_drop: float) -> str:
    """What is wrong with a lossy artifact; empty where nothing is.

    Args:
        quality: the task's metric, where the model has an evaluation: it decides alone.
        noise: output to SNR in dB, which decides where there is none.
        max_drop: how far the metric may fall below the baseline's.
    """
    if quality is not None:
        drop = quality.baseline - quality.candidate
        if math.isnan(drop) or drop > max_drop + _ROUNDING:
            return (
                f"{quality.metric} falls from {quality.baseline:.4f} to {quality.candidate:.4f}, "
                f"{max_drop:g} allowed (--max-accuracy-drop)"
            )
        return ""
    worst = min(noise, key=noise.__getitem__, default=None)
    if worst is not None and not noise[worst] >= MIN_SNR_DB:
        return f"'{worst}' has a signal-to-noise ratio of {noise[worst]:.1f} dB, {MIN_SNR_DB:g} dB wanted"
    return ""


def words(quality: Quality | None, noise: Mapping[str, float], parity: Parity) -> str:
    """The figures that let it pass, in a line."""
    found = []
    if quality is not None:
        found.append(f"{quality.metric} {quality.candidate:.4f} (eager {quality.baseline:.4f})")
    if parity.argmax_agreement is not None:
        found.append(f"argmax agrees in {parity.argmax_agreement:.1%} of the rows")
    worst = min(noise, key=noise.__getitem__, default=None)
    if worst is not None:
        found.append(f"SNR {noise[worst]:.1f} dB (worst output '{worst}')")
    if parity.max_abs is not None:
        found.append(f"largest difference {parity.max_abs:.3g}")
    return "; ".join(found)


def recorded(parity: Parity, reason: str) -> dict[str, Allowed]:
    """The differences that were found, with some headroom: what later verdicts hold the artifact to."""
    worst: dict[str, float] = {}
    for check in parity.checks:
        for name, deviation in check.outputs.items():
            worst[name] = max(worst.get(name, 0.0), deviation.max_abs)
    return {name: Allowed(_HEADROOM * value, reason) for name, value in worst.items() if value > 0.0}


def size_note(lossy: Artifact, plain: Artifact) -> str:
    """Its size beside the plain artifact's; why, where it is not smaller."""
    share = lossy.size_bytes / plain.size_bytes
    text = f"{share:.2f} x the size of {plain.name}"
    if share >= 1.0:
        text += ": not smaller, since what is added around each op (scales, QDQ pairs) outweighs what weights lose"
    return text


def speed_note(factor: float, plain: Artifact, fallbacks: Sequence[str]) -> str:
    """Its speed beside the plain artifact's on this machine; why, where it is not faster."""
    text = f"{factor:.2f} x as fast as {plain.name} here (batch 1, one thread)"
    if factor > 1.0:
        return text
    reasons = list(fallbacks) + ([] if has_vnni() else ["this CPU has no VNNI instructions for whole numbers"])
    return f"{text}: not faster{', ' if reasons else ''}{', '.join(reasons)}"


def has_vnni() -> bool:
    """Whether the CPU multiplies 8-bit numbers in one instruction; True where nobody can say."""
    try:
        flags = _CPU_FLAGS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return True
    return "vnni" in flags
