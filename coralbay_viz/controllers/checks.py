"""Checks of what scripts and views set."""

from typing import Any

from coralbay_core.errors import InputError


def checked_number(value: Any, what: str, low: float, high: float, expected: str, *, from_low: bool = False) -> float:
    """Return a value as a float, or raise unless it is a number above `low` (or `low` itself) and up to `high`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, str) or not (low < number <= high or (from_low and number == low)):
        raise InputError(f"{what} out of range", found=value, expected=expected)
    return number
