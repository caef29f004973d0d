"""Matching between scans: best matches with forward-backward confidence, alignment, follow-up of landmarks."""

from .alignment import Alignment, align
from .follow_up import FollowUp, propagate
from .landmarks import Landmark, read_landmarks, write_landmarks
from .match import RETURN_MM, Match, SearchSpace, best_match, best_matches

__all__ = [
    "RETURN_MM",
    "Alignment",
    "FollowUp",
    "Landmark",
    "Match",
    "SearchSpace",
    "align",
    "best_match",
    "best_matches",
    "propagate",
    "read_landmarks",
    "write_landmarks",
]
