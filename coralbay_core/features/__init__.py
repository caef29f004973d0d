"""Multi-scale feature maps of a scan and the descriptors of positions in them."""

from .feature_maps import FeatureMap, FeatureMaps

__all__ = ["FeatureMap", "FeatureMaps"]
