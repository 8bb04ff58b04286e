"""Reads durations as people write them: `20ms`, `3s`, `10m`, a bare number of seconds."""

import re
from typing import Any

import click

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


class Duration(click.ParamType):  # type: ignore[type-arg]  # older releases of click cannot subscript it
    """A command-line option that is a duration; its value is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|)\s*", str(value))
        if match is None:
            self.fail(f"'{value}' is no duration; write 20ms, 3s or 10m", param, ctx)
        return float(match[1]) * _UNITS[match[2]]


DURATION = Duration()
