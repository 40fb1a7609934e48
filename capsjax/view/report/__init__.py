"""A page on a run that stands by itself: what was told, what was learned, how well."""

from capsjax.view.report.report import Report, report

__all__ = ["Report", "report"]
