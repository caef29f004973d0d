"""MONAI's SwinUNETR with an encoder of CoralBay in it."""

from typing import Any

import torch
from monai.networks.nets.swin_unetr import PatchMerging, SwinUNETR
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd, ScaleIntensityRanged, Spacingd
from torch import Tensor

from ...errors import InputError
from ...models.encoder import Encoder
from ...models.pretrained import require_exact
from ...models.swin3d import Swin3DConfig
from ...models.swin_encoder import SwinEncoder
from ...util.arguments import checked
from ...util.extras import require_extra


class _OldPatchMerging(PatchMerging):
    """Patch merging of MONAI up to 1.4, which newer versions cannot give: two neighbors twice, two not at all."""

    def forward(self, x: Tensor) -> Tensor:
        order = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 0), (0, 0, 1), (1, 1, 1)]
        x = torch.nn.functional.pad(x, (0, 0, 0, x.shape[3] % 2, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        return self.reduction(self.norm(torch.cat([x[:, i::2, j::2, k::2] for i, j, k in order], -1)))


_MERGING: dict[str, Any] = {"monai<=1.4": _OldPatchMerging, "monai>=1.5": "merging", "v2": "mergingv2"}


@checked
def swin_unetr(encoder: Encoder, out_channels: int, *, freeze: bool = True) -> Any:
    """Make a SwinUNETR of MONAI whose encoder has the weights of an encoder of CoralBay.

    The decoder, and for encoders without residual blocks the five blocks between encoder and decoder, have MONAI's
    random weights and are trainable. Input: tiles as `preparation` makes them.

    Parameters
    ----------
    encoder : SwinEncoder
        Loaded with ``precision=torch.float32``.
    out_channels : int
        Number of classes.
    freeze : bool
        True: the weights are shared with `encoder` and frozen. False: they are copied and trainable; shared ones would
        change under the features that are cached for `encoder`.

    Returns
    -------
    monai.networks.nets.SwinUNETR

    Raises
    ------
    InputError
        For an encoder whose architecture MONAI's network cannot have.
    """
    network, config = _require_fitting(encoder)
    require_extra("monai", "einops", need="SwinUNETR needs")
    made = SwinUNETR(
        in_channels=config.in_channels,
        out_channels=out_channels,
        patch_size=config.patch,
        depths=config.depths,
        num_heads=config.heads,
        window_size=config.window,
        mlp_ratio=config.mlp_ratio,
        feature_size=config.embed_dim,
        downsample=_MERGING[config.merging],
        use_v2=config.conv_blocks,
    )
    ours = network.backbone.state_dict()
    state = {key: tensor if freeze else tensor.clone() for key, tensor in ours.items()}
    absent, unknown = made.load_state_dict(state, strict=False, assign=True)
    lacking = [key for key in absent if key.startswith("swinViT.") and not key.endswith("relative_position_index")]
    if unknown or lacking:
        raise InputError(
            "weights do not fit MONAI's SwinUNETR", where=network.name, found=", ".join([*unknown, *lacking][:6])
        )
    parameters = dict(made.named_parameters())
    for key in ours:
        parameters[key].requires_grad_(not freeze)
    return made


@checked
def preparation(encoder: Encoder, keys: str | list[str], *, labels: str | list[str] = ()) -> Compose:  # type: ignore[assignment]
    """Make the transforms that turn files of CTs into the input that an encoder was trained on.

    Parameters
    ----------
    encoder : Encoder
    keys : str or list of str
        Keys of CTs.
    labels : str or list of str
        Keys of label maps of the same CTs, resampled by nearest neighbor.

    Returns
    -------
    monai.transforms.Compose
        Loads, orients, resamples, and scales HU to 0 to 1.
    """
    images, maps = _listed(keys), _listed(labels)
    wanted = encoder.preprocessing
    low, high = wanted.window_hu
    modes = ["bilinear"] * len(images) + ["nearest"] * len(maps)
    return Compose(
        [
            LoadImaged([*images, *maps]),
            EnsureChannelFirstd([*images, *maps]),
            Orientationd([*images, *maps], axcodes="".join(wanted.axis_codes), labels=None),
            Spacingd([*images, *maps], pixdim=(wanted.spacing_mm,) * 3, mode=modes),
            ScaleIntensityRanged(images, low, high, 0.0, 1.0, clip=True),
        ]
    )


def _listed(keys: Any) -> list[str]:
    return [keys] if isinstance(keys, str) else list(keys)


def _require_fitting(encoder: Encoder) -> tuple[SwinEncoder, Swin3DConfig]:
    if not isinstance(encoder, SwinEncoder):
        raise InputError(
            "not of the SwinUNETR family", where=encoder.name, hint="choose a Swin model, see `models list`"
        )
    config = encoder.backbone.config
    problem = None
    if config.embed_dim % 12:
        problem = f"embedding {config.embed_dim}, not a multiple of 12"
    elif config.patch != 2:
        problem = f"patches of {config.patch} voxels instead of 2"
    if problem:
        raise InputError("architecture does not fit MONAI's SwinUNETR", where=encoder.name, found=problem)
    require_exact(encoder)
    return encoder, config
