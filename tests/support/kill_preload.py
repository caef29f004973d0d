"""Imports of the server that forks the processes to be killed: no run spends its time on imports."""

import importlib
import pkgutil
from contextlib import suppress

import coralbay_core
import coralbay_viz

_OTHERS = (
    "highdicom.seg", "nibabel", "pydicom", "scipy.ndimage", "sklearn.discriminant_analysis", "torch._dynamo",
    "torch.utils.data", "torch.utils.tensorboard", "typer._adapters", "typer._click", "zarr.codecs",
)  # fmt: skip
_NOT_NEEDED = (
    "coralbay_core.evaluate", "coralbay_core.integrations",
    "coralbay_viz.cli", "coralbay_viz.demo", "coralbay_viz.jupyter_ui", "coralbay_viz.napari_ui",
    "coralbay_viz.notebook",
)  # fmt: skip

for _package in (coralbay_core, coralbay_viz):
    for _module in pkgutil.walk_packages(_package.__path__, f"{_package.__name__}."):
        if not _module.name.startswith(_NOT_NEEDED):
            importlib.import_module(_module.name)
for _name in _OTHERS:
    with suppress(ImportError):  # an extra that is not installed
        importlib.import_module(_name)
