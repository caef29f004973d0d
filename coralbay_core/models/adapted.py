"""Models of other families whose published weights are downloaded from the Hugging Face hub."""

from dataclasses import dataclass

from .cards import ADAPTED
from .encoder import Preprocessing
from .model_card import Source


@dataclass(frozen=True)
class AdaptedModel:
    """A published SegResNet encoder of MONAI.

    Parameters
    ----------
    name : str
    license : str
    file : str
        In the repository of the source.
    source : Source
    filters : int
        Channels of the first stage.
    norm : str
        ``batch`` or ``instance``.
    preprocessing : Preprocessing
        As published; see `ADAPTED_MODELS` for the sources.
    noncommercial : bool
        Whether commercial use is excluded.
    sha256, md5 : str
        Of the file; empty where the authors publish none.
    """

    name: str
    license: str
    file: str
    source: Source
    filters: int
    norm: str
    preprocessing: Preprocessing
    noncommercial: bool = False
    sha256: str = ""
    md5: str = ""

    @property
    def summary(self) -> str:
        """Line about the model."""
        return ADAPTED[self.name]

    @property
    def notice(self) -> str:
        """License notice to show to users; empty for unrestricted weights."""
        return f"{self.name}: not for commercial use (license: {self.license})" if self.noncommercial else ""

    @property
    def unknown(self) -> tuple[str, ...]:
        """Statements that could not be found out: none."""
        return ()


# CT-FM: axes and HU as on the page of its weights; 1 mm as in extract_feat_LP.py of github.com/project-lighter/CT-FM.
# VISTA3D: models/vista3d/configs/inference.json of github.com/Project-MONAI/model-zoo, and `vista3d132` of MONAI.
ADAPTED_MODELS = {
    model.name: model
    for model in (
        AdaptedModel(
            "ct-fm",
            "see its page",
            "model.safetensors",
            Source(
                "https://huggingface.co/project-lighter/ct_fm_feature_extractor",
                "project-lighter/ct_fm_feature_extractor",
            ),
            32,
            "batch",
            Preprocessing(1.0, (-1024.0, 2048.0), ("S", "P", "L")),
        ),
        AdaptedModel(
            "vista3d",
            "NVIDIA License, research or evaluation only (LICENSE.weights of the bundle)",
            "models/model.pt",
            Source("https://huggingface.co/MONAI/vista3d", "MONAI/vista3d", "0.5.11"),
            48,
            "instance",
            Preprocessing(1.5, (-963.8247715525971, 1053.678477684517), ("R", "A", "S")),
            noncommercial=True,
        ),
    )
}
