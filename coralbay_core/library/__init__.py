"""A library of scans: where does what was clicked occur in a hundred of them?"""

from .library import Added, Library
from .manifest import LibraryEntry
from .search import Hit, SearchReport, search_library

__all__ = ["Added", "Hit", "Library", "LibraryEntry", "SearchReport", "search_library"]
