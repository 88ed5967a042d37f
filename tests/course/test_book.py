"""How lessons become pages of the book. What a browser makes of them: tests/book_site.py."""

from __future__ import annotations

import re
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import nbformat
import pages
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from n2n_lib.course.check import predicted
from n2n_lib.course.notebooks import find_lessons

ROOT = Path(__file__).resolve().parents[2]
LESSONS = find_lessons(ROOT / "notebooks")

EXERCISE = '''def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    y = x + x
    return y
    ### END SOLUTION


print(double(2))'''


def figure_cell() -> nbformat.NotebookNode:
    png = BytesIO()
    Image.new("RGB", (3, 2), "red").save(png, "PNG")
    data = {"image/png": b64encode(png.getvalue()).decode(), "text/plain": "<Figure>"}
    output = new_output("display_data", data)
    return new_code_cell("draw()", outputs=[output], execution_count=1, id="drawn")


def page(*cells, tmp_path: Path, moving: dict[str, str] | None = None) -> list:
    lesson = new_notebook(cells=[new_markdown_cell("# 01 A"), new_markdown_cell("goals"), *cells])
    pages.page_of(lesson, "01_a", tmp_path, moving or {})
    return lesson.cells


def test_a_solution_is_folded_away_below_what_a_student_sees(tmp_path: Path):
    cells = page(new_code_cell(EXERCISE, execution_count=1), tmp_path=tmp_path)
    shown, folded = cells[-2:]
    assert shown.cell_type == "markdown" and "x + x" not in shown.source
    assert shown.source.startswith('```python\ndef double(x):\n    """Twice x."""\n    # your code')
    assert "hide-input" in folded.metadata["tags"]
    assert "    y = x + x\n    return y\n\n\nprint" in folded.source
    assert "SOLUTION" not in shown.source + folded.source


def test_no_reader_is_told_of_a_prediction_that_they_could_not_write_down(tmp_path: Path, capsys):
    predicted(None, 24.98, "dB")
    said = new_output("stream", name="stdout", text=capsys.readouterr().out)
    cells = page(new_code_cell("predicted()", outputs=[said], execution_count=1), tmp_path=tmp_path)
    assert cells[-1].outputs[0].text == "It is 24.98 dB.\n"


def test_a_student_gets_no_solution_and_no_answer():
    answer = "What is 2 + 2?\n\n<details><summary>Answer</summary>\n\nFour.\n\n</details>"
    hidden = new_code_cell("secret", metadata={"tags": ["instructor"]})
    lesson = new_notebook(cells=[new_code_cell(EXERCISE), new_markdown_cell(answer), hidden])
    code, text = pages.without_solutions(lesson).cells
    assert code.source == EXERCISE[: EXERCISE.index("###")] + f"{pages.STUB}\n\n\nprint(double(2))"
    assert text.source == "What is 2 + 2?"
    assert "x + x" in lesson.cells[0].source, "the lesson itself stays as it is"


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_no_lesson_keeps_a_solution(path: Path):
    left = pages.without_solutions(pages.read_lesson(path))
    for cell in left.cells:
        assert "SOLUTION" not in cell.source and "<details>" not in cell.source, cell["id"]


def test_a_figure_becomes_a_file_with_a_text_alternative(tmp_path: Path):
    caption = new_markdown_cell("*Left: $x_1$, a **noisy** [cat](a.md).* More.")
    *_, code, figure, _ = page(figure_cell(), caption, tmp_path=tmp_path)
    assert code.outputs == []
    assert "```{image} ../figures/" in figure.source and "drawn.webp" in figure.source
    assert ":alt: Left: x1, a noisy cat.\n" in figure.source
    with Image.open(tmp_path / "drawn.webp") as picture:
        assert picture.size == (3, 2)


def test_a_figure_without_a_caption_is_named_after_its_section(tmp_path: Path):
    cells = page(new_markdown_cell("## Edges"), figure_cell(), tmp_path=tmp_path)
    assert ":alt: Figure of the section: Edges\n" in cells[-1].source


def test_an_equation_with_a_number_is_not_split(tmp_path: Path):
    text = "$$a = b$$\n\nand\n\n$$y = x \\\\ z \\tag{1}$$\n\nand $c$"
    *_, cell = page(new_markdown_cell(text), tmp_path=tmp_path)
    numbered = "\\begin{equation*}\ny = x \\\\ z \\tag{1}\n\\end{equation*}"
    assert cell.source == f"$$a = b$$\n\nand\n\n{numbered}\n\nand $c$"


def test_pictures_lose_nothing(tmp_path: Path):
    noise = Image.effect_noise((40, 30), 80).convert("RGB")
    pages.save_picture(noise, tmp_path / "noise.webp")
    with Image.open(tmp_path / "noise.webp") as saved:
        assert saved.convert("RGB").tobytes() == noise.tobytes()


def test_a_moving_picture_stands_before_the_heading_that_ends_its_cell(tmp_path: Path):
    cell = new_markdown_cell("*Caption.*\n\n### Exercise", id="see")
    *_, text, moving, heading = page(cell, tmp_path=tmp_path, moving={"see": "<p>moves</p>"})
    assert (text.source, heading.source) == ("*Caption.*\n", "### Exercise")
    assert moving.source == "```{raw} html\n<p>moves</p>\n```"


def test_a_moving_picture_without_its_place_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match="expected cells .'nowhere'."):
        page(tmp_path=tmp_path, moving={"nowhere": ""})


def test_a_lesson_that_was_not_run_is_an_error(tmp_path: Path):
    nbformat.write(new_notebook(cells=[new_code_cell("1", id="one")]), tmp_path / "a.ipynb")
    with pytest.raises(ValueError, match="expected executed cells, got one"):
        pages.read_lesson(tmp_path / "a.ipynb")


def test_the_table_of_the_readme_is_about_every_lesson_and_files_that_exist():
    table = pages.lesson_table((ROOT / "README.md").read_text(encoding="utf-8"))
    assert [row["stem"] for row in table] == [path.stem for path in LESSONS]
    reference = pages.library_files(ROOT / "n2n_lib")
    for row in table:
        assert row["files"] and set(row["files"]) <= set(reference)


def test_the_reference_has_a_page_for_every_file_that_says_something(tmp_path: Path):
    for name in (
        "framework/__init__.py",
        "framework/kernels/__init__.py",
        "framework/kernels/a.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert set(pages.library_files(tmp_path)) == {"framework/kernels/", "framework/kernels/a.py"}


def test_the_glossary_is_taken_from_the_guide():
    guide = "# Guide\n\n## Start\n\n## Symbols\n\n[a](03_a.ipynb) [b](../B.md)\n\n## Glossary\n"
    page = pages.glossary_page(guide)
    assert page.startswith("# Glossary and symbols\n\n## Symbols\n")
    assert "[a](notebooks/03_a.ipynb) [b](B.md)\n\n## Glossary" in page and "Start" not in page
    with pytest.raises(ValueError, match="expected a section"):
        pages.glossary_page("# Guide\n")


def test_a_link_to_a_guide_that_the_book_leaves_out_becomes_its_words(tmp_path: Path):
    for name in ("in.md", "out.md"):
        (tmp_path / name).touch()
    text = "[a](in.md) [b](in.md#c) [d](out.md) [e](out.md#f) [g](#h) [i](../x.md) [j](lost.md)"
    left = pages.without_links_out(text, tmp_path, ["in.md"])
    assert left == "[a](in.md) [b](in.md#c) d e [g](#h) [i](../x.md) [j](lost.md)"


def test_the_front_page_says_of_the_speed_what_the_benchmarks_say():
    benchmarks = (ROOT / "docs" / "BENCHMARKS.md").read_text(encoding="utf-8")
    every_case = benchmarks.split("## One run")[1].split("A row is the median")[0]
    factors = [float(factor) for factor in re.findall(r"([\d.]+)× as fast \|", every_case)]
    index = (ROOT / "docs" / "book" / "index.md").read_text(encoding="utf-8")
    assert len(factors) > 10
    assert f"{min(factors):.2f} to {max(factors):.2f} times as fast as PyTorch's best" in index


def test_references_have_addresses_and_none_twice():
    text = (ROOT / "docs" / "book" / "references.md").read_text(encoding="utf-8")
    entries = re.findall(r"^- .*?(?=^- |^#|\Z)", text, flags=re.M | re.S)
    named = [set(re.findall(r"\[doi:(\S+)\]", entry)) for entry in entries]
    linked = [set(re.findall(r"https://doi.org/([^)\s]+)\)", entry)) for entry in entries]
    assert named == linked, "a DOI and its address differ"
    assert len(set.union(*named)) == sum(map(len, named)) > 20
