"""Small pages of the report for tests, and a reader of their HTML that knows nothing of how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser

from bnn_ablate.report.grid import Chart, Column, Entry, Grid, Page, Section

SVG = (
    b'<svg xmlns="http://www.w3.org/2000/svg" width="374.4pt" height="244.8pt" viewBox="0 0 374.4 244.8">'
    b'<text>"top-1 %" #1</text></svg>\n'
)

#: What a run's name may try.
EVIL = "\"'><script>window.executed = 1</script><img src=x onerror='window.executed = 1'></pre></style>{{ 7 * 7 }}"


def make_chart(name: str = "curves", svg: bytes = SVG) -> Chart:
    return Chart(name=name, title=f"Chart {name}", kind="curves", caption="Of six runs.", svg=svg, pdf=b"%PDF-1.4")


def make_runs(accuracies: dict[str, float | None], name: str = "runs") -> Grid:
    """Runs by name with their accuracy; scaling is none, channel, none, ... and seeds count up."""
    return Grid(
        name=name,
        title="All runs",
        columns=(
            Column(title="run", key="run_id"),
            Column(title="scaling", key="scaling", filtered=True),
            Column(title="seed", key="seed", numeric=True, filtered=True),
            Column(title="top-1 %", key="top1", numeric=True),
        ),
        rows=tuple(
            (
                Entry(text=run, link=f"../runs/{place}/"),
                Entry(text=("none", "channel")[place % 2]),
                Entry(text=str(place), value=place),
                Entry(text="—") if top1 is None else Entry(text=f"{top1:.1f}", value=top1),
            )
            for place, (run, top1) in enumerate(accuracies.items())
        ),
        details=tuple({"data.name": "digits", "seed": str(place)} for place in range(len(accuracies))),
    )


def make_claims() -> Grid:
    """A table without a filter: two verdicts, one of which says more, and a figure with a mark."""
    return Grid(
        name="claims",
        title="Claims",
        columns=(Column(title="claim", key="claim"), Column(title="published", key="p", numeric=True)),
        rows=(
            (Entry(text="holds", tone="holds", more="inside the margin"), Entry(text="0.3", value=0.3, mark="m")),
            (Entry(text="not run", tone="not run"), Entry(text="2.1", value=2.1)),
        ),
        above="Margin 0.5 points.",
        notes=("One seed proves little.", "m: from memory."),
    )


def make_page(*grids: Grid, charts: tuple[Chart, ...] = (), problems: tuple[str, ...] = ()) -> Page:
    """Verdicts, the given tables and charts."""
    sections = (
        Section(anchor="verdicts", title="Verdicts", text=("Each within its scope.",), parts=(make_claims(),)),
        Section(anchor="tables", title="Tables", parts=(Section(anchor="inner", title="Inner", parts=grids),)),
        Section(anchor="figures", title="Figures", parts=charts),
    )
    return Page(title="Report", made_of="3 runs", problems=problems, sections=sections)


def page_of(text: Callable[[str], str]) -> Page:
    """A page whose every text is ``text`` of a name of its place."""
    column = Column(title=text("column"), key=text("key"), filtered=True)
    entries = [
        Entry(text=text("entry"), value=text("value"), tone="problem"),
        Entry(text=text("other"), value=1.5, mark=text("mark"), more=text("more")),
        Entry(text=text("alone"), more=text("more")),
    ]
    grid = Grid(
        name=text("name"),
        title=text("grid"),
        columns=(column,),
        rows=tuple((entry,) for entry in entries),
        above=text("above"),
        notes=(text("mark") + " explained", text("note")),
        details=tuple({text("shared"): text("same"), text("own"): text(f"{place}")} for place in range(len(entries))),
    )
    svg = SVG.replace(b"top-1", text("label").encode())
    chart = Chart(name=text("chart"), title=text("figure"), kind="curves", caption=text("caption"), svg=svg, pdf=b"")
    section = Section(anchor=text("anchor"), title=text("section"), text=(text("paragraph"),), parts=(grid, chart))
    problems = tuple(text(f"problem {number}") for number in range(20))
    return Page(title=text("title"), made_of=text("made of"), problems=problems, sections=(section,))


@dataclass
class Element:
    """A start tag; ``text`` is what stands between it and the next tag of any kind."""

    tag: str
    attributes: dict[str, str | None]
    text: str = field(default="", compare=False)


class Outline(HTMLParser):
    """The start tags of a page in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        self._open = True

    def handle_endtag(self, tag: str) -> None:
        self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.elements[-1].text += data

    def all(self, tag: str, name: str | None = None) -> list[Element]:
        """The elements of this tag, with this class where one is named."""
        return [
            element
            for element in self.elements
            if element.tag == tag and (name is None or name in str(element.attributes.get("class")).split())
        ]

    def values(self, attribute: str) -> list[str]:
        """The values of an attribute, wherever it stands."""
        return [str(e.attributes[attribute]) for e in self.elements if attribute in e.attributes]
