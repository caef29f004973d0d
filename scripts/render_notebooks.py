"""Run the notebooks and write them, with what they print and show, as Markdown for docs/notebooks.

    python scripts/render_notebooks.py [NOTEBOOK ...] [-o docs/notebooks]

Widgets are left out: their still pictures stand for them, as on any page without a kernel.
"""

import argparse
import io
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import MarkdownExporter
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
WIDEST = 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default all of them")
    parser.add_argument("-o", "--out", type=Path, default=ROOT / "docs" / "notebooks")
    arguments = parser.parse_args()
    for path in arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        print(path.name, flush=True)
        render(path, arguments.out)


def render(path: Path, out: Path) -> None:
    """Run one notebook in a folder of its own, and write NAME.md and NAME-N.png."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources=resources, store_widget_state=False
        ).execute()
    for cell in notebook.cells:
        cell.outputs = [kept for output in cell.get("outputs", ()) if (kept := _kept(output)) is not None]
    text, found = MarkdownExporter().from_notebook_node(notebook, resources={"unique_key": path.stem})
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob(f"{path.stem}-*.png"):
        old.unlink()
    for number, (name, data) in enumerate(found["outputs"].items(), 1):
        picture = out / f"{path.stem}-{number}.png"
        picture.write_bytes(_smaller(data))
        text = text.replace(name, picture.name)
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(line.rstrip() for line in text.splitlines()))
    origin = f"*Made by `make notebooks` from [notebooks/{path.name}](../../notebooks/{path.name}).*\n\n"
    (out / f"{path.stem}.md").write_text(origin + text.strip() + "\n")


def _kept(output):
    """An output without widgets and without chatter of progress on stderr; None if nothing is left."""
    if output.get("name") == "stderr":
        return None
    data = output.get("data")
    if data is not None and data.pop(WIDGET, None) is not None and not data.get("image/png"):
        return None
    return output


def _smaller(data: bytes) -> bytes:
    """The picture in 256 colors and at most `WIDEST` pixels wide: a repository keeps it for ever."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    if image.width > WIDEST:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


if __name__ == "__main__":
    main()
