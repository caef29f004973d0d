"""Task ``retrieval``: ranking of all voxels of a scan by similarity to a click in a structure."""

from collections.abc import Iterator

import numpy as np

from ..metrics import average_precision, precision_at_size
from ..records import Record
from .common import Setting

CLICKS = 5


def click_retrieval(setting: Setting) -> Iterator[Record]:
    """Evaluate average precision, and precision at the structure's size: one record per structure."""
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
