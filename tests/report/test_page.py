"""The report's page as text: everything is there, nothing is loaded, and no text becomes markup."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from urllib.parse import unquote, unquote_to_bytes

import pytest
from page_factories import EVIL, SVG, Outline, make_chart, make_claims, make_page, make_runs, page_of

import bnn_ablate.report.site
from bnn_ablate.report.grid import Column, Entry, Grid, Page, Section
from bnn_ablate.report.site.page import FIRST, LONG, filters, to_html

SITE = Path(bnn_ablate.report.site.__file__).parent
RUNS = make_runs({"a1": 91.25, "b2": None, "c3": 88.0})


def outline(page: Page) -> Outline:
    return Outline(to_html(page))


def grid_of(*entries: Entry, numeric: bool = False) -> Grid:
    """One column with these entries."""
    return Grid(
        name="g", title="G", columns=(Column(title="x", key="x", numeric=numeric),), rows=tuple((e,) for e in entries)
    )


def cells(*entries: Entry, numeric: bool = False) -> list[dict[str, str | None]]:
    """The attributes of their cells."""
    section = Section(anchor="s", title="S", parts=(grid_of(*entries, numeric=numeric),))
    found = outline(Page(title="t", made_of="", sections=(section,)))
    return [e.attributes for e in found.all("th") if e.attributes.get("scope") == "row"]


# ---------------------------------------------------------------- nothing from a record is markup


def test_a_text_changes_no_tag_and_no_attribute_wherever_it_stands():
    def shape(page: Page) -> list[tuple[str, list[str]]]:
        return [(element.tag, list(element.attributes)) for element in outline(page).elements]

    assert shape(page_of(lambda place: EVIL + place)) == shape(page_of(lambda place: "plain " + place))


def test_a_text_is_read_as_it_was_written():
    found = outline(page_of(lambda place: EVIL + place))
    assert [e.text for e in found.all("h1")] == [EVIL + "title"]
    assert [e.text for e in found.all("p", "made-of")] == [EVIL + "made of"]
    assert EVIL + "entry" in [e.text.strip() for e in found.all("th", "problem")]
    assert EVIL + "alone" in [e.text for e in found.all("summary")]
    assert f"{EVIL}own\t{EVIL}0" in [e.text.strip("\n") for e in found.all("pre")]
    assert EVIL + "figure" in found.values("alt")


def test_the_only_script_is_the_one_that_the_policy_names():
    html = to_html(page_of(lambda place: EVIL + place))
    (script,) = Outline(html).all("script")
    assert script.text == (SITE / "script.js").read_text()
    (policy,) = (value for value in Outline(html).values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'; ")
    digest = b64encode(sha256(script.text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy


@pytest.mark.parametrize(
    "link",
    [
        *("../runs/3f2a/", "tables/a%20b.csv", "runs", "a/b:c"),
        *("https://wandb.ai/x/runs/1?q=a&b=c#d", "http://here:8080/x/runs/1"),
    ],
)
def test_a_relative_path_and_an_address_of_the_web_are_links(link):
    assert link in outline(make_page(grid_of(Entry(text="x", link=link)))).values("href")


@pytest.mark.parametrize(
    "link",
    [
        *(
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            " javascript:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
        ),
        *(
            "//example.org/x",
            "\\\\example.org\\x",
            "/etc/passwd",
            "file:///etc/passwd",
            "https://",
        ),
        *("https:///x", "https://a b/", "\thttps://a/", "a\tb", "", "vbscript:x"),
    ],
)
def test_any_other_link_leaves_its_text_without_one(link):
    html = to_html(make_page(grid_of(Entry(text="only text", link=link))))
    assert "only text" in html
    before = to_html(make_page(grid_of(Entry(text="only text"))))
    assert Outline(html).values("href") == Outline(before).values("href")


def test_half_of_a_character_is_replaced_and_does_not_stop_the_report():
    html = to_html(make_page(grid_of(Entry(text="half \ud800 of it"))))
    assert "half ? of it" in html
    html.encode()


# ---------------------------------------------------------------- one file, always the same


def test_nothing_is_loaded_from_elsewhere():
    found = outline(make_page(RUNS, charts=(make_chart(),)))
    assert all(value.startswith("data:") for value in found.values("src"))
    assert {e.tag for e in found.elements if "href" in e.attributes} == {"a", "link"}
    assert [e.attributes["href"] for e in found.all("link")] == ["data:,"]
    assert not {"iframe", "object", "embed", "base", "form"} & {e.tag for e in found.elements}
    (style,) = found.all("style")
    assert "url(" not in style.text
    assert "@import" not in style.text


def test_the_same_page_gives_the_same_text():
    assert to_html(page_of(str.upper)) == to_html(page_of(str.upper))


def test_ids_are_unique_where_names_repeat_and_every_link_inside_the_page_leads_somewhere():
    twice = Section(anchor="main", title="A", parts=(RUNS, RUNS, make_claims(), make_chart(), make_chart()))
    page = Page(title="t", made_of="", sections=(twice, replace(twice, anchor="two words")))
    found = outline(page)
    ids = found.values("id")
    assert len(ids) == len(set(ids))
    assert not [element for element in ids if re.search(r"\s", element)]
    inside = [unquote(link[1:]) for link in found.values("href") if link.startswith("#")]
    assert len(inside) > 10
    assert set(inside) <= set(ids)


# ---------------------------------------------------------------- everything is there


def test_sections_tables_and_charts_stand_in_their_order_and_in_the_contents():
    found = outline(make_page(RUNS, make_claims(), charts=(make_chart("one"), make_chart("two"))))
    headings = [(e.tag, e.text) for e in found.elements if re.fullmatch(r"h\d", e.tag)]
    assert headings == [
        *(("h1", "Report"), ("h2", "Verdicts"), ("h3", "Claims"), ("h2", "Tables"), ("h3", "Inner")),
        *(("h4", "All runs"), ("h4", "Claims"), ("h2", "Figures")),
    ]
    assert [e.text for e in found.all("strong")] == ["Chart one", "Chart two"]
    contents = [
        e.text for e in found.all("a") if e.attributes["href"] in ("#verdicts", "#tables", "#inner", "#figures")
    ]
    assert contents == ["Verdicts", "Tables", "Inner", "Figures"]


def test_tables_and_charts_link_to_their_files():
    grid = replace(RUNS, name="50 % of #1")
    links = outline(make_page(grid, charts=(make_chart("curves"),))).values("href")
    assert [link for link in links if "50" in link] == [
        *(f"tables/50%20%25%20of%20%231.{ending}" for ending in ("csv", "md", "tex")),
        "#table-50-%-of-#1",
    ]
    assert [link for link in links if "curves." in link] == ["figures/curves.svg", "figures/curves.pdf"]


def test_a_chart_is_its_file_with_its_size():
    found = outline(make_page(charts=(make_chart(), make_chart("sizeless", b"<svg/>"))))
    first, second = found.all("img")
    source = str(first.attributes["src"])
    assert source.startswith("data:image/svg+xml,")
    assert unquote_to_bytes(source.removeprefix("data:image/svg+xml,")) == SVG
    assert (first.attributes["width"], first.attributes["height"]) == ("499", "326")
    assert "width" not in second.attributes
    (pixels,) = outline(make_page(charts=(make_chart(svg=b"<svg viewBox='0 0 40 30.2'/>"),))).all("img")
    assert (pixels.attributes["width"], pixels.attributes["height"]) == ("40", "30")


def test_entries_show_text_tone_and_mark_with_its_note():
    found = outline(make_page())
    assert [e.text for e in found.all("summary")] == ["holds"]
    assert "inside the margin" in [e.text for e in found.all("span")]
    assert len(found.all("th", "holds")) == 1
    assert [e.text.strip() for e in found.all("th", "not-run")] == ["not run"]
    (mark,) = (e for e in found.all("a") if e.text == "m")
    (note,) = (e for e in found.all("li") if e.text == "m: from memory.")
    assert mark.attributes["href"] == f"#{note.attributes['id']}"
    assert "Margin 0.5 points." in [e.text for e in found.all("p", "above")]


def test_a_mark_that_no_note_explains_leads_nowhere():
    found = outline(make_page(grid_of(Entry(text="1", mark="m"))))
    assert [e.text for e in found.all("sup")] == ["", "m"]  # the first is the link of the claims' mark


def test_what_all_rows_share_is_told_once_and_the_rest_in_each_row():
    found = outline(make_page(RUNS))
    assert [e.text.strip("\n") for e in found.all("pre")] == ["data.name\tdigits", "seed\t0", "seed\t1", "seed\t2"]
    one = replace(RUNS, rows=RUNS.rows[:1], details=({"error": "line 1\nline 2", "a": "b"},))
    assert [e.text.strip("\n") for e in outline(make_page(one)).all("pre")] == ["error\tline 1\n\tline 2\na\tb"]


def test_a_key_that_one_row_lacks_is_not_shared():
    grid = replace(RUNS, details=({"a": "1", "b": "2"}, {"a": "1"}, {"a": "1", "b": "2"}))
    assert [e.text.strip("\n") for e in outline(make_page(grid)).all("pre")] == ["a\t1", "b\t2", "", "b\t2"]


def test_a_table_without_rows_says_so():
    found = outline(make_page(replace(RUNS, rows=(), details=())))
    assert [e.text for e in found.all("p", "none")] == ["There are no rows."]


def test_the_first_problems_are_told_at_once_and_the_others_open():
    assert "problems" not in outline(make_page()).values("id")
    one = outline(make_page(problems=("record.json of 3f2a is broken",)))
    assert "1 problem" in [e.text for e in one.all("h2")]
    many = to_html(make_page(problems=tuple(f"problem {number}." for number in range(15))))
    assert "15 problems" in many
    assert many.index("problem 11.") < many.index("<summary>3 more</summary>") < many.index("problem 12.")


# ---------------------------------------------------------------- what the script sorts and filters by


def test_a_cell_has_its_value_where_the_text_does_not_say_it():
    entries = (
        Entry(text="91.3", value=91.25),
        Entry(text="2", value=2),
        Entry(text="1,234", value=1234),
        Entry(text="—"),
        Entry(text="7", value=None),
    )
    attributes = cells(*entries, numeric=True)
    assert [found.get("data-v") for found in attributes] == ["91.25", None, "1234", None, ""]
    assert {found.get("class") for found in attributes} == {"n"}
    assert [found.get("data-v") for found in cells(Entry(text="k64"), Entry(text="b", value="a"))] == [None, "a"]


def test_filters_are_the_columns_that_say_so_and_have_more_than_one_value():
    def grid(key: str, *texts: str, filtered: bool = True) -> Grid:
        column = Column(title=key.upper(), key=key, filtered=filtered)
        return Grid(name=key, title=key, columns=(column,), rows=tuple((Entry(text=text),) for text in texts))

    inner = Section(anchor="i", title="I", parts=(grid("growth", "k128", "none"), grid("one", "same", "same")))
    outer = Section(
        anchor="o", title="O", parts=(grid("seed", "10", "9"), inner, grid("free", "a", "b", filtered=False))
    )
    last = Section(anchor="l", title="L", parts=(grid("growth", "k64", "k128"), make_chart()))
    found = [(axis.key, axis.title, axis.values) for axis in filters((outer, last))]
    assert found == [("seed", "SEED", ("9", "10")), ("growth", "GROWTH", ("k64", "k128", "none"))]


def test_axes_of_runs_and_of_most_tables_are_in_sight_and_the_others_open():
    def grid(*keys: str, details: bool = False) -> Grid:
        columns = tuple(Column(title=key, key=key, filtered=True) for key in keys)
        rows = tuple(tuple(Entry(text=text) for _ in keys) for text in ("a", "b"))
        return Grid(name="g", title="G", columns=columns, rows=rows, details=({}, {}) if details else ())

    many = [f"axis{number}" for number in range(FIRST + 1)]
    grids = (grid("rare", *many), grid(*many), grid(*many, "late"), grid("late"), grid("run", details=True))
    section = Section(anchor="a", title="A", parts=grids)
    offered = filters((section,))
    assert [axis.key for axis in offered] == ["rare", *many, "late", "run"]
    assert [axis.key for axis in offered if axis.first] == [*many[: FIRST - 1], "run"]
    html = to_html(Page(title="t", made_of="", sections=(section,)))
    assert html.index('data-key="run"><summary>') < html.index("more axes") < html.index('data-key="rare"><summary>')
    assert "more axes" not in to_html(make_page(RUNS))


def test_a_table_broader_than_a_screen_marks_what_it_may_leave_out_and_says_so_on_paper():
    def page(broad: int) -> Page:
        columns = tuple(Column(title=f"title {place}", key=f"k{place}", wide=place % 2 == 1) for place in range(broad))
        rows = (tuple(Entry(text="ten letter") for _ in columns),)
        return make_page(Grid(name="broad", title="B", columns=columns, rows=rows))

    broad = outline(page(12))
    assert len(broad.all("th", "x") + broad.all("td", "x")) == 2 * 6
    (told,) = broad.all("p", "left-out")
    assert "title 1, title 3, title 5, title 7, title 9, title 11" in told.text
    assert "tables/broad.csv" in told.text
    assert not outline(page(4)).all("p", "left-out")


def test_the_filter_is_hidden_until_the_script_works_and_absent_where_there_is_nothing_to_filter():
    (bar,) = (e for e in outline(make_page(RUNS)).elements if e.attributes.get("id") == "filter")
    assert "hidden" in bar.attributes
    assert "filter" not in outline(make_page()).values("id")


def test_script_and_style_sheet_cut_tables_where_the_page_does():
    assert f"const LONG = {LONG};" in (SITE / "script.js").read_text()
    assert f"tbody.long > tr:nth-child(n + {LONG + 1})" in (SITE / "style.css").read_text()
    rows = {f"r{number}": None for number in range(LONG + 1)}
    assert len(outline(make_page(make_runs(rows))).all("tbody", "long")) == 1
    rows.popitem()
    assert not outline(make_page(make_runs(rows))).all("tbody", "long")


# ---------------------------------------------------------------- readable


def luminance(colour: str) -> float:
    """Relative luminance of #rgb or #rrggbb (WCAG 2.2)."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_a_contrast_of_at_least_4_5(theme):
    blocks = re.findall(r":root \{(.*?)\}", (SITE / "style.css").read_text(), re.DOTALL)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+);", blocks[theme]))
    grounds = {name: luminance(colours[name]) for name in ("paper", "card", "sunk", "problem")}
    inks = [name for name in colours if name not in (*grounds, "rule")]
    assert len(inks) == 7
    for ink in inks:
        for ground, light in grounds.items():
            lower, upper = sorted((luminance(colours[ink]), light))
            assert (upper + 0.05) / (lower + 0.05) >= 4.5, (ink, ground)


def test_a_table_s_title_that_repeats_its_section_s_is_not_shown_twice():
    twice = Grid(name="grid", title="grid", columns=(), rows=())
    once = Grid(name="other", title="Effects", columns=(), rows=())
    html = to_html(Page(title="T", made_of="", sections=(Section(anchor="s", title="grid", parts=(twice, once)),)))
    assert 'id="table-grid-title" class="unseen">grid<' in html
    assert 'id="table-other-title">Effects<' in html


def test_a_folded_section_opens_holds_all_of_it_and_is_not_in_the_contents():
    folded = Section(anchor="more", title="More of it", text=("Seldom read.",), parts=(RUNS,), folded=True)
    found = outline(Page(title="T", made_of="", sections=(Section(anchor="s", title="S", parts=(folded,)),)))
    (fold,) = found.all("details", "fold")
    assert fold.attributes["id"] == "more"
    assert "open" not in fold.attributes
    assert "More of it" in [e.text for e in found.all("summary")]
    assert "Seldom read." in [e.text for e in found.all("p")]
    assert len(found.all("table")) == 1
    assert [e.text for e in found.all("a") if e.attributes["href"] in ("#s", "#more")] == ["S"]


def test_a_figure_leads_to_how_its_kind_is_read_where_the_page_says_it():
    page = make_page(charts=(make_chart(),))
    assert "#reading-curves" not in outline(page).values("href")
    reading = Section(anchor="reading-curves", title="Curves", text=("Thin lines are seeds.",), folded=True)
    assert "#reading-curves" in outline(replace(page, sections=(*page.sections, reading))).values("href")


def test_what_a_linked_entry_says_more_opens_by_a_sign_that_is_read_aloud():
    found = outline(make_page(grid_of(Entry(text="81.2", link="a", more="1 of 4"))))
    assert [(e.text, e.attributes.get("aria-label")) for e in found.all("summary") if e.text == "…"] == [("…", "more")]
