"""A report as one self-contained HTML page."""

from toolkit.measure.report import Report


def page(report: Report) -> str:
    """The page."""
    return fragment(report)


def fragment(report: Report) -> str:
    """The page's body, for a notebook."""
    return f"<p>{len(report.measurements)} measurements</p>"
