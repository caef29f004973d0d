"""Dictionary transforms of MONAI: features, heat maps and segmentations of the CTs in a pipeline.

Each takes images in Hounsfield units with any spacing and axis order, as `LoadImaged` and `EnsureChannelFirstd` give
them: CoralBay resamples for its encoder itself. The images stay as they are; results are added under keys of their own,
as `MetaTensor` with the affine of their grid.
"""

from collections.abc import Collection, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform

from ...errors import InputError
from ...extraction.cache import FeatureStore
from ...extraction.pipeline import features_for
from ...features import FeatureMaps
from ...io import as_object, load_volume
from ...models.encoder import Encoder
from ...models.loading import load_encoder
from ...models.names import DEFAULT_MODEL
from ...probe import Probe, load_probe
from ...similarity import heat_map
from ...spatial import Volume


class _WithFeatures(MapTransform):
    """Transform that computes features of the images under its keys.

    Parameters
    ----------
    keys : str or collection of str
        Keys of images.
    model : str, path or Encoder
        As of `load_encoder`; a name is loaded once per process.
    strides : collection of int, optional
        Stages to use; by default those of `default_strides`.
    device : str
        Of a model that is given by name.
    store : FeatureStore or bool
        As of `features_for`; by default features are kept in the user's cache.
    allow_missing_keys : bool
        Whether images may be absent.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Encoder = DEFAULT_MODEL,
        *,
        strides: Collection[int] | None = None,
        device: str = "auto",
        store: FeatureStore | bool = True,
        allow_missing_keys: bool = False,
    ):
        super().__init__(keys, allow_missing_keys)
        self.model, self.strides, self.device, self.store = model, strides, device, store
        self._encoder: Encoder | None = None if isinstance(model, str | Path) else model

    @property
    def encoder(self) -> Encoder:
        """Encoder, loaded on first use."""
        if self._encoder is None:
            self._encoder = load_encoder(self.model, device=self.device)  # type: ignore[arg-type]
        return self._encoder

    def _features(self, image: Any) -> tuple[Volume, FeatureMaps]:
        volume = load_volume(image)
        return volume, features_for(volume, self.encoder, strides=self.strides, store=self.store)


class CoralBayFeaturesd(_WithFeatures):
    """Add feature maps: key ``image`` gives ``image_stride_4`` and so on, each (channels, z, y, x) on its own grid.

    Parameters are those of all transforms of this module: `keys`, `model`, `strides`, `device`, `store` and
    `allow_missing_keys`.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with feature maps."""
        found = dict(data)
        for key in self.key_iterator(found):
            _, features = self._features(found[key])
            for stride, stage in features.stages.items():
                values = torch.from_numpy(stage.data.astype(np.float32))
                affine = torch.from_numpy(stage.grid.affine.copy())
                found[f"{key}_stride_{stride}"] = MetaTensor(values, affine=affine, meta={"space": "RAS"})
        return found


class CoralBayHeatd(_WithFeatures):
    """Add heat maps of positions: key ``image`` gives ``image_heat`` on the grid of the image, higher is more similar.

    Parameters
    ----------
    keys, model
        As of `CoralBayFeaturesd`.
    at_key : str
        Key of the positions to find, (N, 3), world mm in RAS+.
    not_key : str, optional
        Key of positions not to find.
    **settings
        As of `CoralBayFeaturesd`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Encoder = DEFAULT_MODEL,
        *,
        at_key: str = "at_mm",
        not_key: str | None = None,
        **settings: Any,
    ):
        super().__init__(keys, model, **settings)
        self.at_key, self.not_key = at_key, not_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with heat maps."""
        found = dict(data)
        positive = _positions(found, self.at_key)
        negative = np.zeros((0, 3)) if self.not_key is None else _positions(found, self.not_key)
        for key in self.key_iterator(found):
            volume, features = self._features(found[key])
            heat = heat_map(features, positive, negative)
            found[f"{key}_heat"] = _on_grid(heat.resample_to(volume.grid), volume, found[key])
        return found


class CoralBaySegmentd(_WithFeatures):
    """Add segmentations by a probe: key ``image`` gives ``image_seg`` on the grid of the image.

    Parameters
    ----------
    keys
        As of `CoralBayFeaturesd`.
    probe : str, path or Probe
        Probe, or the file of one.
    model : str, path or Encoder, optional
        By default the model of the probe.
    refine : bool
        Whether borders follow edges of the CT.
    **settings
        As of `CoralBayFeaturesd`, without `strides`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        probe: str | Path | Probe,
        model: str | Path | Encoder | None = None,
        *,
        refine: bool = True,
        **settings: Any,
    ):
        self.probe = probe if isinstance(probe, Probe) else load_probe(probe)
        super().__init__(keys, model or self.probe.model, strides=self.probe.strides, **settings)
        self.refine = refine

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the dictionary with label maps."""
        found = dict(data)
        for key in self.key_iterator(found):
            volume, features = self._features(found[key])
            made = self.probe.scores(features).segment(volume.grid, guide=volume if self.refine else None)
            found[f"{key}_seg"] = _on_grid(made.labels, volume, found[key])
        return found


def _on_grid(values: np.ndarray, volume: Volume, image: Any) -> MetaTensor:
    """Map on the grid of an image, with the file name of the image, after which `SaveImaged` names its files."""
    tensor: MetaTensor = as_object(values, volume, "metatensor")
    if name := getattr(image, "meta", {}).get("filename_or_obj"):
        tensor.meta["filename_or_obj"] = name
    return tensor


def _positions(data: Mapping[Hashable, Any], key: str) -> np.ndarray:
    if key not in data:
        raise InputError("no positions in the dictionary", where=key, expected="an array (N, 3), mm in RAS+")
    values = data[key]
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, float)
    if array.ndim not in (1, 2) or array.shape[-1] != 3:
        raise InputError("not positions", where=key, found=f"shape {array.shape}", expected="(N, 3), mm in RAS+")
    return array.reshape(-1, 3)
