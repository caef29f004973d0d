"""Names of models: the default one, and the variants of a model. Imported without torch."""

DEFAULT_MODEL = "coralbay-mini"

COMPACT_SUFFIX = ":compact"
"""After the name of a model: its features in fewer numbers (`compact`)."""

WHOLE_SUFFIX = ":whole"
"""After the name of a model: its features in one pass instead of windows (`swin_encoder.as_single_pass`)."""

VARIANTS = (COMPACT_SUFFIX, WHOLE_SUFFIX)


def split_variant(name: str) -> tuple[str, str]:
    """Split a name into that of the model and its variant: one of `VARIANTS`, or an empty string."""
    variant = next((suffix for suffix in VARIANTS if name.endswith(suffix)), "")
    return name.removesuffix(variant), variant
