"""A library of scans: where does what was clicked occur in a hundred of them?"""

from .library import Added, Library
from .manifest import Entry
from .search import Hit, SearchReport, search_library

__all__ = ["Added", "Entry", "Hit", "Library", "SearchReport", "search_library"]
