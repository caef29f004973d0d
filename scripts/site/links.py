"""Links of Markdown pages, translated from the repository to the site."""

import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote

_FENCE = re.compile(r"^ *(```|~~~).*?^ *\1[^\n]*$|^(?: {4}|\t)[^\n]*$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?P<markdown>[^)\s]+)(?=[)\s])|(?<= src=\")(?P<source>[^\"]+)(?=\")")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:|#|/")


def rewritten(text: str, origin: str, page: str, place: Callable[[str], str | None]) -> tuple[str, list[str]]:
    """Rewrite the relative links of a page.

    Parameters
    ----------
    text : str
        The page in Markdown.
    origin : str
        Path of the page in the repository.
    page : str
        Its place on the site.
    place : callable
        Returns the place on the site of a path in the repository, or None.

    Returns
    -------
    str
        The page with links that hold on the site.
    list of str
        Targets that are not on the site.
    """
    unknown: list[str] = []

    def moved(link: re.Match) -> str:
        target = link.group()
        if _ADDRESS.match(target):
            return target
        name, hash_, anchor = target.partition("#")
        found = place(posixpath.normpath(posixpath.join(posixpath.dirname(origin), unquote(name))))
        if found is None:
            unknown.append(target)
            return target
        return posixpath.relpath(found, posixpath.dirname(page)) + hash_ + anchor

    return _outside_code(text, lambda part: _LINK.sub(moved, part)), unknown


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for code in _FENCE.finditer(text):
        parts += [change(text[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*parts, change(text[end:])])
