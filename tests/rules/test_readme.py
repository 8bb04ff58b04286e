"""Every tfx-export command in README.md and docs/ is one that the command line knows."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

# At the start of a line or a code span, after a prompt, a folder, a setting or another command; not amid words.
COMMAND = re.compile(r"(?:^\s*(?:\$ )?|[`/]|&& |\w=\S+ )(?:tfx-export|bash scripts/build\.sh)(?=\s)(?P<rest>[^`|&;]*)")
# What follows a command and is no part of it: a redirection, a comment.
END = re.compile(r"\s(?:#|2?>)")


def test_the_documents_name_only_verbs_and_options_that_exist(root: Path) -> None:
    documents = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    written = [(path.name, words) for path in documents for words in commands(path.read_text(encoding="utf-8"))]
    unknown = [f"{name}: {shlex.join(words)}: {what}" for name, words in written for what in strangers(root, words)]
    assert unknown == []


def test_the_readme_shows_commands(root: Path) -> None:
    assert len(list(commands((root / "README.md").read_text(encoding="utf-8")))) >= 3


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```\n$ tfx-export build mlp --json | jq .\n```", [["build", "mlp", "--json"]]),
        ("```bash\ntfx-export build \\\n  --out DIR  # where\n```", [["build", "--out", "DIR"]]),
        ("Run `tfx-export verify PATH` or `bash scripts/build.sh build mlp`.", [["verify", "PATH"], ["build", "mlp"]]),
        ("```\nhint: `tfx-export inspect mlp` prints it\n```", [["inspect", "mlp"]]),
        ("```\nA=1 tfx-export build && .venv/bin/tfx-export doctor\n```", [["build"], ["doctor"]]),
        ("tfx-export makes artifacts; see `tfx-export.toml`. `pip install tfx-export`", []),
    ],
)
def test_commands_are_found_in_code_and_not_in_prose(text: str, found: list[list[str]]) -> None:
    assert list(commands(text)) == found


@pytest.mark.parametrize("words", [["build", "mlp", "--json"], ["--help"], ["VERB", "--help"], ["[arguments]"]])
def test_known_words_and_stand_ins_pass(root: Path, words: list[str]) -> None:
    assert list(strangers(root, words)) == []


@pytest.mark.parametrize("words", [["biuld", "mlp"], ["build", "--no-such-option"], ["--no-such-option", "build"]])
def test_an_unknown_word_would_be_seen(root: Path, words: list[str]) -> None:
    assert len(list(strangers(root, words))) == 1


def commands(text: str) -> Iterator[list[str]]:
    """The words after `tfx-export` in code spans and fenced blocks."""
    text = text.replace("\\\n", " ")
    fences = re.findall(r"^ *```.*?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in [*"\n".join(fences).splitlines(), *re.findall(r"`([^`]+)`", prose)]:
        for match in COMMAND.finditer(line):
            if words := shlex.split(END.split(match["rest"])[0]):
                yield words


def strangers(root: Path, words: list[str]) -> Iterator[str]:
    """The verb or the options of one command that its help does not name."""
    verb = verb_of(root, words)
    if verb is not None and verb not in verbs(root):
        yield verb
        return
    position = words.index(verb) if verb else len(words)
    yield from (flag for flag in flags(words[:position]) if flag not in flags(help_of(root, None).split()))
    if verb:
        yield from (flag for flag in flags(words[position:]) if flag not in flags(help_of(root, verb).split()))


def verb_of(root: Path, words: list[str]) -> str | None:
    """The verb, or what stands in its place; None for a stand-in such as VERB or [arguments]."""
    known = [word for word in words if word in verbs(root)]
    named = [word for word in words if not word.startswith("-")]
    candidate = next(iter([*known, *named]), "")
    return candidate if re.fullmatch(r"[a-z][a-z-]*", candidate) else None


def flags(words: list[str]) -> list[str]:
    # Help joins the forms of one option with commas and slashes: `-q, --quiet`, `--color/--no-color`.
    forms = [form.partition("=")[0].rstrip(",.:;)]") for word in words for form in re.split(r"[/|\[(,]", word)]
    return [form for form in forms if re.fullmatch(r"-[a-zA-Z]|--[a-z][a-z0-9-]*", form)]


def verbs(root: Path) -> set[str]:
    listing = help_of(root, None).partition("Commands:")[2]
    return set(re.findall(r"^  ([a-z]+)\b", listing, re.MULTILINE))


@cache
def help_of(root: Path, verb: str | None) -> str:
    words = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run(
        [sys.executable, "-m", "toolkit.cli.main", *words], cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout
