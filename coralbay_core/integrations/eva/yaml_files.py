"""YAML, the format of eva's configurations. PyYAML comes with the extra ``eva``."""

from typing import Any

from ...errors import MissingExtraError


def load_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises
    ------
    ValueError
        If the text is not YAML.
    MissingExtraError
        If PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            "reading configurations of eva needs PyYAML", hint='pip install "coralbay[eva]"'
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
