"""Commands ``coralbay view`` and ``coralbay demo``, registered in the entry-point group ``coralbay.commands``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coralbay_core.cli.options import Device, Json, Model, Series, numbers
from coralbay_core.cli.output import emit, say
from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.models.names import DEFAULT_MODEL

from .napari_ui.display_check import require_window

if TYPE_CHECKING:
    from .session import Session


def register_view(app: typer.Typer) -> None:
    """Add ``view``."""
    app.command("view", rich_help_panel="Scans")(view)


def register_demo(app: typer.Typer) -> None:
    """Add ``demo``."""
    app.command("demo", rich_help_panel="Scans")(demo)


def view(
    cts: Annotated[
        list[Path] | None, typer.Argument(metavar="CT", help="NIfTI files or DICOM folders.", show_default=False)
    ] = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Open scans in napari with the CoralBay panel."""
    paths = list(cts or ())
    _require(paths)
    require_window()
    from .napari_ui import launch

    launch.view(paths, series, model or DEFAULT_MODEL, device)
    emit("view", as_json=as_json, lines=(), inputs={"cts": paths}, results={})


def demo(
    ct: Annotated[Path | None, typer.Argument(metavar="CT", help="CT scan; by default a synthetic torso.")] = None,
    headless: Annotated[
        Path | None, typer.Option(metavar="OUT", help="Write pictures and maps into this folder and exit.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Position of the click in mm; by default deep in soft tissue.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="STROKES.nii.gz", help="Strokes to use instead of automatic ones.")
    ] = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Run the tour: features, colors, a click and its heat map, strokes and a segmentation."""
    _require([path for path in (ct, labels) if path is not None])
    if labels is not None and ct is None:
        raise InputError("strokes need a scan", where="--labels", hint="give the CT as well")
    at_mm = None if at is None else numbers(at, 3, "--at")
    out = None if headless is None else _folder(headless)
    require_window()
    from .demo.tour import Tour, peak_memory_bytes
    from .napari_ui import launch

    def make_tour(session: "Session") -> Tour:
        return Tour(session, ct, series, at_mm, labels, out)

    tour, pictures = launch.run_tour(make_tour, model or DEFAULT_MODEL, device, say, out)
    peak = peak_memory_bytes()
    lines = list(tour.report)
    if peak is not None:
        lines.append(f"peak memory: {peak / 1e9:.1f} GB")
    emit(
        "demo",
        as_json=as_json,
        lines=lines,
        inputs={"ct": ct, "at_mm": at_mm, "labels": labels},
        results=tour.results | {"peak_memory_bytes": peak},
        outputs={path.name.split(".")[0]: path for path in tour.written}
        | {f"picture_{path.stem}": path for path in pictures},
    )


def _require(paths: list[Path]) -> None:
    """Raise an error for missing files before a window opens."""
    for path in paths:
        if not path.expanduser().exists():
            raise MissingFileError("no such file or folder", where=path)


def _folder(path: Path) -> Path:
    if path.exists() and not path.is_dir():
        raise InputError("not a folder", where=path, expected="a folder to write into", hint="choose another name")
    path.mkdir(parents=True, exist_ok=True)
    return path
