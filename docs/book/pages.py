"""From lessons to pages: notebooks as MyST-NB reads them, with figures as separate files."""

from __future__ import annotations

import copy
import io
import re
from base64 import b64decode
from collections.abc import Collection
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from PIL import Image

from n2n_lib.course.check.prediction import NONE_WRITTEN
from n2n_lib.course.marks import REGION

ANSWER = re.compile(r"<details>\s*<summary>Answers?</summary>.*?</details>\s*", re.S)
ANCHOR = re.compile(r"\]\(#[^)\s]+\)")
TAGGED = re.compile(r"\$\$((?:(?!\$\$).)*?\\tag\{(?:(?!\$\$).)*?)\$\$", re.S)
STUB = "# your code here"
CAPTION = re.compile(r"\A(?<!\\)\*(?!\*)(.+?)(?<![*\\ ])\*(?!\*)", re.S)
ROW = re.compile(
    r"^\| \[(?P<title>[E\d]\d [^]]+)\]\(notebooks/(?P<stem>\w+)\.ipynb\) "
    r"\| (?P<derives>.*?) \| (?P<files>.*?) \|$",
    re.M,
)


def lesson_table(readme: str) -> list[dict]:
    """Read the table of lessons and the files that they derive from the README.

    Parameters
    ----------
    readme : str
        Its text.

    Returns
    -------
    list of dict
        For each lesson `title`, `stem` of its notebook, `derives` in words, `files`.
    """
    rows = [match.groupdict() for match in ROW.finditer(readme)]
    return [row | {"files": re.findall(r"`([^`]+)`", row["files"])} for row in rows]


def topic_of(lesson: Path) -> str:
    """Return what a lesson is about: the name of its notebook without the number."""
    return lesson.stem.partition("_")[2]


def library_files(library: Path) -> list[str]:
    """List the files of the framework and of the denoiser, as `lesson_table` names them.

    A package is named by its folder, ``framework/kernels/``; those two themselves are left out.

    Parameters
    ----------
    library : Path
        The folder ``n2n_lib``.
    """
    buildings = ("framework", "denoiser")
    paths = [path for name in buildings for path in sorted((library / name).rglob("*.py"))]
    names = [path.relative_to(library).as_posix().removesuffix("__init__.py") for path in paths]
    return [name for name in names if name.strip("/") not in buildings]


def glossary_page(guide: str) -> str:
    """Make a page of the symbols and the glossary that end the students' guide.

    Parameters
    ----------
    guide : str
        Markdown of ``notebooks/README.md``, with a section "Symbols" and what follows it.

    Raises
    ------
    ValueError
        If there is no such section.
    """
    start = guide.find("\n## Symbols\n")
    if start < 0:
        raise ValueError('notebooks/README.md: expected a section "## Symbols", found none')
    text = re.sub(r"\]\((?=\d\d_)", "](notebooks/", guide[start:])
    return "# Glossary and symbols\n" + text.replace("](../", "](")


def without_links_out(guide: str, folder: Path, taken: Collection[str]) -> str:
    """Leave of a link to another guide only its words where the book does not take that guide.

    Parameters
    ----------
    guide : str
        Markdown of a guide.
    folder : Path
        The guide's folder. A link to a file that is not there stays, for Sphinx to complain of.
    taken : collection of str
        Names of the files in that folder that the book takes.
    """

    def words(link: re.Match) -> str:
        out = link[2] not in taken and (folder / link[2]).is_file()
        return link[1] if out else link[0]

    return re.sub(r"(?<!!)\[([^]]*)\]\((\w[^)#/]*)(?:#[^)]*)?\)", words, guide)


def without_solutions(lesson: NotebookNode) -> NotebookNode:
    """Return a copy of a lesson in which stubs stand for solutions, and no answer is given.

    Cells with the tag ``instructor`` are left out.
    """
    lesson = copy.deepcopy(lesson)
    lesson.cells = [
        cell for cell in lesson.cells if "instructor" not in cell.metadata.get("tags", [])
    ]
    for cell in lesson.cells:
        if cell.cell_type == "code":
            cell.source = REGION.sub(rf"\1{STUB}", cell.source)
        else:
            cell.source = ANSWER.sub("", cell.source).rstrip()
    return lesson


def caption(lesson: NotebookNode, index: int) -> str:
    """Say in plain words what the figure of a cell shows: the text alternative.

    Parameters
    ----------
    lesson : NotebookNode
        The lesson.
    index : int
        Place of the code cell that draws the figure.

    Returns
    -------
    str
        The caption: the italic paragraph that opens the next cell. A figure without one is named
        after the section that it stands in.
    """
    after = lesson.cells[index + 1] if index + 1 < len(lesson.cells) else None
    if after and after.cell_type == "markdown" and (found := CAPTION.match(after.source)):
        return plain(found[1])
    titles = [
        line.lstrip("# ")
        for cell in lesson.cells[:index]
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    ]
    return plain(f"Figure of the section: {titles[-1]}")


def plain(markdown: str) -> str:
    """Strip Markdown and TeX of what only a renderer understands; one line."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"\\(times|cdot)\b", "×", text)
    text = re.sub(r"\\(?:mathbb|operatorname|mathrm|mathsf|text)\{([^}]*)\}", r"\1", text)
    text = re.sub(r"\\([A-Za-z]+)", r"\1", text)
    return " ".join(re.sub(r"[*`${}\\]|\^|(?<=\w)_(?=\w)", "", text).split())


def page_of(lesson: NotebookNode, stem: str, figures: Path, moving: dict[str, str]) -> None:
    """Turn a lesson, in place, into the notebook that MyST-NB makes a page of.

    Solutions are folded away, below what a student sees of the exercise.

    Parameters
    ----------
    lesson : NotebookNode
        The executed lesson.
    stem : str
        Name of its file.
    figures : Path
        Folder that receives the lesson's figures.
    moving : dict
        HTML by cell id: what shall stand after that cell.

    Raises
    ------
    ValueError
        If there is no such cell.
    """
    if unknown := moving.keys() - {cell["id"] for cell in lesson.cells}:
        raise ValueError(f"{stem}: expected cells {sorted(unknown)} for pictures, found none")
    figures.mkdir(parents=True, exist_ok=True)
    cells = []
    for index, cell in enumerate(lesson.cells):
        if index == 1:
            link = f"{{download}}`Download this lesson <../downloads/{stem}.ipynb>`"
            cells.append(new_markdown_cell(link))
        if REGION.search(cell.source):
            cells.append(_skeleton(cell))
            _fold(cell)
        cells.append(cell)
        if cell.cell_type == "markdown":  # JupyterLab keeps capitals in anchors, MyST does not
            cell.source = ANCHOR.sub(lambda link: link[0].lower(), cell.source)
            cell.source = TAGGED.sub(_numbered, cell.source)
        if cell.cell_type == "code":
            for output in cell.outputs:  # a reader of the book has nowhere to write one
                if "text" in output:
                    output.text = output.text.replace(f" {NONE_WRITTEN}", "")
            cells += _take_figures(cell, figures, caption(lesson, index))
        if cell["id"] in moving:
            text, _, rest = cell.source.partition("\n#")  # before a heading that ends the cell
            cell.source = text
            cells.append(new_markdown_cell("```{raw} html\n" + moving[cell["id"]] + "\n```"))
            cells += [new_markdown_cell("#" + rest)] if rest else []
    lesson.cells = cells


def _numbered(equation: re.Match) -> str:
    """Write an equation with a number of its own so that Sphinx puts no ``split`` around it."""
    return f"\\begin{{equation*}}\n{equation[1].strip()}\n\\end{{equation*}}"


def _skeleton(cell: NotebookNode) -> NotebookNode:
    """Show what a student gets to see of an exercise."""
    source = REGION.sub(rf"\1{STUB}", cell.source)
    return new_markdown_cell(f"```python\n{source}\n```")


def _fold(cell: NotebookNode) -> None:
    cell.source = re.sub(r"^[ \t]*### (BEGIN|END) SOLUTION[ \t]*\n?", "", cell.source, flags=re.M)
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    cell.metadata["mystnb"] = {"code_prompt_show": "A solution", "code_prompt_hide": "A solution"}


def _take_figures(cell: NotebookNode, figures: Path, text: str) -> list[NotebookNode]:
    """Move the figures of a cell into files, and return cells that show them."""
    shown = []
    for output in list(cell.outputs):
        if "image/png" not in output.get("data", {}):
            continue
        cell.outputs.remove(output)
        if "text/html" in output.data:  # a picture that moves, which the PNG stands for elsewhere
            shown.append(new_markdown_cell("```{raw} html\n" + output.data["text/html"] + "\n```"))
            continue
        name = f"{cell['id']}-{len(shown) + 1}.webp" if shown else f"{cell['id']}.webp"
        picture = Image.open(io.BytesIO(b64decode(output.data["image/png"])))
        save_picture(picture, figures / name)
        width, height = picture.size
        shown.append(
            new_markdown_cell(
                f"```{{image}} ../figures/{figures.name}/{name}\n"
                f":alt: {text}\n:width: {width}\n:height: {height}\n:loading: lazy\n```"
            )
        )
    return shown


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture without any loss, on white, in the smallest format for it."""
    if picture.mode == "RGBA":
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    picture.convert("RGB").save(path, "WEBP", lossless=True, quality=100, method=4)


def read_lesson(path: Path) -> NotebookNode:
    """Read an executed lesson.

    Raises
    ------
    ValueError
        If a code cell was never run: the book shows outputs, and runs nothing.
    """
    lesson = nbformat.read(path, as_version=4)
    for cell in lesson.cells:
        if cell.cell_type == "code" and cell.execution_count is None:
            raise ValueError(f"{path}: expected executed cells, got {cell['id']}, never run")
    return lesson
