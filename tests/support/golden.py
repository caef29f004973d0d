"""Features, masks and maps of the phantom that must not drift with other versions of the dependencies.

``python -m tests.support.golden`` writes them again, after a change that was meant to move them. No weights are read:
the network has weights of a recipe of whole numbers, since random streams may change with a version of torch.
"""

import numpy as np
import torch

from coralbay_core.features import FeatureMaps
from coralbay_core.models.encoder import Preprocessing, Tiling
from coralbay_core.models.handcrafted import handcrafted_encoder
from coralbay_core.models.swin3d import Swin3D, Swin3DConfig
from coralbay_core.models.swin_encoder import SwinEncoder
from coralbay_core.phantom import make_phantom
from coralbay_core.probe import fit_probe
from coralbay_core.similarity import heat_map
from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.body_mask import body_mask
from tests.support import ROOT
from tests.support.scans import cut

PATH = ROOT / "tests" / "data" / "golden.npz"
CENTER, HALF_MM = "liver_right_lobe", 50.0
ORGANS = ("liver", "subcutaneous_fat", "kidney_right", "skeletal_muscle", "rib_right")
CELLS = 200
_MULTIPLIER, _MODULUS = 2654435761, 2**32  # Knuth's multiplicative hash


def recipe_weights(backbone: Swin3D) -> None:
    """Set weights from their numbers alone: uniform in +-1/sqrt(fan in), and scales around 1."""
    first = 1
    with torch.no_grad():
        for name, tensor in sorted(backbone.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            numbers = (np.arange(first, first + tensor.numel(), dtype=np.uint64) * _MULTIPLIER) % _MODULUS
            first += tensor.numel()
            values = (numbers.astype(np.float64) / _MODULUS * 2 - 1).reshape(tuple(tensor.shape))
            scale = 1 / np.sqrt(max(1, tensor[0].numel() if tensor.ndim > 1 else 1) / 3) if tensor.ndim > 1 else 0.1
            center = 1.0 if name.endswith("weight") and tensor.ndim == 1 else 0.0
            tensor.copy_(torch.from_numpy(values * scale + center))


def tiny_encoder() -> SwinEncoder:
    """Make a network of the architecture of the configuration `tiny`, with weights by recipe."""
    backbone = Swin3D(Swin3DConfig(embed_dim=12, window=4))
    recipe_weights(backbone)
    return SwinEncoder(backbone, "recipe", Preprocessing(), Tiling(96, 64), "cpu", torch.float32)


def sampled(features: FeatureMaps) -> dict[str, np.ndarray]:
    """Feature vectors of some cells spread over the body of each stage, (cells, channels) float16."""
    found = {}
    for stride in features.strides:
        cells = np.flatnonzero(features.body_at(stride))
        chosen = cells[:: max(1, len(cells) // CELLS)]
        data = np.asarray(features.stages[stride].data[:])
        found[str(stride)] = data.reshape(len(data), -1)[:, chosen].T.astype(np.float16)
    return found


def compute() -> dict[str, np.ndarray]:
    """Compute all that is compared."""
    from coralbay_core.extraction.pipeline import features_for

    phantom = make_phantom(0, 4.0, noise_hu=0.0)
    volume, labels = (cut(whole, phantom.landmarks[CENTER], HALF_MM) for whole in (phantom.volume, phantom.labels))
    mask = body_mask(phantom.volume.data, phantom.volume.grid.spacing_mm)
    found = {"hu": volume.data, "body": np.packbits(mask), "body_shape": np.array(mask.shape)}
    handcrafted = features_for(volume, handcrafted_encoder("hu-context", "cpu"), strides=(4, 8, 16), store=False)
    network = features_for(volume, tiny_encoder(), strides=(4, 8, 16), store=False)
    for name, features in (("hu-context", handcrafted), ("network", network)):
        found |= {f"{name} {stride}": rows for stride, rows in sampled(features).items()}
    found["heat"] = heat_map(handcrafted, phantom.landmarks[CENTER]).data.astype(np.float16)
    painted = np.zeros(labels.shape, np.uint8)
    for value, organ in enumerate(ORGANS, 1):
        number = next(number for number, known in labels.names.items() if known == organ)
        painted[::3, ::3, ::3] = np.where(labels.data == number, value, painted)[::3, ::3, ::3]
    strokes = LabelVolume(painted, labels.grid)
    grid = handcrafted.finest.grid
    found["labels"] = fit_probe(handcrafted, strokes).segment(handcrafted, grid).astype(np.uint8)
    return found


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, **compute())
    print(f"{PATH}: {PATH.stat().st_size} bytes")
