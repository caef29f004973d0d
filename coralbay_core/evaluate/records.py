"""Records of measurements: one line of JSON per record."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..util.atomic_file import write_atomically
from ..util.json_values import MILLIONTHS, plain


@dataclass(frozen=True)
class Record:
    """One measurement.

    Parameters
    ----------
    task, method, domain : str
        Task, name of the method, and ``real`` or ``phantom`` data.
    keys : dict of str to str
        Properties of the measurement: case, target, structure, change, ...
    values : dict of str to number, list of numbers or None
    """

    task: str
    method: str
    domain: str
    keys: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def as_line(self) -> str:
        """Convert the record to JSON; values that are not finite become null."""
        content = {"task": self.task, "method": self.method, "domain": self.domain, **self.keys, "values": self.values}
        return json.dumps(plain(content, MILLIONTHS), allow_nan=False)


def write_lines(path: Path, head: dict[str, Any], records: Iterable[Record]) -> Path:
    """Write JSON lines: first the provenance, then one line per record."""
    lines = [json.dumps(plain({"about": head}, MILLIONTHS), allow_nan=False), *(record.as_line() for record in records)]
    return write_atomically(path, "\n".join(lines) + "\n")


ProgressReport = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done and how much there is."""
