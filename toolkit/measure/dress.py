"""What every page wears: its style, light and dark, its tables and its frame. No request leaves it."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from toolkit.measure.table import Table

# All within .tfx: a notebook that shows a fragment keeps its own face.
_STYLE = """
.tfx { color-scheme: light dark; --ink: #1d2430; --paper: #fff; --soft: #667; --rule: #dde1e8; }
@media (prefers-color-scheme: dark) { .tfx { --ink: #e6e9ef; --paper: #14171c; --soft: #9aa3b2; --rule: #2c323c; } }
.tfx { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1080px;
  margin: 0 auto; padding: 1rem; }
.tfx table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.tfx .wide { overflow-x: auto; }
.tfx th, .tfx td { padding: 3px 10px; border-bottom: 1px solid var(--rule); text-align: left; white-space: nowrap; }
.tfx .right { text-align: right; }
.tfx td:last-child:not(.right) { white-space: normal; }
.tfx .note, .tfx .facts { color: var(--soft); font-size: 13px; }
.tfx svg { width: 100%; max-width: 860px; font-size: 12px; }
.tfx svg text { fill: var(--ink); } .tfx .small { font-size: 10.5px; fill: var(--soft); }
.tfx .end { text-anchor: end; } .tfx .middle { text-anchor: middle; }
.tfx .grid { stroke: var(--rule); } .tfx .line { fill: none; stroke-width: 2; }
.tfx .whisker { stroke: var(--ink); stroke-width: 1.2; fill: none; }
"""
# What is beside and below a fragment belongs to the page.
_PAGE_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0; background: #fff; }
@media (prefers-color-scheme: dark) { body { background: #14171c; } }
"""
_PALETTE = (
    *("#4c78a8", "#f58518", "#54a24b", "#e45756", "#72b7b2", "#b279a2"),
    *("#eeca3b", "#9d755d", "#8a8f98", "#d67195", "#2f9e8f", "#7b6fd0"),
)


def document(title: str, body: str) -> str:
    """A whole page around a fragment."""
    # An empty icon, or the browser asks a server for one.
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><link rel="icon" href="data:,">'
    head += '<meta name="viewport" content="width=device-width">'
    head += f"<style>{_PAGE_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'


def styled(content: str) -> str:
    """A fragment that brings its style along, as a notebook needs it."""
    colours = "".join(
        f".tfx .c{at} {{ fill: {colour}; }} .tfx .s{at} {{ stroke: {colour}; }}\n" for at, colour in enumerate(_PALETTE)
    )
    return f'<div class="tfx"><style>{_STYLE}{colours}</style>{content}</div>'


def figure(title: str, drawing: str, notes: Sequence[str] = ()) -> str:
    """A chart under its title and above its notes; nothing where there is nothing to draw."""
    return f"<h2>{escape(title)}</h2><figure>{drawing}</figure>{_below(notes)}" if drawing else ""


def _below(notes: Sequence[str]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def table_html(table: Table) -> str:
    """A table under its title."""

    def cells(tag: str, texts: Sequence[str]) -> str:
        marks = (' class="right"' if at in table.right else "" for at in range(len(texts)))
        return "".join(f"<{tag}{mark}>{escape(text)}</{tag}>" for mark, text in zip(marks, texts, strict=True))

    rows = "".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    head = f"<thead><tr>{cells('th', table.headings)}</tr></thead>"
    body = f'<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'
    return f"<h2>{escape(table.title)}</h2>{body}{_below(table.notes)}"


def machine_line(facts: Mapping[str, Any], more: Mapping[str, Any]) -> str:
    """What one must know of a machine to believe its figures."""
    flat = {name: value for name, value in facts.items() if not isinstance(value, Mapping)}
    text = "; ".join(
        f"{name}: {value}" for name, value in [*flat.items(), *more.items(), *facts.get("versions", {}).items()]
    )
    return f'<p class="facts">{escape(text)}</p>'
