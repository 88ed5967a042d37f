"""Settings of Sphinx for the book; make_book.py prepares what it reads."""

import json
import re
from pathlib import Path

from docutils import nodes

import n2n_lib

project = "n2n"
author = "the authors of n2n"
copyright = "the authors of n2n, MIT licence"
release = n2n_lib.__version__
html_title = "n2n: a denoiser, and the framework under it"
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["map.md", "downloads"]

# Lessons: shown as they were executed, never run again.
nb_execution_mode = "off"
suppress_warnings = ["mystnb.unknown_mime_type"]  # the numbers of the capstone, for the grader
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Reference: numpydoc docstrings, with the types that they state.
autodoc_member_order = "bysource"
autodoc_typehints = "none"
default_role = "literal"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
toc_object_entries = False

# Everything comes from the site itself.
mathjax_path = "mathjax/tex-chtml.js"
html_theme = "furo"
html_favicon = "_static/favicon.svg"
pygments_dark_style = "github-dark"
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_js_files = ["moving.js"]
html_copy_source = False
html_show_sphinx = False
copybutton_exclude = ".linenos, .gp, .go"


LESSONS = json.loads(Path(__file__).with_name("lessons.json").read_text(encoding="utf-8"))


FILES = {  # module: the lessons of its file
    f"n2n_lib.{file.removesuffix('.py').strip('/').replace('/', '.')}": [
        row for row in LESSONS if file in row["files"]
    ]
    for lesson in LESSONS
    for file in lesson["files"]
}


def lesson_of(name: str) -> dict | None:
    """Return the lesson that derives a class or function: the first of its file that names it."""
    module, _, member = name.rpartition(".")
    rows = FILES.get(module, [])
    for row in rows:
        notebook = Path(__file__).parent / "notebooks" / f"{row['stem']}.ipynb"
        if re.search(rf"\b{member}\b", notebook.read_text(encoding="utf-8")):
            return row
    return rows[0] if rows else None


VARIABLES = re.compile(r":(ivar|vartype) \w+, ")


def add_lesson(app, what, name, obj, options, lines) -> None:
    """Add to a class or function of the reference where it is derived."""
    for i, line in enumerate(lines):  # ":ivar a, b:" would take "a," for the type of b
        lines[i] = re.sub(r"(?<=\w), (?=[\w, ]*:)", ",", line) if VARIABLES.match(line) else line
    if what in ("class", "function") and (row := lesson_of(name)):
        lines += ["", f"Derived in :doc:`{row['title']} </notebooks/{row['stem']}>`.", ""]


NUMBERS = re.compile(
    r"(?<=\d) (?=\d{3}(?!\d)|× \d|(ms|dB|MB|GB)\b)"  # 1 732 675, 32 × 32, 24.97 dB
    r"|(?<=\d ×) (?=\d)"
)
"""Spaces at which no line shall end."""

VERBATIM = (nodes.FixedTextElement, nodes.literal, nodes.math)

SHORT = 24
"""Characters of a piece of code that fit on the line of a phone, with room to spare."""


def keep_together(app, doctree) -> None:
    """Let a line end where it may: not in numbers and short code, but after a folder."""
    for code in doctree.findall(nodes.literal):
        if len(code.astext()) <= SHORT:
            code["classes"].append("short")
    for text in list(doctree.findall(nodes.Text)):
        changed = NUMBERS.sub("\N{NO-BREAK SPACE}", text)
        if isinstance(text.parent, nodes.title) and " " not in text:
            changed = changed.replace("/", "/\N{ZERO WIDTH SPACE}")
        parents = text.parent, text.parent.parent
        if changed != text and not any(isinstance(parent, VERBATIM) for parent in parents):
            text.parent.replace(text, nodes.Text(changed))


def setup(app) -> None:
    """Register what is our own."""
    app.connect("doctree-read", keep_together)
    app.connect("autodoc-process-docstring", add_lesson, priority=900)
