"""CoralBay in pipelines of MONAI: dictionary transforms, networks and bundles."""

from .bundle import export_bundle
from .networks import preparation, swin_unetr
from .transforms import CoralBayFeaturesd, CoralBayHeatd, CoralBaySegmentd

__all__ = ["CoralBayFeaturesd", "CoralBayHeatd", "CoralBaySegmentd", "export_bundle", "preparation", "swin_unetr"]
