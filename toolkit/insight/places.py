"""Finds what a file says of the machine where it was made: absolute paths, buckets, names of source files."""

import re
from collections.abc import Iterable, Iterator

from toolkit.insight.bounds import printable
from toolkit.insight.inspection import Finding

# A folder and something in it. What begins so and is no place: TensorFlow's names of devices.
_PLACE = re.compile(
    r"(?!/(?:job|device|replica|task):)(?:/[^/\s\0]+){2,}|[A-Za-z]:[\\/][^\\/\s\0]+[\\/]\S+|(?:file|gs|s3|hdfs)://\S+"
)
# Inside a longer text only what is a folder of people or of builds, or a source file: anything else may be a phrase.
_WITHIN = re.compile(
    r"(?<![\w.:/-])/(?:home|Users|root|tmp|var|mnt|opt|usr|srv|data|work|workspace|content|private)(?:/[\w.@+-]+)+"
    r"|(?<![\w.:/-])(?:/[\w.@+-]+)+\.py\b"
)
_LONGEST = 4096
_SHOWN = 20


def place_of(text: bytes | str) -> str | None:
    """The text where it is nothing but a place on a machine."""
    if len(text) > _LONGEST:
        return None
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return words if _PLACE.fullmatch(words) else None


def places_within(text: str) -> list[str]:
    """Places that stand inside a longer text, such as a traceback in a node's documentation; each once."""
    return list(dict.fromkeys(_WITHIN.findall(text)))


def about_places(found: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """A finding for each (place on a machine, where it stands in the artifact); many are summed up."""
    once: dict[str, str] = {}
    for place, where in found:
        once.setdefault(place, where)
    for at, (place, where) in enumerate(once.items()):
        if at == _SHOWN:
            yield Finding("path", f"{len(once) - _SHOWN} more places on a machine", "")
            return
        yield Finding("path", f"names {printable(place)}", printable(where))
