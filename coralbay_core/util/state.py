"""Folder for what belongs to this user on this machine, such as paths of scans."""

import os
from pathlib import Path

from platformdirs import user_state_path


def state_root() -> Path:
    """Return the folder for state: environment variable ``CORALBAY_STATE``, else the user's state folder."""
    return Path(os.environ.get("CORALBAY_STATE") or user_state_path("coralbay"))
