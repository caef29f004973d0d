"""Evaluation of frozen encoders on labeled CTs, compared with baselines that need no training.

``coralbay evaluate`` does it all; from Python::

    from coralbay_core.evaluate import measure, open_cases, open_methods, write_report

    evaluation = measure(open_methods(["coralbay-mini"]), open_cases(["labeled"]))
    write_report(evaluation, Path("report"))
"""

from .layouts import LAYOUTS, find_cases
from .report import find, headline_lines, read_findings, write_report
from .run import Evaluation, measure, open_cases, open_methods, published_models
from .summary import summarize
from .tasks import TASKS

__all__ = [
    "LAYOUTS",
    "TASKS",
    "Evaluation",
    "find",
    "find_cases",
    "headline_lines",
    "measure",
    "open_cases",
    "open_methods",
    "published_models",
    "read_findings",
    "summarize",
    "write_report",
]
