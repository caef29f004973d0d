"""Names of structures of the body, for the classes of a segmentation."""

from functools import cache
from importlib.resources import files


@cache
def structure_names() -> tuple[str, ...]:
    """Return names of structures of the body that a class may be given, those of TotalSegmentator."""
    text = files(__package__).joinpath("structure_names.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))
