"""``project``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from ..errors import InputError
from ..volume import Volume
from . import options
from .options import DEFAULT_STAGES, CtPath, Device, Json, Model, Series, Stages
from .output import emit
from .work import features_of, open_ct, open_model

if TYPE_CHECKING:
    from ..features import FeatureMaps

OVERVIEW_WINDOW_HU = (-160.0, 240.0)


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
