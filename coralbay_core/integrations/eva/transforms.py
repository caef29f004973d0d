"""eva's preprocessing of CT segmentation with the spacing and the HU window of a model.

The steps and their numbers are those of eva's configurations (configs/vision/radiology/online/segmentation of release
0.4.5), except that there the window of a model must be given explicitly. CT is eva's ``Volume``, (T, C, H, W) with
axis codes S, P, L for T, H, W.
"""

from collections.abc import Sequence

from eva.vision.data import transforms
from torchvision.transforms import v2

from .encoder import describe

FOREGROUND_HU = -175.0
"""Lower end of eva's window for CT, at which it crops; the same for all models, so that they see the same part."""


class ModelSpacing(transforms.Spacing):
    """Resampling to the grid of a model.

    Parameters
    ----------
    model : str
        Model, as of `encoder.CoralBayEncoder`.
    """

    def __init__(self, model: str) -> None:
        super().__init__(pixdim=[describe(model)[1].spacing_mm] * 3)


class ModelWindow(transforms.ScaleIntensityRange):
    """Scaling of the HU window of a model to [0, 1], with clipping.

    Parameters
    ----------
    model : str
        Model, as of `encoder.CoralBayEncoder`.
    """

    def __init__(self, model: str) -> None:
        super().__init__(input_range=describe(model)[1].window_hu, output_range=(0.0, 1.0))


class WholeScan(v2.Compose):
    """Preprocessing of evaluated scans: resampled to the model grid, cropped to the body, windowed.

    Parameters
    ----------
    model : str
        Model, as of `encoder.CoralBayEncoder`.
    """

    def __init__(self, model: str) -> None:
        super().__init__(_scan(model))


class TrainingCrops(v2.Compose):
    """Preprocessing of training scans: `WholeScan`, then class-balanced random crops, flips, rotations, intensities.

    Parameters
    ----------
    model : str
        Model, as of `encoder.CoralBayEncoder`.
    spatial_size : sequence of int
        Size of a crop, voxels.
    num_samples : int
        Crops per scan.
    num_classes : int
        Background included.
    ratios : list of float, optional
        Relative frequency of crops centered on each class; equal by default.
    """

    def __init__(
        self,
        model: str,
        spatial_size: Sequence[int],
        num_samples: int,
        num_classes: int,
        ratios: list[float] | None = None,
    ) -> None:
        size = list(spatial_size)
        super().__init__(
            [
                *_scan(model),
                transforms.SpatialPad(spatial_size=size),
                transforms.RandCropByLabelClasses(
                    spatial_size=size, num_samples=num_samples, num_classes=num_classes, ratios=ratios
                ),
                transforms.RandFlip(spatial_axes=[0, 1, 2]),
                transforms.RandRotate90(spatial_axes=[1, 2]),
                transforms.RandScaleIntensity(factors=0.1, prob=0.1),
                transforms.RandShiftIntensity(offsets=0.1, prob=0.1),
            ]
        )


def _scan(model: str) -> list[v2.Transform]:
    # Cropped before the window, so that the model's window, which may begin higher, has no say in it.
    return [
        transforms.EnsureChannelFirst(channel_dim=1),
        ModelSpacing(model),
        transforms.CropForeground(threshold=FOREGROUND_HU),
        ModelWindow(model),
    ]
