"""Options shared by several commands, and parsers of their values."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError

CtPath = Annotated[
    Path,
    typer.Argument(
        metavar="CT", help="CT scan: a NIfTI, NRRD or MetaImage file, a DICOM folder, or any file of a DICOM series."
    ),
]
Series = Annotated[str | None, typer.Option(metavar="UID", help="DICOM series to read if the folder holds several.")]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="Model: a name from `coralbay models list`, or the path of a weights file.  [default: coralbay-mini]",
    ),
]
ProbeModel = Annotated[
    str | None,
    typer.Option(metavar="M", help="Model: a name, or the path of a weights file.  [default: the model of the probe]"),
]
LibraryModel = Annotated[
    str | None,
    typer.Option(
        metavar="M",
        help="Model: a name from `coralbay models list`, or the path of a weights file."
        "  [default: the model of the library; for a new one coralbay-mini]",
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Device that the model runs on.")]
Stages = Annotated[
    str, typer.Option(metavar="4,8,16", help="Model stages to use, given by their strides and separated by commas.")
]
Memory = Annotated[
    float | None,
    typer.Option(metavar="GB", help="Memory limit in GB, not counting the scan itself.  [default: the free memory]"),
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="4=1,8=.5|auto", help="Weight of each stage; auto: chosen from the clicks.  [default: equal weights]"
    ),
]
FixedWeights = Annotated[
    str | None, typer.Option("--weights", metavar="4=1,8=.5", help="Weight of each stage.  [default: equal weights]")
]
Json = Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")]

DEFAULT_STAGES = "4,8,16"


def numbers(text: str, count: int, where: str) -> NDArray[np.float64]:
    """Parse comma-separated finite numbers."""
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        example = ",".join(["-12", "-30", "5", "40", "20", "90"][:count])
        raise InputError("not a position", where=where, found=text, expected=f"{count} numbers in mm, e.g. {example}")
    return values


def points(texts: list[str] | None, where: str) -> NDArray[np.float64]:
    """Parse positions in mm, (N, 3)."""
    return np.array([numbers(text, 3, where) for text in texts or ()]).reshape(-1, 3)


def strides(text: str) -> tuple[int, ...]:
    """Parse strides such as ``4,8,16``; whether the model has them is checked later."""
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError(
            "not a list of strides", where="--stages", found=text, expected="whole numbers, e.g. 4,8,16"
        ) from None


def weights(text: str | None) -> "dict[int, float] | Literal['auto'] | None":
    """Parse weights per stride such as ``4=1,8=.5``, or ``auto``."""
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        pairs = [part.split("=") for part in text.split(",")]
        chosen = {int(stride): float(weight) for stride, weight in pairs}
    except ValueError:
        chosen = {}
    if not chosen or not all(np.isfinite(w) and w >= 0 for w in chosen.values()) or not any(chosen.values()):
        raise InputError(
            "not valid weights", where="--weights", found=text, expected="STRIDE=WEIGHT pairs, e.g. 4=1,8=0.5, or auto"
        )
    return chosen


def require_positive(value: float | None, where: str, *, or_zero: bool = False) -> None:
    """Raise unless a number (None passes) is finite and above 0, or 0 where that is allowed."""
    if value is not None and not (np.isfinite(value) and (value > 0 or (or_zero and value == 0))):
        expected = "a number of 0 or more" if or_zero else "a number above 0"
        raise InputError("option out of range", where=where, found=f"{value:g}", expected=expected)


def memory_bytes(memory_gb: float | None) -> int | None:
    """Convert a memory limit to bytes."""
    if memory_gb is None:
        return None
    if not 0 < memory_gb < float("inf"):
        raise InputError("unusable memory budget", where="--memory", found=f"{memory_gb:g}", expected="GB above 0")
    return int(memory_gb * 1e9)


def require_safetensors(path: Path | None, kind: str) -> None:
    """Raise unless an output path ends in ``.safetensors``."""
    if path is not None and path.suffix != ".safetensors":
        raise InputError(f"not a {kind} name", where=path, expected="a name that ends in .safetensors")
