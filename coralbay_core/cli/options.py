"""Options shared by several commands, and parsers of their values."""

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer
from numpy.typing import ArrayLike, NDArray

from ..errors import InputError
from .command_line import GENERAL

MODEL_OPTIONS = "Model options"


def model_names(incomplete: str) -> list[str]:
    """Names of models that begin with what was typed, for completion in a shell."""
    from importlib.resources import files

    from ..models import cards

    known = [path.name.removesuffix(".toml") for path in files(cards).iterdir() if path.name.endswith(".toml")]
    return sorted(n for n in [*known, *cards.WITHOUT_CARD] if n.startswith(incomplete))


def device_names(incomplete: str) -> list[str]:
    """Names of devices that begin with what was typed, for completion in a shell."""
    return [name for name in ("auto", "cpu", "gpu", "cuda", "mps") if name.startswith(incomplete)]


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
        metavar="MODEL",
        autocompletion=model_names,
        rich_help_panel=MODEL_OPTIONS,
        help="Model: a name from `coralbay models list`, or the path of a weights file.  [default: coralbay-mini]",
    ),
]
ProbeModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        autocompletion=model_names,
        rich_help_panel=MODEL_OPTIONS,
        help="Model: a name, or the path of a weights file.  [default: the model of the probe]",
    ),
]
LibraryModel = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        autocompletion=model_names,
        rich_help_panel=MODEL_OPTIONS,
        help="Model: a name from `coralbay models list`, or the path of a weights file."
        "  [default: the model of the library; for a new one coralbay-mini]",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        autocompletion=device_names,
        rich_help_panel=MODEL_OPTIONS,
        help="Device that the model runs on: auto, cpu, gpu, cuda, cuda:1 or mps.",
    ),
]
Stages = Annotated[
    str | None,
    typer.Option(
        metavar="4,8,16,32",
        rich_help_panel=MODEL_OPTIONS,
        help="Model stages to use, given by their strides and separated by commas."
        "  [default: 4,8,16,32, as far as the model has them; probes, colors and alignments: 4,8,16]",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        metavar="GB",
        rich_help_panel=MODEL_OPTIONS,
        help="Memory limit in GB, not counting the scan itself.  [default: the free memory]",
    ),
]
StageWeights = Annotated[
    str | None,
    typer.Option(
        "--stage-weights",
        metavar="4=1,8=.5|auto",
        rich_help_panel=MODEL_OPTIONS,
        help="Weight of each stage; auto: chosen from the clicks.  [default: equal weights]",
    ),
]
FixedStageWeights = Annotated[
    str | None,
    typer.Option(
        "--stage-weights",
        metavar="4=1,8=.5",
        rich_help_panel=MODEL_OPTIONS,
        help="Weight of each stage.  [default: equal weights]",
    ),
]
Json = Annotated[bool, typer.Option("--json", rich_help_panel=GENERAL, help="Print the results as one JSON object.")]

Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="TABLE.csv", help="File for a table of scans: done, failed or passed over, and why."
    ),
]

_LISTS = (".csv", ".json")


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
    """Parse positions in mm, (N, 3); a text may also be the path of a list of landmarks, for all of its positions."""
    found: list[ArrayLike] = []
    for text in texts or ():
        if text.lower().endswith(_LISTS):
            from ..matching.landmarks import read_landmarks

            found += [place.position_mm for place in read_landmarks(text)]
        else:
            found.append(numbers(text, 3, where))
    return np.array(found, float).reshape(-1, 3)


def point_files(texts: list[str] | None) -> tuple[Path, ...]:
    """Lists of landmarks among positions, as inputs that no output may replace."""
    return tuple(Path(text) for text in texts or () if text.lower().endswith(_LISTS))


def strides(text: str | None) -> tuple[int, ...] | None:
    """Parse strides such as ``4,8,16``; whether the model has them is checked later. None: its default."""
    if text is None:
        return None
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise InputError(
            "not a list of strides", where="--stages", found=text, expected="whole numbers, e.g. 4,8,16"
        ) from None


def stage_weights(text: str | None) -> "dict[int, float] | Literal['auto'] | None":
    """Parse weights of stages such as ``4=1,8=.5``, or ``auto``."""
    if text is None or text == "auto":
        return text  # type: ignore[return-value]
    try:
        pairs = [part.split("=") for part in text.split(",")]
        chosen = {int(stride): float(weight) for stride, weight in pairs}
    except ValueError:
        chosen = {}
    if not chosen or not all(np.isfinite(w) and w >= 0 for w in chosen.values()) or not any(chosen.values()):
        raise InputError(
            "not valid stage weights",
            where="--stage-weights",
            found=text,
            expected="STRIDE=WEIGHT pairs, e.g. 4=1,8=0.5, or auto",
        )
    return chosen


def equal_stage_weights(chosen: tuple[int, ...] | None) -> dict[int, float] | None:
    """Give the stages that a user chose equal weights; None if there was no choice."""
    return None if chosen is None else dict.fromkeys(chosen, 1.0)


def fixed_stage_weights(text: str | None) -> dict[int, float] | None:
    """Parse weights of stages where nothing is there to choose them from."""
    chosen = stage_weights(text)
    if chosen == "auto":
        raise InputError(
            "auto weights are not available here",
            where="--stage-weights",
            hint="give numbers such as 4=1,8=1,16=1",
        )
    return chosen  # type: ignore[return-value]


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


def require_csv(path: Path | None) -> None:
    """Raise unless an output path ends in ``.csv``."""
    if path is not None and path.suffix.lower() != ".csv":
        raise InputError("not a table name", where=path, expected="a name that ends in .csv")


def require_safetensors(path: Path | None, kind: str) -> None:
    """Raise unless an output path ends in ``.safetensors``."""
    if path is not None and path.suffix != ".safetensors":
        raise InputError(f"not a {kind} name", where=path, expected="a name that ends in .safetensors")
