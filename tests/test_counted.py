"""What `tools.counted` counts in a lesson."""

from __future__ import annotations

from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools.counted import count


def lesson(*cells):
    return new_notebook(cells=list(cells))


def test_questions_predictions_and_pictures():
    counts = count(
        lesson(
            new_markdown_cell(
                "## Three questions from earlier lessons\n\n1. What?\n2. Why?\n3. How?\n\n"
                "<details><summary>Answers</summary>\n\n1. That.\n2. So.\n3. Thus.\n\n</details>"
            ),
            new_code_cell("plots.play(draw, h=[1, 2])"),
            new_code_cell('check.predicted(guess, 2, "dB")'),
            new_code_cell("check.relu(relu)", metadata={"tags": ["check"]}),
            new_code_cell("draw()", metadata={"jupyter": {"source_hidden": True}}),
            new_markdown_cell(
                "**1.** Why?\n\n<details><summary>Answer</summary>\n\nSo.\n\n</details>"
            ),
            new_markdown_cell("**Time:** about 60 minutes, none of them computing."),
        )
    )
    assert (counts.recall, counts.predictions, counts.moving, counts.exercises) == (3, 1, 1, 1)
    assert counts.said == "about 60 minutes, none of them computing"
    assert counts.minutes == counts.words / 200 + 3 * 1 + 7 + 2


def test_sentences_formulas_and_code():
    text = (
        "# A title is no sentence\n\nThe noise is zero on average. It is $a < b$ here, and "
        "`x.y. Z` is one word of seven.\n\n| symbol | what |\n|---|---|\n| $a$, $b$ | both |\n"
        "| $a$ | again |\n\n```\nNot. This. Code.\n```\n"
    )
    counts = count(lesson(new_markdown_cell(text)))
    assert counts.sentences == 2
    assert counts.short == 1
    assert counts.words == 6 + 11
    assert counts.twice == ("a",)
