"""The terms of the loss, by the names under which ``[objective.NAME]`` switches them on."""

from .base import BranchOutput, StepInfo, Term, TermOutput
from .dino import Dino
from .koleo import Koleo
from .masked import Masked
from .relations import Relations
from .settings import TermSettings
from .tokens import TokenDino, Tokens

__all__ = ["TERMS", "BranchOutput", "StepInfo", "Term", "TermOutput", "TermSettings"]

TERMS: dict[str, type[Term]] = {term.name: term for term in (Dino, Relations, Tokens, TokenDino, Masked, Koleo)}
