"""Map the names of published checkpoints to those of the backbone.

A checkpoint is searched for the patch embedding. The prefix before it is the root of the encoder, which must be made
of prefixes that are known. Below the root lie the encoder and perhaps a decoder; heads lie anywhere.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from ...errors import WeightsError

PREFIXES = (
    # wrappers of the file
    *("state_dict", "model_state_dict", "network_weights", "weights", "net", "network", "ema", "model_ema"),
    # wrappers of the module
    *("module", "_orig_mod", "model", "backbone", "encoder", "student", "teacher"),
)
TRUNK = "swinViT"
TRUNKS = (TRUNK, "swin_vit")
ANCHOR = "patch_embed.proj.weight"

_TRUNK_PART = re.compile(r"patch_embed\.|layers[1-4]c?\.")
_OURS = re.compile(r"swinViT\.(?:patch_embed|layers[1-4]c?)\.|encoder(?:1|2|3|4|10)\.")
_IGNORED = re.compile(
    r"decoder\d*|out|conv|convTrans3d"  # SwinUNETR's decoder; the reconstruction of its self-supervised training
    r"|norm|mask_token"  # a final norm that no map goes through
    r"|rotation_(?:pre|head)|contrastive_(?:pre|head)|layer[1-3]"  # the latter is VoCo's projection
    r"|precls_conv|GAP|controller|organ_embedding|text_to_vision"  # SuPreM and the Universal Model
    r"|heads?|(?:dino|ibot|mlp|cls|seg|ssl)_head|classifier|projector|projection(?:_head)?|predictor|prototypes|center"
)
_TRAINING = re.compile(
    r"optimizers?|optimizer_states?|optimizer_state_dict|(?:lr_)?schedulers?(?:_state_dict)?|(?:grad_)?scaler"
    r"|callbacks|loops|rng_states?"
)


@dataclass(frozen=True)
class Mapped:
    """Tensors of an encoder under the backbone's names.

    Attributes
    ----------
    state : dict of str to Tensor
    root : str
        Prefix of the names in the checkpoint.
    ignored : dict of str to int
        Decoders, heads and the like by name, with their numbers of tensors.
    """

    state: dict[str, Tensor]
    root: str
    ignored: dict[str, int]


def map_keys(tensors: dict[str, Tensor], part: str | None = None, where: object = None) -> Mapped:
    """Find the encoder in a checkpoint and rename its tensors.

    Parameters
    ----------
    tensors : dict of str to Tensor
        By dotted names.
    part : str, optional
        Which encoder to take where there are several (``teacher``), or an unusual prefix.
    where : object, optional
        The file, for error messages.
    """
    roots = [_root(key) for key in tensors if key == ANCHOR or key.endswith("." + ANCHOR)]
    root = _choose(roots, part, where)
    state: dict[str, Tensor] = {}
    ignored: Counter[str] = Counter()
    unexpected = []
    for key, tensor in tensors.items():
        if key.endswith("relative_position_index"):
            continue  # a buffer that the window's side determines
        if (name := _rename(key, root)) is not None:
            state[name] = tensor
        elif (label := _ignorable(key, root, roots)) is not None:
            ignored[label] += 1
        else:
            unexpected.append(key)
    if unexpected:
        raise WeightsError(
            "weights hold names that belong to no known encoder, decoder or head",
            where=where,
            found=shortened(unexpected),
            expected="swinViT.*, encoder1|2|3|4|10.*",
        )
    return Mapped(state, root, dict(ignored))


def shortened(names: Iterable[str], limit: int = 6) -> str:
    """Join names in one line."""
    listed = sorted(names)
    return ", ".join(listed[:limit]) + (f" and {len(listed) - limit} more" if len(listed) > limit else "")


def _root(key: str) -> str:
    root = key.removesuffix(ANCHOR)
    for trunk in TRUNKS:
        if root == f"{trunk}." or root.endswith(f".{trunk}."):
            return root.removesuffix(f"{trunk}.")
    return root


def _choose(roots: list[str], part: str | None, where: object) -> str:
    if not roots:
        raise WeightsError(
            "no encoder of the SwinUNETR family in the weights", where=where, expected=f"a name that ends in {ANCHOR}"
        )
    if part is not None:
        return _named(roots, part.rstrip("."), where)
    if len(roots) > 1:
        raise WeightsError(
            "several encoders in the weights",
            where=where,
            found=_listed(roots),
            hint="choose one with part=..., e.g. part='teacher'",
        )
    if unknown := [token for token in roots[0].split(".")[:-1] if token not in PREFIXES]:
        raise WeightsError(
            "unknown prefix before the encoder's names",
            where=where,
            found=shortened(unknown),
            expected=f"some of {', '.join(PREFIXES)}",
            hint=f"if it is the right one, pass part={_bare(roots[0])!r}",
        )
    return roots[0]


def _named(roots: list[str], part: str, where: object) -> str:
    chosen = [root for root in roots if _bare(root) == part] or [root for root in roots if part in root.split(".")]
    if len(chosen) != 1:
        raise WeightsError("no such part in the weights", where=where, found=part, expected=f"one of {_listed(roots)}")
    return chosen[0]


def _bare(root: str) -> str:
    return root.rstrip(".")


def _listed(roots: list[str]) -> str:
    return ", ".join(repr(_bare(root)) for root in roots)


def _rename(key: str, root: str) -> str | None:
    """Name of a tensor in the backbone; None for a tensor that the backbone does not have."""
    if not key.startswith(root):
        return None
    name = key[len(root) :]
    head, _, rest = name.partition(".")
    if head in TRUNKS:
        name = f"{TRUNK}.{rest}"
    elif _TRUNK_PART.match(name):
        name = f"{TRUNK}.{name}"
    if not _OURS.match(name):
        return None
    # The names that MONAI's MLP had when its self-supervised weights were made.
    return name.replace(".mlp.fc1.", ".mlp.linear1.").replace(".mlp.fc2.", ".mlp.linear2.")


def _ignorable(key: str, root: str, roots: list[str]) -> str | None:
    """Label under which a tensor is ignored; None for a tensor that must not be ignored."""
    for other in roots:
        if other != root and _rename(key, other) is not None:
            return _bare(other) or "encoder at the top"
    tokens = key.split(".")
    if _TRAINING.fullmatch(tokens[0]):
        return tokens[0]
    while len(tokens) > 1 and tokens[0] in (*PREFIXES, *TRUNKS):
        tokens.pop(0)
    return tokens[0] if _IGNORED.fullmatch(tokens[0]) else None
