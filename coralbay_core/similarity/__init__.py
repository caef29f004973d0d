"""Similarity search: heat maps of clicks, strokes or regions, in the scan itself or in another one.

One cosine per stage is computed at the resolution of the stage; the scalars are interpolated and mixed. Since scores
are mixed and not features, the weights of the stages can change at any time.
"""

from .heat import HeatMap, heat_map, search
from .here import HereWeights, here_map
from .prior import DistancePrior
from .query import Query, Reduction, load_query, make_query, merge_queries
from .query_points import box_points, label_points, stroke_points
from .regions import Region, top_regions
from .stage_weights import Weights, auto_weights

__all__ = [
    "DistancePrior",
    "HeatMap",
    "HereWeights",
    "Query",
    "Reduction",
    "Region",
    "Weights",
    "auto_weights",
    "box_points",
    "heat_map",
    "here_map",
    "label_points",
    "load_query",
    "make_query",
    "merge_queries",
    "search",
    "stroke_points",
    "top_regions",
]
