"""Published checkpoints of the SwinUNETR family: read without running code, keys mapped, architecture from shapes."""

from .keys import Mapped, map_keys
from .reading import SUFFIXES, read_tensors
from .shapes import infer_config

__all__ = ["SUFFIXES", "Mapped", "infer_config", "map_keys", "read_tensors"]
