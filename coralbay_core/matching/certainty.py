"""Words for the confidence of an aligned place, by what they were worth where the truth is known."""

GRADES = ((0.6, "reliable"), (0.05, "to be checked"), (0.0, "not in this scan"))
"""Words by the least confidence that they need; measured by `benchmarks/confidence.py`."""


def place_in_words(confidence: float) -> str:
    """Grade the confidence of an aligned place, from 0 to 1, in a few words."""
    return next((word for least, word in GRADES if confidence >= least), GRADES[-1][1])
