"""The finished book in a browser: links, weight, search, themes, keyboard, accessibility.

Run by ``make book-check``, which builds both editions first; too slow for ``make test``.
"""

from __future__ import annotations

import functools
import http.server
import re
import shutil
import threading
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote, urldefrag, urlsplit

import html5lib
import nbformat
import pages
import pytest

from n2n_lib.course.notebooks import find_lessons

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "build" / "book"
STUDENT = ROOT / "build" / "book-student"
if not BOOK.is_dir() or not STUDENT.is_dir():
    pytest.skip("needs build/book and build/book-student: make book-check", allow_module_level=True)

sync_api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
with_browser = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)}")

PAGES = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
LESSONS = find_lessons(ROOT / "notebooks")
PAGE_OF = {pages.topic_of(path): f"notebooks/{path.stem}.html" for path in LESSONS}
"""The page of the lesson on a topic."""

LARGEST = 2_000_000
"""Bytes of a page with its figures."""


class Page(HTMLParser):
    """The addresses, anchors and pictures of a page."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.pictures: list[dict] = []
        self.feed((BOOK / name).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take from a tag what the tests ask for."""
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("img", "script", "source") and found.get("src"):
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads.append(found["href"])
        if tag == "img":
            self.pictures.append(found)


@functools.cache
def parsed(name: str) -> Page:
    return Page(name)


def target_of(page: str, address: str) -> tuple[Path, str]:
    path, anchor = urldefrag(address)
    path = unquote(urlsplit(path).path)
    return (BOOK / page).parent.joinpath(path).resolve() if path else BOOK / page, unquote(anchor)


# ------------------------------------------------------------------------------ without a browser


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page: str):
    for address in parsed(page).links + parsed(page).loads:
        if re.match(r"https?:|mailto:|data:", address):
            continue
        path, anchor = target_of(page, address)
        assert path.is_file(), address
        if anchor and path.suffix == ".html":
            assert anchor in parsed(path.relative_to(BOOK).as_posix()).ids, address


@pytest.mark.parametrize("page", PAGES)
def test_html_is_valid(page: str):
    """As the standard's own algorithm reads it: no tag is opened, closed or nested wrongly."""
    html = html5lib.HTMLParser()
    html.parse((BOOK / page).read_text(encoding="utf-8"))
    assert html.errors == []


@pytest.mark.parametrize("page", PAGES)
def test_nothing_is_loaded_from_elsewhere_and_ids_are_unique(page: str):
    assert not [address for address in parsed(page).loads if re.match(r"(https?:)?//", address)]
    assert len(parsed(page).ids) == len(set(parsed(page).ids))


@pytest.mark.parametrize("page", PAGES)
def test_every_picture_has_a_text_alternative(page: str):
    assert all(picture.get("alt") for picture in parsed(page).pictures)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_is_heavy(page: str):
    sources = {picture["src"] for picture in parsed(page).pictures}
    files = [source for source in sources if not source.startswith("data:")]  # those are the page
    figures = {target_of(page, source)[0] for source in files}
    assert (BOOK / page).stat().st_size + sum(f.stat().st_size for f in figures) <= LARGEST


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_exercises_are_folded_away(lesson: Path):
    page = (BOOK / "notebooks" / f"{lesson.stem}.html").read_text(encoding="utf-8")
    cells = nbformat.read(lesson, as_version=4).cells
    exercises = sum(bool(pages.REGION.search(cell.source)) for cell in cells)
    assert page.count("A solution</") + page.count(">A solution") >= exercises
    assert "<details open" not in page and "SOLUTION" not in page


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_students_book_holds_no_solution(lesson: Path):
    page = (STUDENT / "notebooks" / f"{lesson.stem}.html").read_text(encoding="utf-8")
    text = unescape(re.sub(r"<[^>]*>", "", page))
    (download,) = STUDENT.glob(f"_downloads/*/{lesson.name}")
    text += "\n".join(cell.source for cell in nbformat.read(download, as_version=4).cells)
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", text)
    for cell in nbformat.read(lesson, as_version=4).cells:
        for found in pages.REGION.finditer(cell.source):
            solution = dedent(found[0]).strip().splitlines()[1:-1]
            assert "\n".join(line.strip() for line in solution) not in text, cell["id"]
        for found in pages.ANSWER.finditer(cell.source):
            answer = max(found[0].splitlines(), key=len)
            assert answer not in text, cell["id"]


# --------------------------------------------------------------------------------- in the browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A file server that says nothing."""

    def log_message(self, *arguments: object) -> None:
        """Write no line for every request."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(BOOK))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser) -> Iterator:
    tab = browser.new_page()
    yield tab
    tab.close()


def open_page(tab, address: str) -> None:
    """Open a page and wait until its equations are set."""
    tab.goto(address)
    tab.wait_for_function(
        "!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => 1)"
    )


@with_browser
@pytest.mark.parametrize("page", PAGES)
def test_page_opens_without_an_error_and_without_the_network(tab, site: str, page: str):
    problems: list[str] = []
    tab.on("console", lambda message: message.type == "error" and problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda r: r.url.startswith((site, "data:")) or problems.append(r.url))
    tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
    open_page(tab, site + page)
    tab.evaluate("document.querySelectorAll('img').forEach(img => img.loading = 'eager')")
    tab.wait_for_load_state("networkidle")
    assert not problems
    assert tab.locator("mjx-merror").count() == 0


@with_browser
@pytest.mark.parametrize("page", PAGES)
def test_page_fits_on_a_phone(tab, site: str, page: str):
    tab.set_viewport_size({"width": 375, "height": 800})
    open_page(tab, site + page)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 375


@with_browser
def test_numbers_and_short_code_stay_on_one_line(tab, site: str):
    tab.set_viewport_size({"width": 375, "height": 800})
    open_page(tab, f"{site}index.html")
    assert tab.get_by_text("U-Net (1\N{NO-BREAK SPACE}732\N{NO-BREAK SPACE}675").count() == 1
    option = tab.get_by_text("--network report-3x3")
    assert option.evaluate("option => option.getClientRects().length") == 1


EXCEPT_FORMULAS = {"exclude": [["th:has(mjx-container)"]]}
"""axe takes a heading that is one formula for empty: it does not see MathJax's hidden MathML."""


@with_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_page_is_accessible(tab, site: str, page: str, theme: str):
    tab.emulate_media(color_scheme=theme)
    open_page(tab, site + page.replace("search.html", "search.html?q=adjoint"))
    violations = axe.Axe().run(tab, context=EXCEPT_FORMULAS).response["violations"]
    found = [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in violations]
    assert not found


@with_browser
@pytest.mark.parametrize(
    "word, topic", [("adjoint", "convolution"), ("checkerboard", "transposed_convolution")]
)
def test_search_finds(tab, site: str, word: str, topic: str):
    tab.goto(f"{site}search.html?q={word}")
    tab.wait_for_selector(f"#search-results a[href*='{PAGE_OF[topic]}']")


@with_browser
def test_dark_mode_switches_and_figures_stay_on_white(tab, site: str):
    tab.emulate_media(color_scheme="light")
    open_page(tab, site + PAGE_OF["convolution"])
    background = "getComputedStyle(document.body).backgroundColor"
    before, seen = tab.evaluate(background), set()
    for _ in range(3):  # automatic, light, dark
        tab.locator(".theme-toggle:visible").first.click()
        seen.add(tab.evaluate(background))
        for selector in ("article img", ".frames-stage"):
            colour = f"getComputedStyle(document.querySelector('{selector}')).backgroundColor"
            assert tab.evaluate(colour) == "rgb(255, 255, 255)"
    assert before in seen and len(seen) == 2


def count(page: str, figure: str) -> int:
    """Count the figures of a kind on a page, as it was built."""
    return (BOOK / page).read_text(encoding="utf-8").count(f'class="{figure}"')


SLIDERS = [page for page in PAGES if count(page, "compare")]
FRAMES = {page: number for page in PAGES if (number := count(page, "frame"))}


def test_pages_with_moving_pictures():
    assert set(SLIDERS) == {"index.html", PAGE_OF["unet"]}
    assert set(FRAMES) == {PAGE_OF[topic] for topic in ("convolution", "training", "speed")}
    assert all(number > 1 for number in FRAMES.values())


@with_browser
@pytest.mark.parametrize("page", SLIDERS)
def test_slider_moves_by_mouse_and_keyboard(tab, site: str, page: str):
    open_page(tab, site + page)
    stage, handle = tab.locator(".compare-stage"), tab.locator(".compare-stage input")
    stage.scroll_into_view_if_needed()
    share = "getComputedStyle(document.querySelector('.compare-stage .before')).clipPath"
    start = tab.evaluate(share)
    handle.press("ArrowRight")
    assert handle.input_value() == "51" and tab.evaluate(share) != start
    box = stage.bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 5, middle, steps=5)
    tab.mouse.up()
    assert int(handle.input_value()) < 30


@with_browser
def test_the_notebooks_own_slider_uncovers_a_picture(tab, site: str):
    open_page(tab, site + PAGE_OF["unet"])
    figure = tab.locator("figure.n2n-before-after").first
    left, right = figure.locator("img").all()
    assert left.bounding_box() == right.bounding_box()  # one lies over the other
    clip = "image => getComputedStyle(image).clipPath"
    start, handle = left.evaluate(clip), figure.locator("input")
    handle.press("ArrowRight")
    assert handle.input_value() == "51" and left.evaluate(clip) != start
    assert figure.locator(".n2n-still:visible").count() == 0


@with_browser
def test_without_scripts_the_notebooks_own_pictures_stand_side_by_side(browser, site: str):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(site + PAGE_OF["unet"])
    left, right = (
        each.bounding_box()
        for each in tab.locator("figure.n2n-before-after").first.locator("img").all()
    )
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    context.close()


@with_browser
@pytest.mark.parametrize("page, number", FRAMES.items())
def test_frames_move_by_keyboard(tab, site: str, page: str, number: int):
    open_page(tab, site + page)
    control, seen = tab.locator(".frames input"), set()
    control.press("Home")
    for _ in range(number):
        shown = tab.locator(".frame:visible")
        assert shown.count() == 1
        seen.add(shown.inner_html())
        assert control.get_attribute("aria-valuetext") == shown.locator("p").inner_text()
        control.press("ArrowRight")
    assert len(seen) == number


@with_browser
@pytest.mark.parametrize("page", [*FRAMES, PAGE_OF["unet"]])
def test_without_scripts_a_still_frame_is_left(browser, site: str, page: str):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(site + page)
    figures = tab.locator("figure.frames, figure.compare")
    assert figures.count() >= 1
    assert tab.locator(".frame:visible").count() == tab.locator("figure.frames").count()
    assert tab.locator("figure input:visible").count() == 0
    context.close()


@with_browser
def test_the_book_opens_from_a_folder(tab):
    problems: list[str] = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda r: r.url.startswith(("file:", "data:")) or problems.append(r.url))
    open_page(tab, (BOOK / PAGE_OF["convolution"]).as_uri())
    assert tab.locator("mjx-container").count() > 50
    assert not problems
