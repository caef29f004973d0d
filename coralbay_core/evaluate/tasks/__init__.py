"""Evaluation tasks. Each maps a method and cases to records; features of the cases are computed once for all tasks."""

from collections.abc import Callable, Iterator

from ..records import Record
from .across import across_patients
from .changes import changed_copies
from .common import Setting
from .fewshot import few_shot
from .regions import region_votes
from .retrieval import click_retrieval
from .structure import clicked_structure
from .transfer import transferred_labels

__all__ = ["TASKS", "Setting", "Task"]

Task = Callable[[Setting], Iterator[Record]]

TASKS: dict[str, Task] = {
    "retrieval": click_retrieval,
    "structure": clicked_structure,
    "across": across_patients,
    "transfer": transferred_labels,
    "fewshot": few_shot,
    "changes": changed_copies,
    "regions": region_votes,
}
"""Tasks by the names that ``--tasks`` takes."""
