"""The documentation as a site: what `make docs` translates and adds."""

import pytest
import yaml

from scripts.site.citation import citation_page
from scripts.site.commands import with_options
from scripts.site.dialect import for_mkdocs
from scripts.site.links import rewritten
from tests.support import ROOT

PLACES = {
    "docs/how-to/eva.md": "how-to/eva.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "docs/images/pca.png": "images/pca.png",
}


@pytest.mark.parametrize(
    ("origin", "page", "text", "expected"),
    [
        ("docs/how-to/napari.md", "how-to/napari.md", "[a](eva.md#part)", "[a](eva.md#part)"),
        (
            "docs/how-to/napari.md",
            "how-to/napari.md",
            "[c](../../CONTRIBUTING.md#set-up)",
            "[c](../project/contributing.md#set-up)",
        ),
        ("README.md", "index.md", "[a](docs/how-to/eva.md)", "[a](how-to/eva.md)"),
        ("README.md", "index.md", "![x](docs/images/pca.png)", "![x](images/pca.png)"),
        ("README.md", "index.md", '<img src="docs/images/pca.png">', '<img src="images/pca.png">'),
        (
            "README.md",
            "index.md",
            "[w](https://a.org/docs/images/pca.png) [h](#here)",
            "[w](https://a.org/docs/images/pca.png) [h](#here)",
        ),
        ("README.md", "index.md", "`[a](docs/images/pca.png)`", "`[a](docs/images/pca.png)`"),
        ("README.md", "index.md", "```\n[a](docs/images/pca.png)\n```", "```\n[a](docs/images/pca.png)\n```"),
    ],
)
def test_links_hold_on_the_site(origin, page, text, expected):
    assert rewritten(text, origin, page, PLACES.get) == (expected, [])


def test_a_link_without_a_page_is_reported():
    assert rewritten("[a](../Makefile)", "docs/reliability.md", "reliability.md", PLACES.get) == (
        "[a](../Makefile)",
        ["../Makefile"],
    )


def test_tables_and_nested_lists_are_translated():
    assert for_mkdocs("| `a\\|b` | c\\|d |\n\n- e\n  - f\n") == "| `a|b` | c\\|d |\n\n- e\n    - f\n"


def test_every_command_has_its_options():
    page = with_options("# Commands\n")
    assert page.startswith("# Commands\n")
    assert "### `coralbay query`" in page
    assert "### `coralbay library search`" in page
    assert "### `coralbay view`" in page
    assert "| `--stage-weights " in page
    assert "| `CT|FOLDER` |" in page
    assert page.count("--verbose") == 1


def test_the_citation_is_that_of_the_repository():
    cff = (ROOT / "CITATION.cff").read_text()
    page = citation_page(cff)
    assert yaml.safe_load(cff)["version"] in page
    assert "arXiv:2606.03888" in page
    assert page.count("```bibtex") == 2


def test_the_gallery_shows_every_picture():
    text = (ROOT / "docs" / "gallery.md").read_text()
    folder = ROOT / "docs" / "images"
    pictures = [path for path in folder.rglob("*") if path.suffix in {".png", ".webp"}]
    assert len(pictures) > 10
    assert [path.name for path in pictures if f"images/{path.relative_to(folder)}" not in text] == []


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")} - {"README.md"}
    assert {page for page in pages if f" {page}\n" not in navigation} == set()
