"""Library of scans, for similarity search across hundreds of scans."""

from .library import Added, Library
from .manifest import LibraryEntry
from .search import Hit, Places, SearchReport, search_library

__all__ = ["Added", "Hit", "Library", "LibraryEntry", "Places", "SearchReport", "search_library"]
