"""Markdown of code hosts, translated to that of MkDocs."""

import re

_ROW = re.compile(r"^\|.*$", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_NESTED = re.compile(r"^ {2}(?=- )", re.MULTILINE)


def for_mkdocs(text: str) -> str:
    """Return a page whose tables and nested lists MkDocs shows as a code host does.

    MkDocs shows the backslash of an escaped bar in code, and indents lists by four spaces.
    """
    text = _ROW.sub(lambda row: _CODE.sub(lambda code: code.group().replace("\\|", "|"), row.group()), text)
    return _NESTED.sub("    ", text)
