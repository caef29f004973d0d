"""MONAI bundle of an encoder and a probe: segmentation of CTs by ``python -m monai.bundle run``."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ... import __version__
from ...errors import InputError
from ...io import require_folder
from ...models.encoder import Encoder
from ...models.swin_encoder import SwinEncoder
from ...probe import Probe
from ...util.arguments import checked
from ...util.atomic_file import write_atomically

CONFIG = "configs/inference.json"


@checked
def export_bundle(folder: str | Path, probe: Probe, encoder: Encoder) -> Path:
    """Write a bundle that segments CTs: configuration, metadata, the weights of the encoder and the probe.

    It needs CoralBay where it runs, and no network. ``python -m monai.bundle run --config_file configs/inference.json
    --input "cts/*.nii.gz"`` in the folder of the bundle writes one label map per CT into ``output``.

    Parameters
    ----------
    folder : str or Path
        Folder of the bundle; files of other names stay.
    probe : Probe
    encoder : Encoder
        The one that the probe was fitted to. Weights must be loaded with ``precision=torch.float32``.

    Returns
    -------
    Path
        Path of the configuration.

    Raises
    ------
    InputError
        If the probe belongs to another encoder.
    """
    folder = Path(folder).expanduser()
    if probe.fingerprint != encoder.fingerprint:
        raise InputError("probe of another model", found=probe.model, expected=encoder.name)
    require_folder(folder)
    model = encoder.name
    if isinstance(encoder, SwinEncoder):
        encoder.save_pretrained(folder / "models" / "encoder")
        model = "$@bundle_root + '/models/encoder/model.safetensors'"
    probe.save(folder / "models" / "probe.safetensors")
    write_atomically(folder / "configs" / "metadata.json", _json(_metadata(probe, encoder)))
    return write_atomically(folder / CONFIG, _json(_inference(model)))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _inference(model: str) -> dict[str, Any]:
    transforms = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {
            "_target_": "coralbay_core.integrations.monai.CoralBaySegmentd",
            "keys": "image",
            "probe": "$@bundle_root + '/models/probe.safetensors'",
            "model": model,
            "device": "@device",
        },
        {
            "_target_": "SaveImaged",
            "keys": "image_seg",
            "output_dir": "@output_dir",
            "output_postfix": "seg",
            "output_dtype": "$np.int32",
            "separate_folder": False,
            "resample": False,
        },
    ]
    return {
        "imports": ["$import glob", "$import numpy as np"],
        "bundle_root": ".",
        "input": "*.nii.gz",
        "output_dir": "$@bundle_root + '/output'",
        "device": "auto",
        "files": "$sorted(glob.glob(@input))",
        "pipeline": {"_target_": "Compose", "transforms": transforms},
        "run": ["$[@pipeline({'image': file}) for file in @files]"],
    }


def _metadata(probe: Probe, encoder: Encoder) -> dict[str, Any]:
    classes = {str(value): probe.names.get(value, f"class {value}") for value in probe.values}
    low, high = encoder.preprocessing.window_hu
    image = {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": ["*", "*", "*"],
        "dtype": "float32",
        "value_range": [low, high],
        "is_patch_data": False,
        "channel_def": {"0": "image"},
    }
    labels = image | {"format": "segmentation", "dtype": "int64", "channel_def": classes}
    labels["value_range"] = [0, max(probe.values)]
    return {
        "name": f"CoralBay probe on {encoder.name}",
        "version": __version__,
        "changelog": {__version__: "made by CoralBay"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"coralbay": __version__},
        "task": "segmentation of CT by a probe on features of a frozen encoder",
        "description": f"{probe.kind} probe with {len(classes)} classes, fitted to {probe.scans} scans",
        "authors": "made by CoralBay",
        "copyright": "see the license of the encoder and of the scans that the probe was fitted to",
        "intended_use": "research; not a medical device",
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": labels}},
    }
