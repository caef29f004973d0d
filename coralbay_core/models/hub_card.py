"""Model card in the form of the Hugging Face hub: Markdown with a YAML head."""

from typing import Any

from .model_card import ModelCard

# Names of the hub for licenses; others are called "other" there, with a name of their own.
_LICENSES = {"apache-2.0": "apache-2.0", "mit": "mit", "cc-by-4.0": "cc-by-4.0", "cc-by-nc-4.0": "cc-by-nc-4.0"}
_TAGS = ["coralbay", "ct", "medical-imaging", "3d", "swin"]
_SELF_SUPERVISED = ("self-supervised", "self-distillation", "contrastive", "without labels")


def readme(card: ModelCard) -> str:
    """Write the page of a model: what it is, how it is used, its preprocessing, training and measurements."""
    from huggingface_hub import ModelCardData

    license_name = _LICENSES.get(card.license.lower())
    terms: dict[str, Any] = (
        {"license": license_name} if license_name else {"license": "other", "license_name": "see-below"}
    )
    head = ModelCardData(library_name="coralbay", pipeline_tag="image-feature-extraction", tags=_tags(card), **terms)
    parts = [f"---\n{head.to_yaml()}\n---", f"# {card.name}", card.summary, _usage(card)]
    if card.intended_use:
        parts.append(f"## Intended use\n\n{card.intended_use}")
    parts.append(f"## License\n\n{card.license}")
    for title in ("architecture", "preprocessing", "tiling", "training", "evaluation", "provenance"):
        rows = card.to_dict()[title]
        if rows:
            parts.append(f"## {title.capitalize()}\n\n{_table(rows)}")
    if card.citation:
        parts.append(f"## Citation\n\n{card.citation}")
    return "\n\n".join(parts) + "\n"


def _tags(card: ModelCard) -> list[str]:
    """Tags of the hub; weights count as self-supervised only if their card says so."""
    stated = f"{card.summary} {' '.join(map(str, card.training.values()))}".lower()
    supervised = "supervised" in stated.replace("self-supervised", "")
    is_own = any(word in stated for word in _SELF_SUPERVISED) and not supervised
    return [*_TAGS, "self-supervised-learning"] if is_own else _TAGS


def _usage(card: ModelCard) -> str:
    low, high = card.preprocessing.window_hu
    return f"""## Use

```python
from coralbay_core import SwinEncoder, features_for

encoder = SwinEncoder.from_pretrained("OWNER/{card.name}")  # or the path of this folder
features = features_for("ct.nii.gz", encoder)
```

The input of the encoder is a CT at {card.preprocessing.spacing_mm:g} mm, with {low:g} to {high:g} HU mapped to 0 to 1;
`features_for` prepares it."""


def _table(rows: dict[str, Any]) -> str:
    lines = ["| | |", "|---|---|"]
    return "\n".join(lines + [f"| {key} | {_text(value)} |" for key, value in rows.items()])


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text.replace("|", "\\|")
