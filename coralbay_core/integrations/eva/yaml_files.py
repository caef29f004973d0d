"""YAML, the format of eva's configurations. PyYAML comes with the extra ``eva``."""

from typing import Any

from ...util.extras import import_extra


def load_yaml(text: str) -> Any:
    """Parse a YAML text.

    Raises
    ------
    ValueError
        If the text is not YAML.
    MissingExtraError
        If PyYAML is not installed.
    """
    yaml = import_extra("eva", "yaml", need="configurations of eva need")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
