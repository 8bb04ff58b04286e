"""Plain data as YAML that people read and every parser takes: quotes where a word could mean another thing."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# A word that no YAML reads as a number, a boolean, a null or a mark; everything else stands in JSON's quotes.
_PLAIN = re.compile(
    r"(?!(?:y|n|yes|no|on|off|true|false|null|nan|inf)$)[A-Za-z/][A-Za-z0-9_./=-]*(?: [A-Za-z0-9_./=-]+)*", re.I
)


def document(value: Mapping[str, Any], comment: str = "") -> str:
    """One document, its comment first."""
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*lines, *_mapping(value, "")]) + "\n"


def documents(parts: Sequence[str]) -> str:
    """Several documents in one file."""
    return "---\n".join(parts)


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        yield from _entry(f"{indent}{_scalar(key)}:", item, f"{indent}  ")


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, str) and "\n" in item:
        yield f"{head} |"
        yield from (f"{indent}{line}".rstrip() for line in item.rstrip("\n").split("\n"))
    elif isinstance(item, Mapping) and item:
        yield head
        yield from _mapping(item, indent)
    elif isinstance(item, list | tuple) and item:
        yield head
        for element in item:
            yield from _element(element, indent)
    else:
        yield f"{head} {_scalar(item)}"


def _element(element: Any, indent: str) -> Iterator[str]:
    if not isinstance(element, Mapping) or not element:
        yield f"{indent}- {_scalar(element)}"
        return
    lines = list(_mapping(element, f"{indent}  "))
    yield f"{indent}- {lines[0].lstrip()}"
    yield from lines[1:]


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
