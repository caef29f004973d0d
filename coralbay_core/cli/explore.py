"""``embed`` and ``project``."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from numpy.typing import NDArray

from ..errors import InputError
from ..volume import Volume
from . import options
from .options import DEFAULT_STAGES, CtPath, Device, Json, Model, Series, Stages
from .output import Progress, emit
from .work import features_of, open_ct, open_model

if TYPE_CHECKING:
    from ..features import FeatureMaps

OVERVIEW_WINDOW_HU = (-160.0, 240.0)


# --- embed --------------------------------------------------------------------------------------------------------


def embed(
    ct: Annotated[Path, typer.Argument(metavar="CT|FOLDER", help="A CT, or a folder of NIfTI files.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Folder for the features, one sub-folder a scan.")
    ] = None,
    stages: Stages = DEFAULT_STAGES,
    roi: Annotated[
        str | None, typer.Option(metavar="X,Y,Z,X,Y,Z", help="Only the box between two corners, in mm (needs -o).")
    ] = None,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Compute features of a CT, or of all in a folder, and keep them for the other commands."""
    strides = options.strides(stages)
    corners = None if roi is None else options.numbers(roi, 6, "--roi").reshape(2, 3)
    if corners is not None and out is None:
        raise InputError("a region is not kept in the cache", where="--roi", hint="say where to write it with -o")
    scans = dict(_scans(ct))
    encoder = open_model(model, device)
    done = [_embed_one(name, open_ct(path, series), encoder, strides, corners, out) for name, path in scans.items()]
    emit(
        "embed",
        as_json=as_json,
        inputs={"ct": ct, "stages": strides, "roi_mm": corners, "model": encoder.name},
        outputs={"folder": out},
        results={"scans": done},
        lines=[_embed_line(entry) for entry in done],
    )


def _scans(path: Path) -> Iterator[tuple[str, Path]]:
    """Scans that a path stands for, by names that tell them apart."""
    found = sorted(p for p in path.rglob("*.nii*") if p.name.endswith((".nii", ".nii.gz"))) if path.is_dir() else []
    if not found:
        yield path.name.removesuffix(".gz").removesuffix(".nii"), path
    for file in found:
        relative = file.relative_to(path).as_posix()
        yield relative.removesuffix(".gz").removesuffix(".nii").replace("/", "--"), file


def _embed_one(
    name: str, volume: Volume, encoder: Any, strides: tuple[int, ...], corners: NDArray | None, out: Path | None
) -> dict[str, Any]:
    from ..pipeline import features_for
    from ..store import FeatureStore

    box = None if corners is None else (corners[0], corners[1])
    features = features_for(volume, encoder, strides=strides, roi_mm=box, progress=Progress(f"features of {name}"))
    # A folder of the user's own is never pruned.
    folder = FeatureStore(out, limit_bytes=sys.maxsize).put(name, features) if out else None
    return {
        "name": name,
        "folder": folder,
        "bytes": features.size_bytes,
        "stages": {stride: {"shape": stage.data.shape} for stride, stage in features.stages.items()},
    }


def _embed_line(entry: dict[str, Any]) -> str:
    stages = ", ".join(f"stride {s}: {' x '.join(map(str, v['shape']))}" for s, v in entry["stages"].items())
    return f"{entry['name']}: {stages} ({entry['bytes'] / 1e6:.1f} MB)"


# --- project ------------------------------------------------------------------------------------------------------


def project(
    ct: CtPath,
    method: Annotated[Literal["pca", "umap"], typer.Option(help="How features become colors.")] = "pca",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RGB.nii.gz", help="Color volume to write.")
    ] = None,
    png: Annotated[Path | None, typer.Option(metavar="OVERVIEW.png", help="Picture of three planes to write.")] = None,
    stages: Stages = DEFAULT_STAGES,
    model: Model = None,
    device: Device = "auto",
    series: Series = None,
    as_json: Json = False,
) -> None:
    """Show features as colors: what looks alike to the model has like colors."""
    from ..volume_io import require_output

    if method == "umap":
        raise InputError("not available yet", where="--method", found="umap", expected="pca")
    if out is None and png is None:
        raise InputError("nothing to write", expected="-o RGB.nii.gz or --png OVERVIEW.png")
    strides = options.strides(stages)
    require_output(out, ct)
    if png is not None and png.suffix.lower() != ".png":
        raise InputError("not a picture name", where=png, expected="a name that ends in .png")
    volume = open_ct(ct, series)
    encoder = open_model(model, device)
    features = features_of(volume, encoder, strides)
    rgb = _pca(features)
    outputs = {"rgb": _save(out, rgb, volume), "png": None if png is None else _draw(png, rgb, volume, features)}
    emit(
        "project",
        as_json=as_json,
        inputs={"ct": ct, "method": method, "stages": strides},
        outputs=outputs,
        results={"model": encoder.name, "explained": rgb.explained, "notes": volume.notes},
        lines=["explained:     " + ", ".join(f"{share:.1%}" for share in rgb.explained)],
    )


def _pca(features: "FeatureMaps") -> Any:
    from ..projection import pca_rgb

    return pca_rgb(features)


def _draw(path: Path, rgb: Any, volume: Volume, features: "FeatureMaps") -> Path:
    from ..preprocess import resample
    from .png import overview, write_png

    hu = resample(volume.data, volume.grid, features.grid)
    return write_png(path, overview(np.asarray(hu), rgb.on(features.grid), features.body, OVERVIEW_WINDOW_HU))


def _save(out: Path | None, result: Any, volume: Volume) -> Path | None:
    from ..volume_io import save_map

    return None if out is None else save_map(out, result.on(volume.grid), volume)
