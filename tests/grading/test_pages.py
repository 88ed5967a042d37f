"""The pages of feedback, and the page on the class."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import html5lib
import pytest
from jinja2 import Environment

from n2n_lib.course.grading.grades import Grade, Mark, Piece
from n2n_lib.course.grading.written import pages
from n2n_lib.course.grading.written.pages import page_names, write_class_page, write_feedback

EVIL = "</pre></style><script>alert(1)</script>\"'{{ 7 * 7 }}"
WHEN = datetime(2026, 11, 7, 9, 5)


def page(path: Path) -> Element:
    """Return a page that is valid HTML and refers to nothing outside."""
    text = path.read_text(encoding="utf-8")
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    tree = parser.parse(text)
    assert parser.errors == []
    assert not tree.findall(".//script")
    assert "url(" not in text and "@import" not in text
    for element in tree.iter():
        assert not {"src", "srcset", "data", "action", "onclick"} & element.attrib.keys()
        assert re.match(r"#|\./[^/]+\.html(#|$)|$", element.get("href", "")), element.get("href")
    return tree


def feedback(tmp_path: Path, done: Grade, **options) -> Element:
    return page(write_feedback(tmp_path / "page.html", done, **options))


def text_of(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def code_of(tree: Element) -> list[str]:
    """Return the pieces of code on a page."""
    return [
        "\n".join("".join(line.itertext()) for line in code.findall("span"))
        for code in tree.iterfind(".//code")
    ]


def test_a_page_shows_everything_as_text(tmp_path: Path):
    mark = Mark(
        0, 1, "wrong", EVIL, EVIL, EVIL, [Piece("exercise", 0, 1, EVIL)], [f"see {EVIL}"], EVIL
    )
    done = Grade(EVIL, "", {"03/x": mark}, [EVIL], comment=EVIL)
    tree = feedback(tmp_path, done)
    assert "".join(tree.itertext()).count(EVIL) == 11
    tree = page(write_class_page(tmp_path / "index.html", [done], [EVIL]))
    assert "".join(tree.itertext()).count(EVIL) == 6


def test_a_template_is_compiled_once_for_a_class(tmp_path: Path, monkeypatch):
    compiled, compile = [], Environment.compile

    def spy(environment: Environment, source: str, *arguments, **named):
        compiled.append(source)
        return compile(environment, source, *arguments, **named)

    monkeypatch.setattr(Environment, "compile", spy)
    pages._templates.cache_clear()
    for name in ("ann", "bob", "cem"):
        write_feedback(tmp_path / f"{name}.html", Grade(name, "", {}))
    assert compiled and len(compiled) == len(set(compiled))


def test_every_piece_that_ran_is_on_the_page_in_order(tmp_path: Path):
    long = "\n".join(f"value_{n} = {n}" for n in range(5000))
    pieces = [
        Piece("lesson", 0, 1, "import torch"),
        Piece("yours", 4, 7, "def helper(x):\n\n    return x", place=3),
        Piece("lesson", 1, 1, "size = 3"),
        Piece("exercise", 5, 2, long, place=4),
        Piece("yours", 6, 1, "answer = lambda x: helper(x)", place=5),
    ]
    tree = feedback(tmp_path, Grade("ann", "", {"03/x": Mark(1, 1, "right", pieces=pieces)}))
    assert code_of(tree) == [piece.source for piece in pieces]
    starts = [code.get("style") for code in tree.iterfind(".//code")]
    assert starts[1] == "counter-reset: line 6"
    places = [text_of(each) for each in tree.iterfind(".//p[@class='from']")]
    assert places == [
        "Your other cells that it uses, cell 3",
        "Your answer, cell 4",
        "Your other cells that it uses, cell 5",
    ]
    folded = [text_of(each.find("summary")) for each in tree.iterfind(".//details//details")]
    assert folded == ["From the lesson"] * 2


@pytest.mark.parametrize(
    "character", ["\u202e", "\u200b", "\u2066", "\x1b", "\x00", "\ud800", "\u3164", "\u00a0", "\r"]
)
def test_what_cannot_be_seen_is_an_escape(tmp_path: Path, character: str):
    escape = character.encode("unicode_escape", "surrogatepass").decode()
    piece = Piece("exercise", 0, 1, f"a{character}b")
    done = Grade(f"a{character}b", "", {"03/x": Mark(0, 1, "wrong", pieces=[piece])})
    tree = feedback(tmp_path, done)
    assert code_of(tree) == [f"a{escape}b"]
    assert text_of(tree.find(".//h1")) == f"a{escape}b"
    assert [mark.text for mark in tree.iterfind(".//mark")] == [escape] * 2


def test_names_that_need_joining_characters_are_left_as_they_are(tmp_path: Path):
    name = "\u0645\u06cc\u200c\u062e"
    assert feedback(tmp_path, Grade(name, "", {})).find(".//h1").text == name


def test_what_the_instructor_changed(tmp_path: Path):
    marks = {
        "03/x": Mark(3, 4, "wrong", "Convolution", graded=0, comment="nearly"),
        "03/y": Mark(1, 1, "right", "Size", remarks=["look here"]),
        "04/z": Mark(0, 2, "missing", "Upsampling"),
        "04/w": Mark(0, 3, "missing", "Backward"),
    }
    done = Grade("ann", "", marks, adjustment=-2, comment="two days late")
    tree = feedback(tmp_path, done, when=WHEN)
    text = text_of(tree.find("body"))
    assert text.startswith("ann 2 of 10 points Graded on 7 November 2026, 09:05")
    assert "−2 points: two days late" in text
    assert "3 points, graded 0: nearly" in text
    rows = [text_of(row) for row in tree.iterfind(".//tbody/tr")]
    assert rows[1] == "Convolution Wrong, changed 3 of 4"
    assert len(rows) == 4 and rows[3].endswith("Not handed in 0 of 5")
    sections = {each.get("id"): text_of(each) for each in tree.iterfind(".//section")}
    assert sections.keys() == {"03/x", "03/y"}
    assert "look here" in sections["03/y"] and "look here" not in sections["03/x"]


def test_right_answers_are_folded_and_others_open(tmp_path: Path):
    piece = Piece("exercise", 0, 1, "x = 1")
    marks = {
        "03/r": Mark(1, 1, "right", pieces=[piece]),
        "03/w": Mark(0, 1, "wrong", pieces=[piece]),
    }
    tree = feedback(tmp_path, Grade("ann", "", marks))
    assert [each.get("open") for each in tree.iterfind(".//details")] == [None, ""]


def a_class() -> list[Grade]:
    def done(name: str, x: Mark, y: Mark, **options) -> Grade:
        return Grade(name, "", {"03/x": x, "03/y": y}, **options)

    wrong = "Wrong shape: expected 3. Look at the padding."
    unsure = Mark(0, 1, "no result", "Size", "It did not finish.", unsure=True)
    return [
        done("Ann", Mark(4, 4, "right", "Convolution"), Mark(1, 1, "right", "Size")),
        done("Bob", Mark(0, 4, "wrong", "Convolution", wrong), unsure),
        done("Cy", Mark(1, 4, "wrong", "Convolution", wrong, graded=0), Mark(1, 1, "right")),
        done("Di", Mark(0, 4, "not written", "Convolution", "Not yet."), Mark(0, 1, "missing")),
        done("Ed", Mark(0, 4, "missing"), Mark(0, 1, "missing"), handed_in=False),
    ]


def test_the_page_on_the_class(tmp_path: Path):
    tree = page(write_class_page(tmp_path / "index.html", a_class(), ["stray.txt"], WHEN))
    headings = [text_of(each) for each in tree.iterfind(".//h2")]
    assert headings[:3] == ["0 points, look at it", "Handed in nothing", "Not recognised"]
    first, absent, unknown = tree.findall(".//main/ul")
    assert [each.get("href") for each in first.iterfind(".//a")] == ["./Bob.html#03/y"]
    assert text_of(first) == "Bob, Size: It did not finish."
    assert (text_of(absent), text_of(unknown)) == ("Ed", "stray.txt")
    bars, students, exercises = tree.findall(".//tbody")
    assert [int(row[2].text) for row in bars] == [2, 0, 0, 0, 1, 0, 0, 0, 0, 1]  # 0, 0, 2, 5 of 5
    assert [text_of(row[1]) for row in students] == [f"{n} of 5" for n in (5, 0, 2, 0, 0)]
    rows = [[text_of(cell) for cell in row] for row in exercises]
    assert rows[0][1:] == ["25 %", "75 %", "1.25 of 4", "2 × Wrong shape: expected 3. 1 × Not yet."]
    assert rows[1][1:] == ["50 %", "75 %", "0.5 of 1", "1 × It did not finish."]


def test_a_class_of_nobody(tmp_path: Path):
    text = text_of(page(write_class_page(tmp_path / "index.html", [])).find("body"))
    assert text.startswith("The class 0 students, 0 handed in")


NAMES = ["ann", "Ann", "Jos\u00e9", "Jose\u0301", "index", "../x", "con", "javascript:x", "x" * 999]


def test_every_student_has_a_page_that_the_class_links_to(tmp_path: Path):
    grades = [Grade(name, "", {"03/x": Mark(1, 1, "right")}) for name in NAMES]
    names = page_names(grades)
    for grade in grades:
        write_feedback(tmp_path / names[grade.student], grade)
    tree = page(write_class_page(tmp_path / "index.html", grades))
    links = {text_of(each): unquote(each.get("href")) for each in tree.iterfind(".//tbody//a")}
    assert links.keys() == set(NAMES)
    for name, link in links.items():
        assert text_of(page(tmp_path / link).find(".//h1")) == name
    assert len({name.casefold() for name in names.values()} - {"index.html"}) == len(NAMES)


def test_on_a_narrow_screen_remarks_stand_below_their_row(tmp_path: Path):
    marks = {"03/x": Mark(0, 1, "wrong", message="Transposed.")}
    grades = [Grade("ann", "", marks, ["cut short"]), Grade("bob", "", marks)]
    tree = page(write_class_page(tmp_path / "index.html", grades))
    wide = [table for table in tree.iterfind(".//table") if "wide" in table.get("class", "")]
    heads = [[text_of(each) for each in table.iterfind(".//th[@class='notes']")] for table in wide]
    assert heads == [["Remarks"], ["Most common messages"]]
    notes = [[text_of(each) for each in t.iterfind(".//td[@class='notes']")] for t in wide]
    assert notes[0][0] == "cut short" and notes[1] == ["2 \u00d7 Transposed."]
    assert not list(wide[0].findall(".//td[@class='notes']")[1])  # an empty one takes no line
    style = "".join(each.text for each in tree.iterfind(".//style"))
    narrow = style.partition("@media screen and (max-width")[2]
    assert ".notes { grid-column: 1 / -1;" in narrow and ".notes:empty" in narrow
