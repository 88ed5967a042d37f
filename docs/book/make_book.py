"""Build the book: the lessons, the reference and the benchmarks as one static site.

``python docs/book/make_book.py`` prepares the sources in ``build/book-source`` and has Sphinx make
HTML of them in ``build/book``. Nothing is executed but the shipped networks on three crops, and
nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import torch
from moving import hero, moving_pictures
from pages import (
    glossary_page,
    lesson_table,
    library_files,
    page_of,
    read_lesson,
    topic_of,
    without_links_out,
    without_solutions,
)
from sphinx.cmd.build import main as sphinx

from n2n_lib.course.notebooks import find_lessons

BOOK = Path(__file__).resolve().parent
ROOT = BOOK.parents[1]
MATHJAX = Path(*importlib.util.find_spec("sphinx-mathjax-offline").submodule_search_locations)


GUIDES = (
    "using.md",
    "lab-camera.md",
    "results.md",
    "BENCHMARKS.md",
    "credits.md",
    "denoised.png",
    "speed.png",
)
"""What the book takes from the folder above it."""


def prepare(source: Path, *, student: bool) -> None:
    """Write everything that Sphinx reads into a fresh folder, laid out like the repository."""
    shutil.copytree(BOOK, source, ignore=shutil.ignore_patterns("__pycache__", "training"))
    (source / "docs").mkdir()
    for name in GUIDES:
        guide = ROOT / "docs" / name
        if guide.suffix != ".md":
            shutil.copy(guide, source / "docs")
            continue
        text = without_links_out(guide.read_text(encoding="utf-8"), guide.parent, GUIDES)
        (source / "docs" / name).write_text(text, encoding="utf-8")
    _copy_mathjax(source / "_static" / "mathjax")
    table = lesson_table((ROOT / "README.md").read_text(encoding="utf-8"))
    (source / "lessons.json").write_text(json.dumps(table), encoding="utf-8")
    torch.set_grad_enabled(False)
    pictures = source / "_static" / "moving"
    pictures.mkdir()
    (source / "hero.html").write_text(hero(pictures), encoding="utf-8")
    moving = moving_pictures(BOOK / "training", pictures)
    for path in find_lessons(ROOT / "notebooks"):
        _write_lesson(path, source, student=student, moving=moving.pop(topic_of(path), {}))
    if moving:
        raise ValueError(f"expected lessons on {', '.join(moving)} for pictures, found none")
    guide = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    (source / "glossary.md").write_text(glossary_page(guide), encoding="utf-8")
    _write_map(table, source)
    _write_reference(table, source / "api")


def _copy_mathjax(folder: Path) -> None:
    """Take the one program and the fonts that the pages use, out of 24 MB."""
    mathjax, fonts = MATHJAX / "static" / "mathjax", "output/chtml/fonts/woff-v2"
    folder.mkdir()
    shutil.copy(mathjax / "tex-chtml.js", folder)
    shutil.copytree(mathjax / fonts, folder / fonts)


def _write_lesson(path: Path, source: Path, *, student: bool, moving: dict[str, str]) -> None:
    """Write the page of a lesson, and the notebook that its page offers for download."""
    lesson = read_lesson(path)
    if student:
        lesson = without_solutions(lesson)
    downloads, pages = source / "downloads", source / "notebooks"
    for folder in (downloads, pages):
        folder.mkdir(exist_ok=True)
    nbformat.write(lesson, downloads / path.name)
    page_of(lesson, path.stem, source / "figures" / path.stem, moving)
    nbformat.write(lesson, pages / path.name)


def _write_map(table: list[dict], source: Path) -> None:
    """Write the map of the lessons: one card each, with the files that it derives."""
    cards = ["::::{grid} 1 2 2 3\n:gutter: 2\n:class-container: map\n"]
    for row in table:
        number, title = row["title"].split(" ", 1)
        derives = row["derives"][0].upper() + row["derives"][1:]
        files = " ".join(f"`{file}`" for file in row["files"])
        cards.append(
            f":::{{grid-item-card}} {number} {title}\n:link: notebooks/{row['stem']}\n"
            f":link-type: doc\n\n{derives}\n\n{files}\n:::"
        )
    (source / "map.md").write_text("\n".join([*cards, "::::\n"]), encoding="utf-8")


def _write_reference(table: list[dict], folder: Path) -> None:
    """Write one page of reference for each file: in the order of the lessons, then the others."""
    folder.mkdir()
    derived: dict[str, list[str]] = {}
    for row in table:
        for file in row["files"]:
            link = f":doc:`{row['title']} </notebooks/{row['stem']}>`"
            derived.setdefault(file, []).append(link)
    for file in library_files(ROOT / "n2n_lib"):
        derived.setdefault(file, [])
    names = {file: file.removesuffix(".py").strip("/").replace("/", ".") for file in derived}
    for file, links in derived.items():
        lines = [file, "=" * len(file), ""]
        if links:
            lines += [f"Derived in {', '.join(links)}.", ""]
        lines += [
            f".. automodule:: n2n_lib.{names[file]}",
            "   :members:",
            "   :ignore-module-all:",  # what a file hands on stands on the page of its own file
            "   :show-inheritance:",
            "",
        ]
        (folder / f"{names[file]}.rst").write_text("\n".join(lines), encoding="utf-8")
    pages = "\n".join(f"   {name}" for name in names.values())
    (folder / "index.rst").write_text(f"{REFERENCE}{pages}\n", encoding="utf-8")


REFERENCE = """Reference
=========

The library, file by file, in the order of the lessons that derive it.

.. toctree::
   :maxdepth: 1

"""


UNNAMED = {
    '<aside class="sidebar-drawer"': ' aria-label="Contents of the book"',
    '<aside class="toc-drawer': ' aria-label="Contents of the page"',
    '<p class="caption" role="heading"': ' aria-level="2"',
}
"""What theme and Sphinx write without the attribute that tells a screen reader what it is."""


def _name_parts(site: Path) -> None:
    """Complete the pages for screen readers: names, a heading where Furo has none.

    An empty heading of a table is no heading.
    """
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for tag, attribute in UNNAMED.items():
            start = tag.partition(" ")[0]
            text = text.replace(tag, start + attribute + tag.removeprefix(start))
        text = re.sub(r"<th class=\"head[^>]*>(<p>)?(</p>)?</th>", "<td></td>", text)
        text = text.replace('<div id="search-results">', '<h1>Search</h1><div id="search-results">')
        page.write_text(text, encoding="utf-8")


def main() -> int:
    """Prepare the sources, and have Sphinx build the site; a warning is an error."""
    parser = argparse.ArgumentParser(description="Build the book.")
    parser.add_argument("--student", action="store_true", help="leave solutions and answers out")
    student = parser.parse_args().student
    site = ROOT / "build" / ("book-student" if student else "book")
    source = site.with_name(f"{site.name}-source")
    for folder in (source, site):  # a page that is no longer made shall not stay
        shutil.rmtree(folder, ignore_errors=True)
    prepare(source, student=student)
    options = ["-W", "--keep-going", "-q", "-j", "auto", "-d", str(source / ".doctrees")]
    status = sphinx([*options, str(source), str(site)])
    if not status:
        _name_parts(site)
        print(f"The book: {site.relative_to(ROOT) / 'index.html'}")
    return status


if __name__ == "__main__":
    sys.exit(main())
