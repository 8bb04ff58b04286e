"""Turns tfx-export.toml or [tool.tfx-export] into defaults of options: keys are long flags, the command line wins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from toolkit.core.store import find_root, read_toml
from toolkit.errors import UsageError, nearest


def settings_for(command: str) -> dict[str, dict[str, Any]]:
    """Click's default_map: top-level keys are for every verb that has the option, a table [verb] for that verb.

    Raises:
        UsageError: a key is no option, or a table no verb.
    """
    settings = read_settings(find_root(Path.cwd()))
    if not settings:
        return {}
    from toolkit.cli.main import VERBS  # late: main imports this module

    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    strange = next((key for key in tables if key not in VERBS), None)
    if strange is not None:
        raise UsageError(
            f"there is no command '{strange}' for the settings [{strange}]", hint=nearest(strange, list(VERBS))
        )
    known, shared = _options_of(command), {key: value for key, value in settings.items() if key not in tables}
    _refuse_unknown(shared, known)
    own = tables.get(command, {})
    wrong = next((key for key in own if key not in known), None)
    if wrong is not None:
        raise UsageError(f"[{command}] has no option '{wrong}'", hint=nearest(wrong, list(known)))
    chosen = {key: value for key, value in shared.items() if key in known} | own
    return {command: {str(known[key].name): _value(known[key], value) for key, value in chosen.items()}}


def read_settings(root: Path) -> dict[str, Any]:
    """The project's settings; an empty table where it has none."""
    for file, path in ((root / "tfx-export.toml", ()), (root / "pyproject.toml", ("tool", "tfx-export"))):
        if file.is_file():
            found: Any = read_toml(file)
            for key in path:
                found = found.get(key, {})
            if found:
                return dict(found)
    return {}


def _options_of(command: str) -> dict[str, click.Parameter]:
    """Long flag without its dashes to option."""
    from toolkit.cli.main import command_of  # late: main imports this module

    options = (option for option in command_of(command).params if isinstance(option, click.Option))
    return {flag[2:]: option for option in options for flag in option.opts if flag.startswith("--")}


def _refuse_unknown(shared: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """A key that is no option of this verb must be one of another."""
    if all(key in known for key in shared):
        return
    from toolkit.cli.main import VERBS  # late: main imports this module

    everywhere = {flag for verb in VERBS for flag in _options_of(verb)}
    wrong = next((key for key in shared if key not in everywhere), None)
    if wrong is not None:
        raise UsageError(
            f"the settings have '{wrong}', which is no option of any command", hint=nearest(wrong, sorted(everywhere))
        )


def _value(option: click.Parameter, value: Any) -> Any:
    # TOML has numbers where the command line has words, and an option that may come often has a list.
    if option.multiple:
        return [str(item) for item in (value if isinstance(value, list) else [value])]
    return value if isinstance(value, bool) else str(value)
