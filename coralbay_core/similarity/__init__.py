"""Where else does it look like this? Heat maps of clicks, strokes or regions, in the scan itself or in another one.

One cosine a stage at its own resolution; the scalars are interpolated and mixed. Mixing scores instead of features
makes the weights of the scales free to change.
"""

from .heat import HeatMap, heat_map, search
from .prior import DistancePrior
from .query import Query, Reduction, load_query, make_query, merge_queries
from .query_points import box_points, label_points, stroke_points
from .regions import Region, top_regions
from .stage_weights import Weights, auto_weights

__all__ = [
    "DistancePrior",
    "HeatMap",
    "Query",
    "Reduction",
    "Region",
    "Weights",
    "auto_weights",
    "box_points",
    "heat_map",
    "label_points",
    "load_query",
    "make_query",
    "merge_queries",
    "search",
    "stroke_points",
    "top_regions",
]
