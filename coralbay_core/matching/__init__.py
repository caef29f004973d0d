"""Matching between scans: best matches with forward-backward confidence, alignment, follow-up of landmarks."""

from .alignment import Alignment, align
from .follow_up import FollowUp, propagate
from .landmarks import Landmark, read_landmarks, write_landmarks
from .match import RETURN_MM, Match, SearchSpace, best_match, best_matches
from .request import PLACE_MM, PRIOR_PLACES, SCOPES, Answer, Scope, SimilarityRequest, answer

__all__ = [
    "PLACE_MM",
    "PRIOR_PLACES",
    "RETURN_MM",
    "SCOPES",
    "Alignment",
    "Answer",
    "FollowUp",
    "Landmark",
    "Match",
    "Scope",
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
