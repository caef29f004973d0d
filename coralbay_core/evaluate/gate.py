"""Quick regression test of a model: a few metrics on two slabs of the phantom.

``make evaluate-reference`` (or ``python -m coralbay_core.evaluate.gate tests/phantom_reference.json``) writes what the
shipped weights reach, with intervals; a test compares with that. Run it whenever weights are replaced on purpose.
"""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..models.loading import load_encoder
from ..models.names import DEFAULT_MODEL
from ..phantom import make_phantom
from ..spatial import Grid, Volume, geometry
from ..util.atomic_file import write_atomically
from ..util.json_values import MILLIONTHS, plain
from .cases import PHANTOM_SPACING_MM, PHANTOM_STRUCTURES, Case, make_case
from .methods import encoder_method
from .run import PHANTOM_SEEDS, measure
from .summary import Estimate, measures, summarize

KEYS = ("retrieval_ap", "across_ap", "landmark_mm", "regions_across_right")
TASKS = ("retrieval", "across", "regions")
SLAB_MM = 190.0
MIDDLE = "liver_dome"


def slab(seed: int) -> Case:
    """Cut a slab of the height of a tile from a phantom: heart to kidneys."""
    phantom = make_phantom(seed, PHANTOM_SPACING_MM)
    grid = phantom.volume.grid
    middle = grid.to_index(phantom.landmarks[MIDDLE])[0]
    reach = SLAB_MM / 2 / grid.spacing_mm[0]
    part = slice(max(0, int(middle - reach)), min(grid.shape[0], int(middle + reach)))
    cut = Grid((part.stop - part.start, *grid.shape[1:]), grid.affine @ geometry.translate((part.start, 0, 0)))
    landmarks = {name: point for name, point in phantom.landmarks.items() if cut.contains(point)}
    names = {value: name for value, name in phantom.labels.names.items() if name in PHANTOM_STRUCTURES}
    volume = Volume(np.ascontiguousarray(phantom.volume.data[part]), cut, phantom.volume.name)
    return make_case(volume.name, volume, phantom.labels.data[part], names, domain="phantom", landmarks=landmarks)


def measure_gate(model: str = DEFAULT_MODEL) -> dict[str, Estimate]:
    """Estimates of `KEYS` for a model."""
    method = encoder_method(load_encoder(model, device="cpu"))
    evaluation = measure([method], [slab(seed) for seed in PHANTOM_SEEDS], tasks=TASKS)
    found = summarize(evaluation.records)["phantom"][method.name]
    return {key: found[key] for key in KEYS}


def fallen(now: dict[str, Estimate], reference: dict[str, Estimate]) -> list[str]:
    """List metrics that are worse than the interval of the reference, one line each."""
    lower_is_better = {measure.key for measure in measures() if measure.unit}
    lines = []
    for key, then in reference.items():
        value = now[key].value
        worse = value > then.high if key in lower_is_better else value < then.low
        if worse:
            lines.append(f"{key}: {value:.3f}, was {then.value:.3f} ({then.low:.3f}..{then.high:.3f})")
    return lines


def read_reference(path: Path) -> dict[str, Estimate]:
    """Read the reference written by `main`."""
    content = json.loads(path.read_text("utf-8"))
    return {key: Estimate(**values) for key, values in content["phantom"].items()}


def main(arguments: list[str]) -> None:
    """Measure the shipped weights and write the reference."""
    (path,) = arguments
    encoder = load_encoder(DEFAULT_MODEL, device="cpu")
    content: dict[str, Any] = {
        "written_by": f"python -m coralbay_core.evaluate.gate {Path(path).name}",
        "model": DEFAULT_MODEL,
        "fingerprint": encoder.fingerprint,
        "phantom": {key: asdict(_rounded(made)) for key, made in measure_gate().items()},
    }
    write_atomically(Path(path), json.dumps(plain(content, MILLIONTHS), indent=1) + "\n")
    for key, values in content["phantom"].items():
        print(f"{key:<24} {values['value']:.3f} ({values['low']:.3f}..{values['high']:.3f})")


def _rounded(estimate: Estimate) -> Estimate:
    return replace(estimate, **{key: round(getattr(estimate, key), 4) for key in ("value", "low", "high")})


if __name__ == "__main__":
    main(sys.argv[1:])
