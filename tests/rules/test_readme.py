"""Every tfx-export command in README.md, CONTRIBUTING.md and docs/ is one that the command line knows."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from toolkit.cli.main import VERBS, command_of, tfx_export

HELP = {"-h", "--help"}
# At the start of a line or a code span, after a prompt, a folder, a setting or another command; not amid words.
COMMAND = re.compile(r"(?:^\s*(?:\$ )?|[`/]|&& |\w=\S+ )(?:tfx-export|bash scripts/build\.sh)(?=\s)(?P<rest>[^`|&;]*)")
# What follows a command and is no part of it: a redirection, a comment.
END = re.compile(r"\s(?:#|2?>)")


def test_the_documents_name_only_verbs_and_options_that_exist(root: Path) -> None:
    documents = [root / "README.md", root / "CONTRIBUTING.md", *sorted((root / "docs").glob("*.md"))]
    written = [(path.name, words) for path in documents for words in commands(path.read_text(encoding="utf-8"))]
    unknown = [f"{name}: {shlex.join(words)}: {what}" for name, words in written for what in strangers(words)]
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
def test_known_words_and_stand_ins_pass(words: list[str]) -> None:
    assert list(strangers(words)) == []


@pytest.mark.parametrize("words", [["biuld", "mlp"], ["build", "--no-such-option"], ["--no-such-option", "build"]])
def test_an_unknown_word_would_be_seen(words: list[str]) -> None:
    assert len(list(strangers(words))) == 1


def commands(text: str) -> Iterator[list[str]]:
    """The words after `tfx-export` in code spans and fenced blocks."""
    text = text.replace("\\\n", " ")
    fences = re.findall(r"^ *```.*?\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in [*"\n".join(fences).splitlines(), *re.findall(r"`([^`]+)`", prose)]:
        for match in COMMAND.finditer(line):
            if words := shlex.split(END.split(match["rest"])[0]):
                yield words


def strangers(words: list[str]) -> Iterator[str]:
    """The verb or the options of one command that the command line does not know."""
    candidate = next((word for word in words if word in VERBS), next((word for word in words if word[0] != "-"), ""))
    if not re.fullmatch(r"[a-z][a-z-]*", candidate):  # a stand-in such as VERB or [arguments], or none
        yield from unknown(words, tfx_export)
    elif candidate not in VERBS:
        yield candidate
    else:
        position = words.index(candidate)
        yield from unknown(words[:position], tfx_export)
        yield from unknown(words[position:], command_of(candidate))


def unknown(words: list[str], command: click.Command) -> Iterator[str]:
    # A command keeps the help option that it was first asked for, for every test after this one, too.
    with click.Context(command, **tfx_export.context_settings) as context:
        known = {form for option in command.get_params(context) for form in (*option.opts, *option.secondary_opts)}
    for word in words:
        form = word.strip("[],.").partition("=")[0]
        if re.fullmatch(r"-[a-zA-Z]|--[a-z][a-z0-9-]*", form) and form not in known | HELP:
            yield form
