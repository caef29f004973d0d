"""Export of a run: the teacher's backbone in float16, with a complete model card in the file."""

import hashlib
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import WeightsError
from ..models.checkpoints import read_tensors
from ..models.encoder import Preprocessing, Tiling
from ..models.loading import save_weights
from ..models.model_card import ModelCard, parse_card
from ..models.swin3d import Swin3D
from ..util.atomic_file import write_atomically
from .config import PretrainConfig


def make_card(config: PretrainConfig, training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> ModelCard:
    """Make the model card of a run's weights.

    Parameters
    ----------
    config : PretrainConfig
    training, evaluation : mapping
        Description of the run and results of its last evaluation; see `describe_training`.
    """
    card = config.card
    return ModelCard(
        name=config.name,
        summary=card.summary,
        license=card.license,
        file=f"{config.name}.safetensors",
        architecture=config.model,
        preprocessing=Preprocessing(config.spacing_mm, config.views.window_hu),
        tiling=Tiling(card.tile, card.step),
        intended_use=card.intended_use,
        citation=card.citation,
        training=dict(training),
        evaluation=dict(evaluation),
    )


def describe_training(
    config: PretrainConfig, volumes: int, step: int, seconds: float, processes: int, device: torch.device, command: str
) -> dict[str, Any]:
    """Describe a run for its model card."""
    terms = ", ".join(f"{name} x {term.weight:g}" for name, term in config.objective.items() if term.weight)
    views = config.views
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    crops = (
        f"{views.globals} global of {views.global_side} voxels and {views.locals} local of {views.local_side} "
        f"per location, {config.batch_size} locations per step, {config.spacing_mm:g} mm"
    )
    return {
        "data": config.card.data,
        "volumes": volumes,
        "method": f"self-supervised, no labels; terms of the loss (docs/explanation/pretraining.md): {terms}",
        "crops": crops + "; sizes, head and schedule are CoralBay's own, not the paper's, which are not public",
        "steps": step,
        "hours": round(seconds / 3600, 2),
        "device": f"{processes} x {machine}, {config.precision}",
        "seed": config.seed,
        "command": command,
        "software": f"coralbay {__version__}, torch {torch.__version__}",
    }


def processor() -> str:
    """Name of the CPU."""
    try:
        names = re.findall(r"(?m)^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def export(backbone: Swin3D, card: ModelCard, folder: Path) -> Path:
    """Write weights with their card, to be loaded by ``load_encoder(path)``."""
    path = folder / card.file
    # In memory they may be compiled or recompute activations; what is written is the plain network.
    plain = Swin3D(card.architecture)
    plain.load_state_dict({key: tensor.detach().cpu().float() for key, tensor in backbone.state_dict().items()})
    return save_weights(path, plain, card.to_toml())


def ship(weights: Path, folder: Path) -> tuple[Path, Path]:
    """Copy exported weights and their card, with the checksum, to a folder of cards such as the package's.

    Returns
    -------
    weights, card : Path
    """
    _, metadata = read_tensors(weights)
    if "card" not in metadata:
        raise WeightsError(
            "weights without a model card", where=weights, hint="use weights written by `coralbay pretrain`"
        )
    text = metadata["card"]
    card = parse_card(text, str(weights))
    content = weights.read_bytes()
    placed, written = folder / card.file, folder / f"{card.name}.toml"
    write_atomically(placed, content)
    digest = f'sha256 = "{hashlib.sha256(content).hexdigest()}"'
    write_atomically(written, re.sub(r"(?m)^file = .*$", lambda found: f"{found[0]}\n{digest}", text, count=1))
    parse_card(written.read_text("utf-8"), str(written))
    return placed, written
