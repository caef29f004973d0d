"""Infer the architecture of an encoder from the shapes of its tensors."""

import re
from collections.abc import Mapping

from torch import Tensor

from ...errors import WeightsError
from ..swin3d import Swin3DConfig
from ..swin3d.config import Merging

_STAGES = (1, 2, 3, 4)


def infer_config(state: Mapping[str, Tensor], merging: Merging = "monai>=1.5", where: object = None) -> Swin3DConfig:
    """Infer the configuration that fits a state dict under the backbone's names.

    Parameters
    ----------
    state : mapping of str to Tensor
    merging : str
        Passed through: shapes do not show it.
    where : object, optional
        The file, for error messages.
    """
    embedding = _shape(state, "swinViT.patch_embed.proj.weight", 5, where)
    if len(set(embedding[2:])) != 1:
        raise WeightsError("patches are not cubes", where=where, found=embedding[2:], expected="equal sides")
    depths = {i: _depth(state, i) for i in _STAGES}
    # Without any block this requires one of the first stage, as it should.
    attending = [i for i in _STAGES if depths[i]] or [1]
    tables = {i: _shape(state, f"{_block(i)}.attn.relative_position_bias_table", 2, where) for i in attending}
    hidden = _shape(state, f"{_block(attending[0])}.mlp.linear1.weight", 2, where)
    return Swin3DConfig(
        embed_dim=embedding[0],
        depths=tuple(depths.values()),
        heads=_heads({i: heads for i, (_, heads) in tables.items()}),
        window=_window({entries for entries, _ in tables.values()}, where),
        in_channels=embedding[1],
        patch=embedding[2],
        mlp_ratio=hidden[0] / hidden[1],
        conv_blocks=any(re.match(r"swinViT\.layers[1-4]c\.", key) for key in state),
        residual_blocks=any(key.startswith("encoder") for key in state),
        merging=merging,
    )


def _block(stage: int) -> str:
    return f"swinViT.layers{stage}.0.blocks.0"


def _shape(state: Mapping[str, Tensor], key: str, dimensions: int, where: object) -> tuple[int, ...]:
    if key not in state:
        raise WeightsError("weights lack parts of the encoder", where=where, expected=key)
    shape = tuple(state[key].shape)
    if len(shape) != dimensions:
        raise WeightsError(
            "not a 3-D encoder", where=where, found=f"{key} of shape {shape}", expected=f"{dimensions} dimensions"
        )
    return shape


def _depth(state: Mapping[str, Tensor], stage: int) -> int:
    pattern = re.compile(rf"swinViT\.layers{stage}\.0\.blocks\.(\d+)\.")
    return max((1 + int(match[1]) for key in state if (match := pattern.match(key))), default=0)


def _heads(seen: Mapping[int, int]) -> tuple[int, ...]:
    """Heads of all stages. A stage without blocks has none: its number follows from the stages around it."""
    first = min(seen)
    heads: list[int] = []
    for stage in _STAGES:
        heads.append(seen.get(stage) or (2 * heads[-1] if heads else max(1, seen[first] >> (first - stage))))
    return tuple(heads)


def _window(entries: set[int], where: object) -> int:
    """Side of the cubic window whose bias table has ``(2 * side - 1) ** 3`` entries, one for all stages."""
    spans = {round(n ** (1 / 3)) for n in entries}
    span = min(spans)
    if entries != {span**3} or span % 2 == 0:
        raise WeightsError(
            "windows are not cubes of one size",
            where=where,
            found=f"bias tables of {sorted(entries)} entries",
            expected="(2 * side - 1)^3 of them in all stages",
        )
    return (span + 1) // 2
