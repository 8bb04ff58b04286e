"""Defaults of options from tfx-export.toml or [tool.tfx-export]; keys are the long flags, the command line wins."""

from pathlib import Path
from typing import Any

from toolkit.core.store import find_root, read_toml
from toolkit.errors import UsageError, nearest


def settings_for(command: str) -> dict[str, dict[str, Any]]:
    """Click's default_map: top-level keys are for every verb that has the option, a table [verb] for that verb."""
    settings = read_settings(find_root(Path.cwd()))
    if not settings:
        return {}
    from toolkit.cli.main import VERBS, command_of  # late: main imports this module

    known = {option.name for option in command_of(command).params}
    shared = {_name(key): value for key, value in settings.items() if not isinstance(value, dict)}
    own = {_name(key): value for key, value in settings.get(command, {}).items()}
    wrong = next((key for key in own if key not in known), None)
    if wrong is not None:
        flags = [str(name).replace("_", "-") for name in known]
        raise UsageError(f"[{command}] has no option '{wrong.replace('_', '-')}'", hint=nearest(wrong, flags))
    table = next((key for key, value in settings.items() if isinstance(value, dict) and key not in VERBS), None)
    if table is not None:
        raise UsageError(f"there is no command '{table}' for the settings [{table}]", hint=nearest(table, list(VERBS)))
    return {command: {key: value for key, value in shared.items() if key in known} | own}


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


def _name(key: str) -> str:
    return key.replace("-", "_")
