"""Hooks of MkDocs: pages that are not in docs/, and links that hold both on a code host and on the site.

Pages and links are written for the repository. Files outside docs/ get a page of their own here, and links to them are
rewritten. A link to a file that has no page is a warning, which stops `make docs`.
"""

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.site.citation import citation_page
from scripts.site.commands import with_options
from scripts.site.dialect import for_mkdocs
from scripts.site.links import rewritten

ROOT = Path(__file__).resolve().parents[2]
API = "reference/api/"
# Packages that name no public objects: all their modules are described.
WHOLE = ("coralbay_viz.controllers",)
COMMANDS = "reference/commands.md"

# Files of the repository that have another place on the site.
PLACES = {
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "CITATION.cff": "project/citation.md",
    "LICENSE": "project/license.md",
    "coralbay_viz/icon.svg": "images/icon.svg",
}

_log = logging.getLogger("mkdocs.coralbay")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, and the notebooks."""
    files.remove(files.get_file_from_path("README.md"))
    for name, place in PLACES.items():
        if place.endswith(".md"):
            files.append(File.generated(config, place, content=_content(name)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / name)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{notebook.name}", abs_src_path=str(notebook)))
    for page in _pages(config.nav):
        if page.startswith(API):
            files.append(File.generated(config, page, content=_api(page.removeprefix(API).removesuffix(".md"))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite links, and add what the repository's page leaves to `--help`."""
    uri = page.file.src_uri
    origin = next((name for name, place in PLACES.items() if place == uri), f"docs/{uri}")
    text, unknown = rewritten(for_mkdocs(markdown), origin, uri, lambda path: _place(path, files))
    for target in unknown:
        _log.warning("%s: %s has no page on the site", origin, target)
    return with_options(text) if uri == COMMANDS else text


def _content(name: str) -> str:
    text = (ROOT / name).read_text("utf-8")
    if name == "CITATION.cff":
        return citation_page(text)
    if name == "LICENSE":
        return "# License\n\n" + re.sub(r"^", "    ", text, flags=re.MULTILINE)
    return text


def _api(module: str) -> str:
    options = "    options: { show_submodules: true }\n" if module in WHOLE else ""
    return f"# `{module}`\n\n::: {module}\n{options}"


def _place(path: str, files: Files) -> str | None:
    """Place on the site of a file of the repository."""
    place = PLACES.get(path) or path.removeprefix("docs/")
    return place if files.get_file_from_path(place) else None


def _pages(nav: list | dict | str | None) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif nav:
        for entry in nav.values() if isinstance(nav, dict) else nav:
            yield from _pages(entry)
