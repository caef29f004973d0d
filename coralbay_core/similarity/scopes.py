"""Scopes of a click. Imported without torch: windows and commands offer them before anything is computed."""

from typing import Literal, get_args

Scope = Literal["everywhere", "here", "place"]
"""What a click asks for: what looks alike in the whole scan, the structure that was clicked, or the same place."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
