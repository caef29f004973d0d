"""Evaluation of the teacher during training, by the tasks of ``coralbay evaluate``, with a picture of its features."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..models.encoder import Preprocessing, Tiling
from ..models.swin3d import Swin3D
from ..models.swin_encoder import SwinEncoder
from ..spatial.preprocessing import to_unit
from ..spatial.resampling import resample
from ..util.atomic_file import atomic_path, write_atomically
from .config import PretrainConfig

if TYPE_CHECKING:
    from ..evaluate.cases import Case
    from ..evaluate.tasks import Setting
    from ..spatial import Volume

_PICTURE_WINDOW_HU = (-200.0, 300.0)


def encoder_at(config: PretrainConfig, state: Mapping[str, Tensor], step: int, device: str) -> SwinEncoder:
    """Make an encoder from a run's weights, named after the step.

    Parameters
    ----------
    config : PretrainConfig
    state : mapping of str to Tensor
        State of the backbone, which is copied.
    step : int
    device : str
    """
    backbone = Swin3D(config.model)
    backbone.load_state_dict(state)
    preprocessing = Preprocessing(config.spacing_mm, config.views.window_hu)
    tiling = Tiling(config.card.tile, config.card.step)
    return SwinEncoder(backbone, f"{config.name} at step {step}", preprocessing, tiling, device)


class OnlineEvaluation:
    """Evaluation of a backbone on labeled CTs.

    Parameters
    ----------
    config : PretrainConfig
    folder : Path
        Folder of the run, for ``evaluation/step-N.json`` and ``.png``.
    """

    def __init__(self, config: PretrainConfig, folder: Path):
        self.config, self.folder = config, folder / "evaluation"

    @cached_property
    def _cases(self) -> "list[Case]":
        from ..evaluate import open_cases

        settings = self.config.evaluation
        return open_cases(
            [settings.data] if settings.data else [], phantom=settings.phantom, limit=settings.limit or None
        )

    def __call__(self, backbone: Swin3D, step: int) -> dict[str, float]:
        """Compute metrics by key, of real scans if there are any, else of the phantom."""
        from ..evaluate import measure, summarize
        from ..evaluate.methods import encoder_method
        from ..evaluate.records import plain

        encoder = self.encoder(backbone, step)
        method = encoder_method(encoder)
        evaluation = measure([method], self._cases, tasks=self.config.evaluation.tasks, seed=self.config.seed)
        domains = {domain: methods[method.name] for domain, methods in summarize(evaluation.records).items()}
        self._draw(evaluation.settings[method.name], encoder, step)
        content = {domain: {key: asdict(made) for key, made in found.items()} for domain, found in domains.items()}
        write_atomically(self.folder / f"step-{step:07d}.json", _json(plain({"step": step, "estimates": content})))
        found = domains["real" if "real" in domains else "phantom"]
        metrics = {key: float(made.value) for key, made in found.items() if np.isfinite(made.value)}
        if self.config.evaluation.metric not in metrics:
            raise InputError(
                "evaluation lacks its metric", where="evaluation.metric", found=self.config.evaluation.metric,
                expected=f"one of {', '.join(metrics)}",
            )  # fmt: skip
        return metrics

    def encoder(self, backbone: Swin3D, step: int) -> SwinEncoder:
        """Make an encoder, as for users, from a copy of the backbone."""
        return encoder_at(self.config, backbone.state_dict(), step, self.config.device)

    def score(self, metrics: dict[str, float]) -> float:
        """Return the value that selects the best checkpoint; higher is better."""
        from ..evaluate.summary import measures

        lower_is_better = {measure.key for measure in measures() if measure.unit}
        metric = self.config.evaluation.metric
        return -metrics[metric] if metric in lower_is_better else metrics[metric]

    def _draw(self, setting: "Setting", encoder: SwinEncoder, step: int) -> None:
        """Draw the first principal components of a fixed CT."""
        from ..extraction.pipeline import features_for
        from ..io import load_volume
        from ..projection import pca_rgb

        if self.config.evaluation.picture:
            volume = load_volume(self.config.evaluation.picture)
            features = features_for(volume, encoder, store=False)
        else:
            case = setting.cases[0]
            volume, features = case.volume, setting.features(case)
        colors = pca_rgb(features).resample_to(features.grid)
        save_picture(
            self.folder / f"step-{step:07d}.png",
            _on_grid(volume, features.grid),
            colors,
            features.body,
            setting.method.name,
        )


def _on_grid(volume: "Volume", grid: Any) -> NDArray:
    return resample(volume.data, volume.grid, grid)


def _json(content: Any) -> str:
    import json

    return json.dumps(content, indent=1) + "\n"


def save_picture(path: Path, hu: NDArray, colors: NDArray[np.uint8], body: NDArray[np.bool_], title: str) -> None:
    """Three planes through the middle of the body, CT above colors, in radiological orientation.

    Parameters
    ----------
    path : Path
    hu : (z, y, x) array
    colors : (z, y, x, 3) uint8 array
    body : (z, y, x) bool array
    title : str
    """
    from ..evaluate.pictures import plane
    from ..evaluate.plots import new_figure

    middle = tuple(
        int(np.median(axis)) if len(axis) else n // 2 for axis, n in zip(body.nonzero(), body.shape, strict=True)
    )
    figure = new_figure(9.0, 6.4)
    axes = figure.subplots(2, 3)
    for column, name in enumerate(("axial", "coronal", "sagittal")):
        axes[0, column].imshow(plane(to_unit(hu, _PICTURE_WINDOW_HU), middle, name), cmap="gray", vmin=0, vmax=1)
        axes[1, column].imshow(plane(colors, middle, name))
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.suptitle(f"{title}: first three principal components", fontsize=10)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
