"""`tfx-export doctor`: what this machine, its stack, a server and a model are fit for."""

from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.output import Answer, Output, readable_bytes

if TYPE_CHECKING:
    from toolkit.insight.doctor.examine import Examination
    from toolkit.insight.doctor.outlook import FormatOutlook, Prospect

_SHOWN = 6


@click.command(short_help="Say what this machine can build, run, serve and measure.")
@click.argument("model", required=False)
@click.option("--server", metavar="HOST:PORT", help="A server to ask what it speaks and how old it is.")
@click.option("--formats", multiple=True, metavar="NAME", help="Must be possible, else end with 4; may be repeated.")
@click.option(
    "--import", "imports", multiple=True, metavar="MODULE", help="Import first: its Keras classes are known then."
)
@click.option("--unsafe-lambda", is_flag=True, help="Load Keras files with Lambda layers, which run Python code.")
@click.pass_obj
def command(_: Output, /, **options: Any) -> Answer:
    """Look at the machine, the stack, and which formats, runtimes and servers are usable; say how to get the others.

    With MODEL, a reference as `tfx-export build` takes it, also what each format will make of it before anything is
    converted: op by op, with the rewrites it will need, about how large it will be and how much memory that takes.
    Ends with 4 where something needed is missing.
    """
    from toolkit.insight.doctor.examine import DoctorRequest, examine, lacking  # late: --help must not load NumPy

    found = examine(DoctorRequest(**options))
    return Answer(found.to_json(), lambda screen: _show(screen, found), lacking(found))


def _show(screen: Output, found: "Examination") -> None:
    from toolkit.insight.doctor.examine import by_area

    for area, checks in by_area(found.checks):
        screen.line(area)
        width = max(len(check.name) for check in checks)
        for check in checks:
            mark = "" if check.state.value == "ok" else f"{check.state.value}: "
            screen.line(f"  {check.name.ljust(width)}  {mark}{check.text}{f'; {check.hint}' if check.hint else ''}")
    screen.line()
    screen.line("fit to measure" if not found.unfit else f"not fit to measure: {'; '.join(found.unfit)}")
    if found.outlook is not None:
        screen.line()
        ops, weights = found.outlook.ops, readable_bytes(found.outlook.weight_bytes)
        screen.line(f"{found.outlook.model}: {ops} ops, {weights} of weights")
        headings = ("format", "outlook", "about", "memory to make")
        screen.table(headings, [_row(one) for one in found.outlook.formats], right=(2, 3))
        for one in found.outlook.formats:
            _details(screen, one)


def _row(one: "FormatOutlook") -> tuple[str, ...]:
    return (one.name, one.outlook, readable_bytes(one.size_bytes), readable_bytes(one.memory_bytes))


def _details(screen: Output, one: "FormatOutlook") -> None:
    for problem in one.problems:
        screen.line(f"{one.name}: {problem}")
    for name, prospect in one.signatures.items():
        for line in _lines(prospect):
            screen.line(f"{one.name}, {name}: {line}")


def _lines(prospect: "Prospect") -> list[str]:
    lines = [prospect.reason] if prospect.reason else []
    if prospect.rewrites:
        lines.append(f"rewrites: {', '.join(prospect.rewrites)}")
    lines += list(prospect.notes)
    for label, ops in (("stays with TensorFlow", prospect.stays), ("not known to convert", prospect.unknown)):
        if ops:
            shown = [f"{op} (layer {layer})" for op, layer in list(ops.items())[:_SHOWN]]
            more = f" and {len(ops) - _SHOWN} more" if len(ops) > _SHOWN else ""
            lines.append(f"{label}: {', '.join(shown)}{more}")
    return lines
