"""Page that tells how to cite the software and the method, made from CITATION.cff."""

import yaml

_PAGE = """# Citation

{message}

{authors}. *{title}*, version {version}. {license}.

```bibtex
@software{{coralbay,
  title   = {{{title}}},
  author  = {{{bib_authors}}},
  version = {{{version}}},
  license = {{{license}}}
}}
```

The method:

{method_authors}. *{method}*. [{identifier}]({url}). {note}

```bibtex
@misc{{coralbay-method,
  title  = {{{method}}},
  author = {{{method_authors}}},
  note   = {{{identifier}}},
  url    = {{{url}}}
}}
```
"""


def citation_page(cff: str) -> str:
    """Return the page in Markdown for the text of a CITATION.cff with one reference."""
    found = yaml.safe_load(cff)
    (paper,) = found["references"]
    (identifier,) = paper["identifiers"]
    authors = _names(found["authors"])
    return _PAGE.format(
        message=found["message"],
        title=found["title"],
        version=found["version"],
        license=found["license"],
        authors=", ".join(authors),
        bib_authors=" and ".join(f"{{{name}}}" for name in authors),
        method=paper["title"],
        method_authors=", ".join(_names(paper["authors"])),
        identifier=identifier["value"],
        note=identifier["description"],
        url=paper["url"],
    )


def _names(authors: list[dict[str, str]]) -> list[str]:
    return [author.get("name") or f"{author['given-names']} {author['family-names']}" for author in authors]
