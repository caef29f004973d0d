"""Errors of CoralBay as values."""

from collections.abc import Callable
from typing import Any

from coralbay_core.errors import CoralBayError


def refusal(call: Callable[..., Any], *args: Any) -> CoralBayError | None:
    """The error of ours that a call raises, or None if it takes its arguments."""
    try:
        call(*args)
    except CoralBayError as error:
        return error
    return None
