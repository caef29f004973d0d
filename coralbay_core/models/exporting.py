"""Export of an encoder at a fixed tile size: as a program of `torch.export`, and as ONNX.

The exported function takes one tile of a volume as an `Encoder` does: ``(1, 1, Z, Y, X)`` float32, axes S, P, L, HU
scaled to the window of the model. It returns the maps of the chosen strides.
"""

import copy
import json
import logging
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, WeightsError
from ..util.arguments import checked
from ..util.atomic_file import atomic_path
from ..util.extras import import_extra, require_extra
from .encoder import Encoder, check_strides
from .pretrained import require_exact
from .swin_encoder import SwinEncoder, maps_of

INPUT = "tile"
TOLERANCE = 1e-3
"""Largest accepted difference between an exported map and the encoder's, relative to the largest value of the map."""

_NEED = "export to ONNX needs"
_LARGEST = 512


class TileFunction(nn.Module):
    """Maps of one tile, as a function without any other state than the weights.

    Parameters
    ----------
    encoder : SwinEncoder
        Its weights are copied to the CPU.
    strides : collection of int
    """

    def __init__(self, encoder: SwinEncoder, strides: Collection[int]):
        super().__init__()
        self.backbone = copy.deepcopy(encoder.backbone).cpu().requires_grad_(False)
        self.preprocessing = encoder.preprocessing
        self.strides = tuple(sorted(strides))

    def forward(self, tile: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps, in ascending order of strides."""
        maps = maps_of(self.backbone, self.preprocessing, tile, self.strides)
        return tuple(maps[stride] for stride in self.strides)


@checked
def export_program(
    encoder: Encoder, *, tile: int | Sequence[int] | None = None, strides: Collection[int] | None = None
) -> torch.export.ExportedProgram:
    """Trace an encoder with `torch.export`, for tiles of one size.

    Parameters
    ----------
    encoder : SwinEncoder
        Loaded with ``precision=torch.float32``.
    tile : int or sequence of int, optional
        Edge lengths in voxels, multiples of 32; by default the tile of the model.
    strides : collection of int, optional
        Maps to return, all by default.

    Returns
    -------
    torch.export.ExportedProgram
        Its ``module()`` maps a tile to a tuple of maps. `torch.export.save` writes it.

    Raises
    ------
    InputError
        For another kind of encoder, another precision or an unusable size.
    """
    network, size, chosen = _require_exportable(encoder, tile, strides)
    function = TileFunction(network, chosen)
    # Plans of attention windows are computed here once; the trace takes them as constants.
    example = torch.zeros(1, 1, *size)
    with torch.enable_grad(), _quiet():
        function(example)
        return torch.export.export(function, (example,), strict=False)


@checked
def export_onnx(
    encoder: Encoder,
    path: str | Path,
    *,
    tile: int | Sequence[int] | None = None,
    strides: Collection[int] | None = None,
) -> float:
    """Write an encoder as ONNX, for tiles of one size, and compare it with the encoder by ONNX Runtime.

    The input is called ``tile``, the outputs ``stride_4`` and so on. The metadata of the file holds what a user needs
    to prepare tiles: spacing, window of HU and axis codes.

    Parameters
    ----------
    encoder, tile, strides : optional
        As of `export_program`.
    path : str or Path
        Ends in ``.onnx``.

    Returns
    -------
    float
        Largest difference from the encoder's maps, relative to the largest value of each map.

    Raises
    ------
    InputError
    MissingExtraError
        Without the extra ``onnx``.
    WeightsError
        If the maps differ by more than `TOLERANCE`; no file is written then.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise InputError("not an ONNX name", where=path, expected="a name that ends in .onnx")
    require_onnx()
    network, size, chosen = _require_exportable(encoder, tile, strides)
    program = export_program(network, tile=size, strides=chosen)
    names = [f"stride_{stride}" for stride in chosen]
    with _quiet():
        made = torch.onnx.export(program, (), input_names=[INPUT], output_names=names, dynamo=True, verbose=False)
    assert made is not None
    model = made.model_proto
    about = {"name": network.name, "fingerprint": network.fingerprint, "strides": list(chosen), "tile": list(size)}
    about |= asdict(network.preprocessing)
    onnx = import_extra("onnx", "onnx", need=_NEED)
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in about.items()})
    with atomic_path(path, ".part.onnx") as temporary:
        onnx.save(model, temporary)
        difference = _difference(temporary, network, size, chosen)
        if difference > TOLERANCE:
            raise WeightsError(
                "the exported maps differ from those of the encoder",
                where=path,
                found=f"a difference of {difference:.2g} of the largest value",
                expected=f"at most {TOLERANCE:g}",
            )
    return difference


def require_onnx() -> None:
    """Raise unless the packages of the extra ``onnx`` are installed."""
    require_extra("onnx", "onnx", "onnxscript", "onnxruntime", need=_NEED)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says about packages that are absent and about its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _require_exportable(
    encoder: Encoder, tile: int | Sequence[int] | None, strides: Collection[int] | None
) -> tuple[SwinEncoder, tuple[int, ...], tuple[int, ...]]:
    if not isinstance(encoder, SwinEncoder):
        raise InputError("cannot be exported", where=encoder.name, expected="an encoder of the SwinUNETR family")
    require_exact(encoder)
    wanted = encoder.tiling.tile if tile is None else tile
    size = (wanted,) * 3 if isinstance(wanted, int) else tuple(wanted)
    if len(size) != 3 or any(n % 32 or not 32 <= n <= _LARGEST for n in size):
        raise InputError("unusable tile", found=wanted, expected=f"edge lengths of 32, 64, 96 ... {_LARGEST} voxels")
    return encoder, size, check_strides(encoder, encoder.channels if strides is None else strides)


def _difference(path: Path, encoder: SwinEncoder, size: tuple[int, ...], strides: tuple[int, ...]) -> float:
    """Largest difference between ONNX Runtime and the encoder, over noise and a tile that is air in one half."""
    runtime = import_extra("onnx", "onnxruntime", need=_NEED)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    largest = 0.0
    noise = generator.random((1, 1, *size), np.float32)
    half_air = noise.copy()
    half_air[:, :, : size[0] // 2] = 0
    for tile in (noise, half_air):
        expected = encoder(torch.from_numpy(tile), strides)
        for stride, found in zip(strides, session.run(None, {INPUT: tile}), strict=True):
            wanted = expected[stride].cpu().numpy()
            largest = max(largest, float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), 1e-6)))
    return largest
