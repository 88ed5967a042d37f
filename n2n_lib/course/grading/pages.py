"""Write the pages of feedback."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, FileSystemLoader

from n2n_lib.course.grading.grades import Grade
from n2n_lib.support.files import write_atomically


def write_feedback(path: str | os.PathLike, done: Grade) -> Path:
    """Write a page that tells a student what was right, what was not, and why.

    The page needs no other file, holds no script, and shows everything of the student as text.

    Parameters
    ----------
    path : path-like
        The file; it is written whole or not at all.
    done : Grade
        Of the student.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("feedback.html").render(done=done)
    return write_atomically(path, lambda file: file.write(page.encode(errors="replace")))
