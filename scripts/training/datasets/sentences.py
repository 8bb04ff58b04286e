"""models/data/sentences.tsv from the translations of its own messages that Django ships."""

import hashlib
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from models._data import DATA, LANGUAGES

# What stands for a value or for the page's markup is no word of any language.
PLACEHOLDER = re.compile(r"%\(\w+\)[sdi]|%[sdi]|\{[^}]*\}|<[^>]*>|&\w+;|https?://\S+")
SHORTEST = 25
LONGEST = 160


def write() -> None:
    """Store a line for each sentence: part, language, text; a quarter of the messages is held out in all languages."""
    import django

    lines = [
        f"{_part(message)}\t{language}\t{text}" for message, language, text in _distinct(Path(django.__file__).parent)
    ]
    target = DATA / "sentences.tsv"
    target.write_text("\n".join(sorted(lines)) + "\n", encoding="utf-8")
    print(f"{target.name}: {len(lines)} sentences, {target.stat().st_size} bytes")


def _part(message: str) -> str:
    # By message, not by sentence: a translation of a sentence that was seen gives away its names and numbers.
    return "held_out" if hashlib.sha256(message.encode()).digest()[0] < 64 else "train"


def _distinct(package: Path) -> Iterator[tuple[str, str, str]]:
    """Message, language and sentence, without sentences that stand in two languages or come from two messages."""
    found: dict[str, dict[tuple[str, str], None]] = defaultdict(dict)
    for language in LANGUAGES:
        for message, translation in _translations(package, language):
            text = " ".join(PLACEHOLDER.sub(" ", translation).split())
            if SHORTEST <= len(text) <= LONGEST:
                found[text][message, language] = None
    for text, origins in found.items():
        if len(origins) == 1:
            yield *next(iter(origins)), text


def _translations(package: Path, language: str) -> Iterator[tuple[str, str]]:
    # Messages are written in English, so any translation holds the English sentences as its keys.
    for path in sorted(package.rglob(f"locale/{'de' if language == 'en' else language}/LC_MESSAGES/django.mo")):
        for message, translation in _entries(path.read_bytes()):
            if message:
                yield message, message if language == "en" else translation


def _entries(raw: bytes) -> Iterator[tuple[str, str]]:
    """Key and value of each entry of a GNU message catalogue, the singular of those that have a plural."""
    _, _, count, keys_at, values_at = struct.unpack_from("<5I", raw)
    for at in range(count):
        pair = []
        for table in (keys_at, values_at):
            size, start = struct.unpack_from("<2I", raw, table + 8 * at)
            pair.append(raw[start : start + size].split(b"\0")[0].decode())
        yield pair[0], pair[1]
