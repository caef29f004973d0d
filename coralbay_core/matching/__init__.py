"""Matching between scans: best matches with forward-backward confidence, alignment, transfer of labels, follow-up."""

from ..similarity.scopes import SCOPES, Scope
from .alignment import Alignment, align
from .deformation import Deformation, deform
from .follow_up import FollowUp, propagate
from .known_alignments import alignment_of, known_alignment
from .landmarks import Landmark, read_landmarks, write_landmarks
from .lesions import Lesion, LesionChange, follow_lesions, measure_lesions
from .match import RETURN_MM, Match, SearchSpace, aligned_match, best_match, best_matches
from .request import PLACE_MM, PRIOR_PLACES, Answer, SimilarityRequest, answer
from .transfer import LabelSource, TransferredLabels, transfer_labels, warp_labels, warp_volume

__all__ = [
    "PLACE_MM",
    "PRIOR_PLACES",
    "RETURN_MM",
    "SCOPES",
    "Alignment",
    "Answer",
    "Deformation",
    "FollowUp",
    "LabelSource",
    "Landmark",
    "Lesion",
    "LesionChange",
    "Match",
    "Scope",
    "SearchSpace",
    "SimilarityRequest",
    "TransferredLabels",
    "align",
    "aligned_match",
    "alignment_of",
    "answer",
    "best_match",
    "best_matches",
    "deform",
    "follow_lesions",
    "known_alignment",
    "measure_lesions",
    "propagate",
    "read_landmarks",
    "transfer_labels",
    "warp_labels",
    "warp_volume",
    "write_landmarks",
]
