"""Train a small encoder on a folder of CTs, as ``coralbay-mini`` was.

python -m coralbay_core.pretrain FOLDER -o RUN [--minutes 72] [--places 6] [--threads 1]
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from ..preprocess import model_grid, resample
from ..swin3d import Swin3DConfig
from ..volume_io import load_volume
from .loop import Trainer, TrainSettings


def load_volumes(folder: Path, smallest: int) -> list[torch.Tensor]:
    """All NIfTI files of a folder on the model grid, int16 HU; sides below `smallest` voxels get air."""
    volumes = []
    for path in sorted(folder.glob("*.nii*")):
        volume = load_volume(path)
        hu = resample(volume.data, volume.grid, model_grid(volume.grid))
        pads = [(0, max(0, smallest - n)) for n in hu.shape]
        volumes.append(torch.from_numpy(np.pad(np.rint(hu).astype(np.int16), pads, constant_values=-1000)))
    return volumes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=72)
    parser.add_argument("--places", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    settings = TrainSettings(minutes=options.minutes, places=options.places)
    volumes = load_volumes(options.folder, settings.views.global_side + 8)
    Trainer(volumes, Swin3DConfig(embed_dim=24, window=4), settings, options.output).run()


if __name__ == "__main__":
    main()
