"""Shows inspections and their differences to a person: the largest of each first, the rest counted."""

from collections.abc import Mapping, Sequence

from toolkit.cli.output import Output, readable_bytes, readable_path
from toolkit.insight.calls import ready_calls
from toolkit.insight.differences import Difference, Differences
from toolkit.insight.inspection import KINDS, Call, Inspection

_SHOWN = 8
_SIDE_BY_SIDE = 30


def show_inspection(screen: Output, found: Inspection, *, calls: bool = False) -> None:
    """Versions, signatures, ops, weights and findings, part by part; calls at the end."""
    screen.line(f"{readable_path(found.path)}: {found.format}, {readable_bytes(found.size_bytes)}")
    _facts(screen, found)
    for name, call in found.signatures.items():
        _signature(screen, name, call)
    for name, part in found.parts.items():
        screen.line()
        screen.line(f"{name}: {readable_bytes(part.size_bytes)}")
        _facts(screen, part)
    screen.line()
    _findings(screen, found)
    for note in (*found.notes, *(f"{name}: {note}" for name, part in found.parts.items() for note in part.notes)):
        screen.line(f"note: {note}")
    if calls:
        _calls(screen, found)


def _facts(screen: Output, found: Inspection) -> None:
    rows = [("made by", ", ".join(f"{name} {version}" for name, version in found.versions.items()))]
    if found.ops:
        rows.append((f"{sum(found.ops.values())} ops", _most(found.ops)))
    if found.weights:
        sizes = {layer: readable_bytes(size) for layer, size in found.layers.items()}
        rows.append((f"{readable_bytes(found.weight_bytes)} weights", _most(sizes)))
        rows.append(("dtypes", _most({dtype: readable_bytes(size) for dtype, size in found.dtypes.items()})))
    rows += (
        [("assets", _most({name: readable_bytes(size) for name, size in found.assets.items()}))] if found.assets else []
    )
    rows += [("table", table) for table in found.tables[:_SHOWN]]
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        screen.line(f"  {name.ljust(width)}  {text}")


def _most(counts: Mapping[str, object]) -> str:
    """The first few, which are the largest, and how many more there are."""
    shown = [f"{name} {count}" for name, count in list(counts.items())[:_SHOWN]]
    return ", ".join(shown) + (f", and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _signature(screen: Output, name: str, call: Call) -> None:
    screen.line(f"  {name} ({call.method})")
    rows = [("in", key, str(tensor)) for key, tensor in call.inputs.items()]
    rows += [("of its Examples", key, str(tensor)) for key, tensor in call.features.items()]
    rows += [("out", key, str(tensor)) for key, tensor in call.outputs.items()]
    widths = [max((len(row[at]) for row in rows), default=0) for at in (0, 1)]
    for way, key, tensor in rows:
        screen.line(f"    {way.ljust(widths[0])}  {key.ljust(widths[1])}  {tensor}")


def _findings(screen: Output, found: Inspection) -> None:
    findings = found.all_findings
    if not findings:
        screen.line(f"no findings: nothing of {', '.join(KINDS)}")
        return
    for kind, meaning in KINDS.items():
        same = [(part, finding) for part, finding in findings if finding.kind == kind]
        if same:
            screen.line(f"{kind}: {meaning}")
        for part, finding in same:
            source = "" if finding.source == "tfx-export" else f" [{finding.source}]"
            screen.line(f"  {f'{part}: ' if part else ''}{finding}{source}")


def _calls(screen: Output, found: Inspection) -> None:
    for name, ready in ready_calls(found).items():
        for heading, text in (("gRPC, in Python", ready.grpc), ("curl", ready.curl), ("Python", ready.python)):
            if text:
                screen.line()
                screen.line(f"# {name}: {heading}")
                screen.line(text)


def show_differences(screen: Output, both: Differences) -> None:
    """A table of what differs."""
    first, second = readable_path(both.first.path), readable_path(both.second.path)
    screen.line(f"{first}: {both.first.format}, {readable_bytes(both.first.size_bytes)}")
    screen.line(f"{second}: {both.second.format}, {readable_bytes(both.second.size_bytes)}")
    for note in both.notes:
        screen.line(f"note: {note}")
    if not both.found:
        screen.line("no difference in signatures, ops and weights")
        return
    screen.table(("what", "name", "first", "second"), [_row(one) for one in both.found[:_SIDE_BY_SIDE]])
    if len(both.found) > _SIDE_BY_SIDE:
        screen.line(
            f"and {len(both.found) - _SIDE_BY_SIDE} more: {_counted(both.found[_SIDE_BY_SIDE:])}; --json has all"
        )


def _row(one: Difference) -> Sequence[str]:
    return (f"{one.part} {one.kind}".strip(), one.name, one.first, one.second)


def _counted(found: Sequence[Difference]) -> str:
    kinds = [one.kind for one in found]
    return ", ".join(f"{kinds.count(kind)} of {kind}" for kind in dict.fromkeys(kinds))
