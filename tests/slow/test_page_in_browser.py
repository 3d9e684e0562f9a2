"""The report's page as a person uses it, in a real Chromium, opened from a file."""

from __future__ import annotations

import re
import shutil
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_factories import EVIL, make_chart, make_page, make_runs, page_of

from bnn_ablate.report.grid import Column, Entry, Grid, Page, Section
from bnn_ablate.report.site.page import to_html

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[test]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is on PATH")

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
RUNS = make_runs({"c": 9.5, "missing": None, "a": 88.04, "b": 88.01, "d": 100.0})
#: The same in the order of accuracy: "9.5" before "100.0", and what has none last.
BY_ACCURACY = ["c", "b", "a", "d", "missing"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Opener:
    """Opens pages from files; ``wrong`` collects what the console says and whatever is asked of anybody."""

    def __init__(self, chromium: Any, folder: Path) -> None:
        self._chromium, self._folder = chromium, folder
        self.wrong: list[str] = []
        self.contexts: list[Any] = []

    def __call__(self, page: Page, address: str = "", **options: Any) -> Any:
        file = self._folder / "index.html"
        file.write_text(to_html(page), encoding="utf-8")
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        self.contexts.append(self._chromium.new_context(**options))
        opened = self.contexts[-1].new_page()
        opened.on("console", lambda message: self.wrong.append(message.text))
        opened.on("pageerror", lambda error: self.wrong.append(str(error)))
        opened.on("request", lambda request: self._asked(request.url, file.as_uri()))
        opened.goto(file.as_uri() + address)
        return opened

    def _asked(self, url: str, own: str) -> None:
        if not url.startswith("data:") and url.partition("#")[0] != own:
            self.wrong.append(url)


@pytest.fixture
def opened(chromium, tmp_path) -> Iterator[Opener]:
    opener = Opener(chromium, tmp_path)
    yield opener
    for context in opener.contexts:
        context.close()
    assert opener.wrong == []


def names(page: Any, grid: str = "runs") -> list[str]:
    """The run of each row that is seen, from above."""
    rows = page.locator(f".grid[data-name='{grid}'] tbody tr:not(.opened) > th")
    return [text.strip() for text in rows.all_inner_texts() if text]


def head(page: Any, key: str) -> Any:
    return page.locator(f".grid[data-name='runs'] th[data-key='{key}']")


def pick(page: Any, key: str, value: str) -> None:
    """Open an axis of the filter and tick a value."""
    page.click(f".facet[data-key='{key}'] summary")
    page.check(f".facet[data-key='{key}'] input[value='{value}']")
    page.keyboard.press("Escape")


def test_nothing_that_a_record_says_is_run(opened):
    page = opened(page_of(lambda place: EVIL + place), "#?q=%3Cscript%3E&f.x=%3Cscript%3E&s.%3Cscript%3E=x")
    assert page.evaluate("window.executed") is None
    assert page.locator("img").count() == 1
    page = opened(make_page(make_runs({EVIL: 1.0})))
    page.locator("td.d summary").click()
    assert names(page) == [EVIL]
    assert page.evaluate("window.executed") is None


def test_charts_are_drawn(opened):
    page = opened(make_page(RUNS, charts=(make_chart(),)))
    assert page.evaluate("document.querySelector('img').naturalWidth") > 0


def test_a_click_sorts_by_value_and_puts_missing_last_both_ways(opened):
    page = opened(make_page(RUNS))
    button = head(page, "top1").get_by_role("button")
    button.click()
    assert names(page) == BY_ACCURACY
    assert head(page, "top1").get_attribute("aria-sort") == "ascending"
    button.click()
    assert names(page) == [*reversed(BY_ACCURACY[:-1]), "missing"]
    assert head(page, "top1").get_attribute("aria-sort") == "descending"
    button.click()
    assert names(page) == ["c", "missing", "a", "b", "d"]
    assert head(page, "top1").get_attribute("aria-sort") is None


def test_a_key_sorts_by_words(opened):
    page = opened(make_page(RUNS))
    head(page, "run_id").get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert names(page) == ["a", "b", "c", "d", "missing"]
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert head(page, "scaling").get_attribute("aria-sort") == "ascending"
    assert head(page, "run_id").get_attribute("aria-sort") is None
    assert names(page) == ["missing", "b", "c", "a", "d"]


def test_details_open_by_key_and_stay_below_their_row(opened):
    page = opened(make_page(RUNS))
    page.get_by_label("Details of a", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("tr.opened")
    head(page, "top1").get_by_role("button").click()
    below = page.evaluate("document.querySelector('tr.opened').previousElementSibling.cells[1].innerText")
    assert below == "a"
    opened_text = page.locator("tr.opened").inner_text()
    assert opened_text.split() == ["seed", "2", "Shared", "by", "all", "rows", "data.name", "digits"]
    page.get_by_label("Details of a", exact=True).click()
    page.wait_for_selector("tr.opened", state="detached")


def test_the_filter_reaches_every_table_that_has_the_axis(opened):
    other = make_runs({"x": 1.0, "y": 2.0}, name="cells")
    page = opened(make_page(RUNS, other, broad_grid()))
    pick(page, "scaling", "channel")
    assert page.locator(".grid[data-name='broad'] tbody tr").count() == 3
    assert names(page) == ["missing", "b"]
    assert names(page, "cells") == ["y"]
    assert page.locator(".grid[data-name='claims'] tbody tr").count() == 2
    assert page.locator("#filter-status").inner_text() == "6 of 10 rows in 3 tables"
    assert "2 of 5 rows match the filter." in page.locator(".grid[data-name='runs'] .status").inner_text()
    pick(page, "seed", "3")
    assert names(page) == ["b"]
    page.get_by_role("button", name="Clear").click()
    assert len(names(page)) == 5
    assert "#" not in page.url.rstrip("#")


def test_words_find_rows_also_by_what_opens_below_them(opened):
    grid = replace(RUNS, details=tuple({"host": f"node{place}", "data.name": "digits"} for place in range(5)))
    page = opened(make_page(grid))
    page.get_by_label("Search rows").fill("NODE2 digits")
    page.get_by_text("1 of 5 rows match the filter.").wait_for()
    assert names(page) == ["a"]


def test_the_address_holds_the_view(opened):
    page = opened(make_page(RUNS))
    pick(page, "scaling", "none")
    head(page, "top1").get_by_role("button").click()
    page.get_by_label("Contents").get_by_role("link", name="Figures").click()
    page.wait_for_url(re.compile(r"#figures\?"))
    address = page.url.partition("#")[2]
    again = opened(make_page(RUNS), f"#{address}")
    assert names(again) == names(page) == ["c", "a", "d"]
    assert head(again, "top1").get_attribute("aria-sort") == "ascending"
    assert again.locator(".facet[data-key='scaling'] input[value='none']").is_checked()
    again.evaluate("location.hash = '?f.scaling=channel'")
    again.locator("#filter-status", has_text="2 of 5 rows in 1 table").wait_for()
    assert names(again) == ["missing", "b"]


def test_a_long_table_shows_a_part_and_finds_all_of_it(opened):
    page = opened(make_page(make_runs({f"run{number}": float(number) for number in range(450)})))
    assert len(names(page)) == 200
    page.get_by_role("button", name="Show 200 more").click()
    assert len(names(page)) == 400
    head(page, "top1").get_by_role("button").dblclick()
    assert names(page)[:2] == ["run449", "run448"]
    page.get_by_label("Search rows").fill("run44")
    page.get_by_text("11 of 450 rows match the filter.").wait_for()
    assert len(names(page)) == 11


def broad_grid() -> Grid:
    """Fourteen columns that can be filtered by, of which every second may be left out."""
    columns = tuple(
        Column(title=f"title {place}", key=f"axis{place}", filtered=True, wide=place % 2 == 1) for place in range(14)
    )
    return Grid(
        name="broad",
        title="B",
        columns=columns,
        rows=tuple(tuple(Entry(text=f"{text} letter") for _ in columns) for text in "abc"),
    )


def test_columns_that_a_table_leaves_out_come_with_a_key(opened):
    page = opened(make_page(broad_grid()))
    heads = page.locator(".grid[data-name='broad'] thead th:visible")
    assert heads.count() == 7
    page.get_by_role("button", name="7 more columns").focus()
    page.keyboard.press("Enter")
    assert heads.count() == 14
    page.get_by_role("button", name="Fewer columns").click()
    assert heads.count() == 7
    assert not page.locator(".left-out").is_visible()
    page.emulate_media(media="print")
    assert heads.count() == 7
    assert page.locator(".left-out").is_visible()


def folded_page() -> Page:
    """A table inside of a folded section, a long one before it, and a figure that leads to how it is read."""
    page = make_page(make_runs({f"run{number}": float(number) for number in range(60)}), charts=(make_chart(),))
    deeper = Section(anchor="deeper", title="Deeper", parts=(make_runs({"a": 1.0}, name="inner"),), folded=True)
    folded = Section(anchor="more", title="More", parts=(deeper,), folded=True)
    reading = Section(anchor="reading-curves", title="Curves", text=("Thin lines are seeds.",), folded=True)
    return replace(page, sections=(*page.sections, folded, reading))


def test_what_is_folded_opens_for_a_person_for_an_address_and_for_a_link(opened):
    inner = ".grid[data-name='inner'] table"
    page = opened(folded_page())
    assert not page.locator(inner).is_visible()
    page.get_by_text("More", exact=True).click()
    page.get_by_text("Deeper", exact=True).click()
    assert page.locator(inner).is_visible()
    assert not page.get_by_text("Thin lines are seeds.").is_visible()
    page.get_by_role("link", name="How to read it").click()
    page.get_by_text("Thin lines are seeds.").wait_for(state="visible")
    again = opened(folded_page(), "#table-inner")
    again.locator(inner).wait_for(state="visible")
    assert again.locator("#table-inner").evaluate("(element) => element.getBoundingClientRect().top") < 800


def test_paper_shows_what_is_folded_and_the_screen_has_it_as_before(opened):
    page = opened(folded_page())
    page.evaluate(
        "addEventListener('beforeprint', () => { window.open_ = document.querySelectorAll('.fold[open]').length })"
    )
    page.pdf()
    assert page.evaluate("window.open_") == 3
    assert page.locator(".fold[open]").count() == 0


def test_a_table_that_goes_on_at_a_side_has_a_shadow_there(opened):
    page = opened(make_page(broad_grid(), make_runs({"a": 1.0})))
    page.get_by_role("button", name="7 more columns").click()

    def edges(grid: str) -> tuple[bool, bool]:
        """Whether the outermost pixels of a table's left and right edge, between two rows, are darker than the page."""
        box = page.locator(f".grid[data-name='{grid}'] .scroll")
        image = box.screenshot()
        return page.evaluate(
            """async (data) => {
                const image = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
                const size = [image.width, image.height];
                const canvas = new OffscreenCanvas(...size).getContext("2d", { willReadFrequently: true });
                canvas.drawImage(image, 0, 0);
                const at = (x) => canvas.getImageData(x, image.height - 8, 1, 1).data[0];
                return [at(1) < 235, at(image.width - 2) < 235];
            }""",
            b64encode(image).decode(),
        )

    assert edges("broad") == [False, True]
    page.locator(".grid[data-name='broad'] .scroll").evaluate("(element) => element.scrollBy(60, 0)")
    assert edges("broad") == [True, True]
    page.locator(".grid[data-name='broad'] .scroll").evaluate("(element) => element.scrollBy(9999, 0)")
    assert edges("broad") == [True, False]
    assert edges("runs") == [False, False]


def test_a_table_of_long_texts_wraps_them_and_stays_within_a_screen(opened):
    columns = [Column(title=title, key=title) for title in ("claim", "contrast", "verdict", "scope", "study")]
    texts = (
        "1. Scaling factors",
        "words " * 20,
        "holds",
        "CIFAR-10, " * 12,
        "a_study_with_a_name_of_many_letters_" * 2,
    )
    columns += [Column(title=f"n{number}", key=f"n{number}", numeric=True) for number in range(3)]
    row = (*(Entry(text=text) for text in texts), *(Entry(text="+1.25", value=1.25) for _ in range(3)))
    page = opened(make_page(Grid(name="long", title="L", columns=tuple(columns), rows=(row,))))
    box = page.locator(".grid[data-name='long'] .scroll")
    assert box.evaluate("(element) => element.scrollWidth - element.clientWidth") == 0


def test_axes_that_are_not_in_sight_open_and_say_that_they_are_set(opened):
    page = opened(make_page(broad_grid()))
    more = page.locator(".others > summary")
    more.click()
    page.click(".facet[data-key='axis12'] summary")
    page.check(".facet[data-key='axis12'] input[value='b letter']")
    assert page.locator(".grid[data-name='broad'] tbody tr").count() == 1
    page.keyboard.press("Escape")
    assert page.locator(".facet[data-key='axis12'] summary").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator(".facet[data-key='axis12'] summary").is_visible()
    assert "1 set" in more.inner_text()


def test_what_an_entry_says_more_opens_by_key(opened):
    page = opened(make_page())
    page.locator("details.m summary").focus()
    assert not page.get_by_text("inside the margin").is_visible()
    page.keyboard.press("Enter")
    assert page.get_by_text("inside the margin").is_visible()


def test_the_first_key_leads_past_the_contents(opened):
    page = opened(make_page(RUNS))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_without_scripts_all_of_it_is_readable_and_nothing_is_dead(opened):
    runs = make_runs({f"run{number}": float(number) for number in range(250)})
    page = opened(make_page(runs), java_script_enabled=False)
    assert page.locator("tbody th:visible").count() == 250 + 2
    assert page.locator("button:visible, input:visible").count() == 0
    page.get_by_label("Details of run7", exact=True).click()
    assert page.get_by_text("seed\t7", exact=True).is_visible()


def test_it_is_dark_where_a_person_likes_it_dark_and_charts_stay_light(opened):
    for scheme, dark in (("light", False), ("dark", True)):
        page = opened(make_page(RUNS, charts=(make_chart(),)), color_scheme=scheme)
        colours = page.evaluate(
            "['body', 'img'].map((name) => getComputedStyle(document.querySelector(name)).backgroundColor)"
        )
        ground = [int(part) for part in colours[0].strip("rgb()").split(",")]
        assert (max(ground) < 60) is dark
        assert colours[1] == "rgb(255, 255, 255)"


def test_a_narrow_screen_scrolls_tables_and_not_the_page(opened):
    broad = make_runs({"a-run-with-a-very-long-name-" * 3: 1.0, "b": 2.0})
    broad = replace(broad, above="x" * 300, rows=tuple((*row[:3], Entry(text="9" * 60)) for row in broad.rows))
    page = opened(make_page(broad, charts=(make_chart(),)), viewport={"width": 375, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    box = page.locator(".grid[data-name='runs'] .scroll")
    assert box.evaluate("(element) => element.scrollWidth > element.clientWidth")
    pick(page, "scaling", "none")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_it_prints_without_controls_and_with_whole_tables(opened):
    page = opened(make_page(make_runs({f"run{number}": 1.0 for number in range(60)}), charts=(make_chart(),)))
    pick(page, "scaling", "none")
    page.emulate_media(media="print")
    assert page.locator("nav:visible, #filter:visible, .skip:visible, td.d:visible").count() == 0
    assert "30 of 60 rows match the filter." in page.locator(".status:visible").inner_text()
    box = page.locator(".grid[data-name='runs'] .scroll")
    assert box.evaluate("(element) => element.scrollHeight <= element.clientHeight + 4")
    # or the head would stand on the first page only
    assert (
        head(page, "top1").get_by_role("button").evaluate("(button) => getComputedStyle(button).display") == "contents"
    )
    target = page.locator("tbody th a").first.evaluate("(link) => getComputedStyle(link, '::after').content")
    assert "../runs/0/" in target
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
