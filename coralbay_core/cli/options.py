"""Options that several commands share, and the values that are written in them."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError

CtPath = Annotated[
    Path,
    typer.Argument(metavar="CT", help="NIfTI, NRRD or MetaImage file, DICOM folder or any file of a DICOM series."),
]
Series = Annotated[str | None, typer.Option(metavar="UID", help="DICOM series to read, where a folder holds several.")]
Model = Annotated[
    str | None, typer.Option(metavar="M", help="Model, by name or path of its weights.  [default: coralbay-mini]")
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the model runs.")]
Stages = Annotated[str, typer.Option(metavar="4,8,16", help="Strides of the stages to use, comma-separated.")]
Memory = Annotated[
    float | None, typer.Option(metavar="GB", help="Memory to work in beside the scan; by default what is free.")
]
Weights = Annotated[
    str | None,
    typer.Option(metavar="4=1,8=.5|auto", help="Weights of the strides; auto chooses them from the clicks.  [equal]"),
]
PriorMm = Annotated[float | None, typer.Option(metavar="MM", help="Width of a distance prior.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

DEFAULT_STAGES = "4,8,16"


def numbers(text: str, count: int, where: str) -> NDArray[np.float64]:
    """Comma-separated finite numbers."""
    try:
        values = np.array([float(part) for part in text.split(",")])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        example = ",".join(["-12", "-30", "5", "40", "20", "90"][:count])
        raise InputError(
            "unreadable position", where=where, found=text, expected=f"{count} numbers in mm, e.g. {example}"
        )
    return values


def points(texts: list[str] | None, where: str) -> NDArray[np.float64]:
    """Positions in mm, (N, 3)."""
    return np.array([numbers(text, 3, where) for text in texts or ()]).reshape(-1, 3)


def strides(text: str) -> tuple[int, ...]:
    """Strides such as ``4,8,16``; which of them a model has is for the model to say."""
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError("unreadable strides", where="--stages", found=text, expected="e.g. 4,8,16") from None


def weights(text: str | None) -> "dict[int, float] | Literal['auto'] | None":
    """Weights of strides such as ``4=1,8=.5``, or ``auto``."""
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        pairs = [part.split("=") for part in text.split(",")]
        chosen = {int(stride): float(weight) for stride, weight in pairs}
    except ValueError:
        chosen = {}
    if not chosen or not all(np.isfinite(w) and w >= 0 for w in chosen.values()) or not any(chosen.values()):
        raise InputError("unreadable weights", where="--weights", found=text, expected="e.g. 4=1,8=0.5 or auto")
    return chosen


def require_safetensors(path: Path | None, kind: str) -> None:
    """Raise unless a file to write is called what it will be."""
    if path is not None and path.suffix != ".safetensors":
        raise InputError(f"not a {kind} name", where=path, expected="a name that ends in .safetensors")
