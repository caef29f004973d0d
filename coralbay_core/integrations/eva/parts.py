"""eva's decoder and a linear head, sized for a model, so that a YAML file only needs the name of the model."""

from eva.vision.models.networks.decoders.segmentation import SwinUNETRDecoderWithProjection
from torch import nn

from .encoder import describe, family_width, pooled_width


class ModelDecoder(SwinUNETRDecoderWithProjection):
    """eva's SwinUNETR decoder for the six maps of a model.

    Parameters
    ----------
    model : str
        Model, as of `CoralBayEncoder`.
    out_channels : int
        Classes, background included.
    project_dims : list of int, optional
        As of eva's class: numbers of channels to which the six maps are projected first.
    """

    def __init__(self, model: str, out_channels: int, project_dims: list[int] | None = None) -> None:
        width = family_width(model, describe(model)[0])
        super().__init__(out_channels=out_channels, feature_size=width, project_dims=project_dims)


class ModelHead(nn.Linear):
    """Linear layer on the pooled vector of a model.

    Parameters
    ----------
    model : str
        Model, as of `CoralBayEncoder`.
    out_features : int
        Classes.
    """

    def __init__(self, model: str, out_features: int) -> None:
        super().__init__(pooled_width(describe(model)[0]), out_features)
