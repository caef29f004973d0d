"""Cache of features on disk: signed, in chunks, safe with several processes at once."""

from pathlib import Path

from ...features import FeatureMaps
from .entry import Entry, EntryMetadata
from .feature_store import Check, EntryInfo, FeatureStore, default_root, unwritable
from .files import UnusableEntryError
from .keys import SCHEMA, content_digest, key_of, signature

__all__ = [
    "SCHEMA",
    "Check",
    "Entry",
    "EntryInfo",
    "EntryMetadata",
    "FeatureStore",
    "UnusableEntryError",
    "content_digest",
    "default_root",
    "key_of",
    "open_features",
    "signature",
    "unwritable",
]


def open_features(folder: str | Path) -> FeatureMaps:
    """Open features that ``coralbay embed -o`` wrote; they are read as they are used, without torch.

    Parameters
    ----------
    folder : path
        Of one scan.

    Returns
    -------
    FeatureMaps
        All stages that exist. Regions that were not computed do not count as body.

    Raises
    ------
    UnusableEntryError
        If the folder holds no features.
    """
    entry = Entry.open(Path(folder))
    if not entry.strides:
        raise UnusableEntryError("no features yet", where=folder, hint="compute them with coralbay embed")
    return entry.maps(entry.strides, entry.whole, entry.needed(entry.whole))
