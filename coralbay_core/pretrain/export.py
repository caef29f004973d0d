"""From a training run to weights that ship: the teacher's backbone in float16, and its checksum in the card."""

import hashlib
import re
from pathlib import Path

import torch

from ..card import parse_card
from ..swin3d import Swin3D
from ..weights import save_weights


def export(teacher: Path, card: Path) -> Path:
    """Write the weights beside a card (TOML) and their sha256 into it.

    Parameters
    ----------
    teacher : Path
        State dict of the backbone, ``teacher.pt`` of a run.
    card : Path
        Says the architecture and the name of the weights' file.
    """
    text = card.read_text("utf-8")
    parsed = parse_card(text, str(card))
    backbone = Swin3D(parsed.architecture)
    backbone.load_state_dict(torch.load(teacher, weights_only=True))
    weights = save_weights(card.parent / parsed.file, backbone, re.sub(r"(?m)^sha256 = .*\n", 'sha256 = ""\n', text))
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card.write_text(re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{digest}"', text), "utf-8")
    return weights
