"""Links of the documentation: every relative link, image and anchor of the Markdown pages resolves."""

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:img|a)\s[^>]*(?:src|href)=\"([^\"]+)\"")
FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
MENTION = re.compile(r"\bdocs/[\w./-]+\.(?:md|png|jsonl)\b")
MENTIONING = [
    path
    for folder in ("coralbay_core", "coralbay_viz", "scripts", "benchmarks", "notebooks", "tests")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".toml", ".ipynb", ".sh", ".yaml"}
] + [ROOT / "Makefile", ROOT / "pyproject.toml"]


def links(page: Path) -> list[str]:
    """Targets of links and images within the repository."""
    text = CODE.sub("", FENCE.sub("", page.read_text("utf-8")))
    found = [first or second for first, second in LINK.findall(text)]
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken(page: Path) -> list[str]:
    """Links of a page without a file or a heading behind them."""
    failed = []
    for target in links(page):
        name, _, anchor = unquote(target).partition("#")
        path = (page.parent / name).resolve() if name else page
        missing = not path.exists() or not path.is_relative_to(ROOT)
        if missing or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            failed.append(target)
    return failed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_resolve(page):
    assert broken(page) == []


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A title\n[a](#a-title) [b](page.md#other) [c](none.md)\n![d](none.png) `[e](x.md)` [f](../g)\n")
    assert broken(page) == ["page.md#other", "none.md", "none.png", "../g"]


def test_every_page_is_linked_from_another():
    linked = {(page.parent / unquote(target).partition("#")[0]).resolve() for page in PAGES for target in links(page)}
    assert [page for page in PAGES if page not in linked and page != ROOT / "README.md"] == []


def test_pages_that_code_mentions_exist():
    mentions = {(path, name) for path in MENTIONING for name in MENTION.findall(path.read_text("utf-8"))}
    assert mentions
    missing = {f"{path.relative_to(ROOT)}: {name}" for path, name in mentions if not (ROOT / name).exists()}
    assert missing == set()
