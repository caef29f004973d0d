"""One click, all voxels of the same scan ranked: does the structure come first?"""

from collections.abc import Iterator

import numpy as np

from ..metrics import average_precision, precision_at_size
from ..records import Record
from .common import Setting

CLICKS = 5


def click_retrieval(setting: Setting) -> Iterator[Record]:
    """Average precision and precision at the structure's size, a record a structure with a value a click."""
    for case in setting.cases:
        inside = case.body
        for name in case.structures:
            mask = case.mask(name)[inside]
            clicks = case.clicks(name, CLICKS, setting.seed)
            ranked = [setting.scores(click, case, case)[inside] for click in clicks]
            values = {
                "ap": [average_precision(scores, mask) for scores in ranked],
                "precision_at_size": [precision_at_size(scores, mask) for scores in ranked],
                "prevalence": float(mask.mean()),
                "voxels": int(mask.sum()),
                "clicks_mm": np.round(clicks, 1),
            }
            yield setting.record("retrieval", case, values, structure=name)
