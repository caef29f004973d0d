"""Matching between scans: best matches with forward-backward confidence, alignment, follow-up of landmarks."""

from .alignment import Alignment, align
from .follow_up import FollowUp, propagate
from .landmarks import Landmark, read_landmarks, write_landmarks
from .match import RETURN_MM, Match, SearchSpace, best_match, best_matches
from .request import PRIOR_PLACES, Answer, SimilarityRequest, answer

__all__ = [
    "PRIOR_PLACES",
    "RETURN_MM",
    "Alignment",
    "Answer",
    "FollowUp",
    "Landmark",
    "Match",
    "SearchSpace",
    "SimilarityRequest",
    "align",
    "answer",
    "best_match",
    "best_matches",
    "propagate",
    "read_landmarks",
    "write_landmarks",
]
