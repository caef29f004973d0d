"""Commands in an environment without the packages of any extra: ``python -m tests.support.without_extras FOLDER``.

Prints one JSON object: for each command its exit code and what it wrote.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

HIDDEN = {
    "napari": ["napari", "magicgui", "pooch", "qtpy"],
    "qt": ["PySide6", "PyQt6", "PyQt5", "PySide2"],
    "jupyter": ["anywidget", "ipywidgets", "jupyterlab"],
    "umap": ["umap"],
    "cluster": ["distributed", "dask"],
    "tensorboard": ["tensorboard"],
    "itk": ["SimpleITK"],
    "dicom": ["highdicom"],
    "library": ["lancedb", "pyarrow"],
    "monai": ["einops", "fire"],
    "onnx": ["onnx", "onnxruntime", "onnxscript"],
    "eva": ["eva", "jsonargparse"],  # zarr brings PyYAML
}
"""Top-level modules of each extra."""


def hide(*extras: str) -> None:
    """Make the packages of extras fail to import."""
    for extra in extras:
        for module in HIDDEN[extra]:
            sys.modules[module] = None  # type: ignore[assignment]


def commands(folder: Path) -> dict[str, list[str]]:
    """Commands that need an extra, by its name, and some that need none."""
    ct, model = str(folder / "ct.nii.gz"), ["--model", "hu-patch", "--stages", "16"]
    return {
        "napari": ["view", ct],
        "umap": ["project", ct, "--method", "umap", "-o", str(folder / "rgb.nii.gz"), *model],
        "cluster": ["embed", ct, "--jobs", "2", *model],
        "itk": ["info", str(folder / "ct.nrrd")],
        "dicom": ["export", str(folder / "seg.nii.gz"), "--dicom", str(folder / "series"), "-o", str(folder / "s.dcm")],
        "library": ["library", "add", str(folder / "library"), ct, "--model", "hu-patch"],
        "monai": ["einops"],
        "onnx": ["models", "export", "coralbay-mini", "--onnx", str(folder / "m.onnx")],
        "library search": ["library", "search", str(folder / "library"), "--ct", ct, "--at", "0,0,0"],
        "none: DICOM": ["info", str(folder / "series")],
        "none: colors": ["project", ct, "-o", str(folder / "pca.nii.gz"), *model],
        "none: help": ["--help"],
    }


def main(folder: Path) -> None:
    """Run the commands, and `show`."""
    hide(*HIDDEN)
    from coralbay_core.cli import run

    found = {}
    for name, arguments in commands(folder).items():
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
        found[name] = {"code": code, "out": out.getvalue(), "err": err.getvalue()}
    import coralbay_viz

    try:
        coralbay_viz.show(folder / "ct.nii.gz")
    except Exception as error:
        found["jupyter"] = {"code": 1, "out": "", "err": f"error: {error}\n"}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
