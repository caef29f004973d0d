"""The Swin3D backbone."""

from .backbone import Swin3D, pooled
from .config import Swin3DConfig

__all__ = ["Swin3D", "Swin3DConfig", "pooled"]
