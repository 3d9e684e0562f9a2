"""Where the report's numbers come from: code, machines, images, and the runs that are in none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from bnn_ablate.record import Record
from bnn_ablate.report.grid import Column, Entry, Grid, Section
from bnn_ablate.report.numbers import counted, joined, one_line
from bnn_ablate.report.rows import error_of
from bnn_ablate.report.run_list import Listed, list_runs
from bnn_ablate.report.runs import GONE
from bnn_ablate.report.tables import Table
from bnn_ablate.study import Study

#: Each kind of number on the page and the file that it is computed from.
SOURCES = (
    "Accuracies (top-1, top-5, packed) and their means, intervals, effects and verdicts are computed from record.json "
    "of the runs that are listed as done, one file a run. Nothing is read from logs or from W&B.",
    "Sizes and MACs were counted from each network when it was built, and stand in its record.json, as do curves and "
    "the times of training. Times of packed networks come from record.json too, or from the run's evaluations/ where "
    "the record's were taken while other work ran. Sign flips by epoch come from diagnostics.csv of the run.",
    "Published figures come from the files of reports/published, which name a source for each and how sure it is.",
    "Margins, baselines and numbers of seeds were declared in the study's file before its first run, or after it where "
    "the declarations below say so.",
)


def provenance_section(tables: Sequence[Table], studies: Mapping[str, Study]) -> Section:
    """The tables of provenance; those that would have no row are left out."""
    listed = list_runs(tables)
    done = [(one.run.record, one.studies) for one in listed if one.run.record is not None]
    grids = [_studies(tables), _excluded(listed), _declarations(studies)]
    grids += [_grouped(done, name, title, columns) for name, title, columns in GROUPED]
    return Section(
        anchor="provenance",
        title="Provenance",
        text=(_summary(listed), *SOURCES),
        parts=tuple(grid for grid in grids if grid.rows),
    )


def _summary(listed: Sequence[Listed]) -> str:
    states = Counter(one.run.state for one in listed)
    others = [f"{number} {state}" for state, number in sorted(states.items()) if state != "done"]
    if not listed:
        return "There are no records: every number on this page is a published one."
    told = f"{counted(states['done'], 'record')} of {counted(len(listed), 'run')}"
    return f"{told}{': ' if others else ''}{', '.join(others)}{' are in no number' if others else ''}."


def _studies(tables: Sequence[Table]) -> Grid:
    """A row a study: how many runs of which state."""
    rows = []
    for table in tables:
        runs = [run for cell in table.cells for run in cell.runs]
        records = [run.record for run in runs if run.record is not None]
        states = Counter(run.state for run in runs)
        others = ", ".join(f"{number} {state}" for state, number in sorted(states.items()) if state != "done")
        rows.append(
            (
                _word(table.name),
                _count(len(table.cells)),
                _count(len(runs)),
                _count(len(records)),
                _word(others if others else "none"),
                _word(_span(records)),
            )
        )
    return Grid(
        name="provenance.studies",
        title="Records of each study",
        columns=(
            Column(title="study", key="study", filtered=True),
            Column(title="cells", key="cells", numeric=True),
            Column(title="planned runs", key="planned", numeric=True),
            Column(title="records", key="records", numeric=True),
            Column(title="other runs", key="others"),
            Column(title="trained (UTC)", key="trained"),
        ),
        rows=tuple(rows),
    )


def _span(records: Sequence[Record]) -> str:
    """The days between the first start and the last end."""
    if not records:
        return "never"
    first = min(record.provenance.started for record in records)[:10]
    last = max(record.provenance.finished for record in records)[:10]
    return first if first == last else f"{first} to {last}"


def _excluded(listed: Sequence[Listed]) -> Grid:
    """The runs that nothing will come of by itself, each with its reason."""
    rows = [
        (
            _word(", ".join(one.studies)),
            _word(one.run.run_id if one.run.run_id is not None else "none"),
            _word(str(one.run.seed) if one.run.seed is not None else "unknown"),
            Entry(text=one.run.state, value=one.run.state, tone="problem"),
            _word(error_of(one.run)),
        )
        for one in listed
        if one.run.state in GONE
    ]
    return Grid(
        name="provenance.excluded",
        title="Runs that are in no number",
        columns=(
            Column(title="study", key="study", filtered=True),
            Column(title="run", key="run_id"),
            Column(title="seed", key="seed", filtered=True),
            Column(title="state", key="state", filtered=True),
            Column(title="why", key="why"),
        ),
        rows=tuple(rows),
    )


def _declarations(studies: Mapping[str, Study]) -> Grid:
    """What was declared of each study; the first one counts."""
    rows = []
    for name, study in sorted(studies.items()):
        for place, declared in enumerate(study.declared):
            baseline = ", ".join(f"{axis}={option}" for axis, option in declared.baseline.items())
            before = "before any result" if declared.done == 0 else f"after {counted(declared.done, 'result')}"
            rows.append(
                (
                    _word(name),
                    _word(declared.digest),
                    _word(f"{before}{'; the first declaration counts' if place else ''}"),
                    _word(declared.time),
                    Entry(text=f"{declared.margin:g}", value=declared.margin),
                    _word(baseline if baseline else "the first option of each axis"),
                    _word(", ".join(map(str, declared.seeds))),
                )
            )
    return Grid(
        name="provenance.declarations",
        title="What was declared of studies",
        columns=(
            Column(title="study", key="study", filtered=True),
            Column(title="digest", key="digest"),
            Column(title="declared", key="declared"),
            Column(title="time (UTC)", key="time"),
            Column(title="margin (points)", key="margin", numeric=True),
            Column(title="baseline", key="baseline"),
            Column(title="seeds", key="seeds"),
        ),
        rows=tuple(rows),
    )


Fact = tuple[str, str, Callable[[Record], str]]


def _commit(record: Record) -> str:
    return "unknown" if record.provenance.commit is None else record.provenance.commit


def _dirty(record: Record) -> str:
    dirty = record.provenance.dirty
    return "unknown" if dirty is None else "yes" if dirty else "no"


#: Title, key and value of the columns of each table that counts records by something.
GROUPED: tuple[tuple[str, str, tuple[Fact, ...]], ...] = (
    (
        "provenance.code",
        "Code",
        (
            ("commit", "commit", _commit),
            ("uncommitted changes", "dirty", _dirty),
            ("version of results", "results_version", lambda record: str(record.results_version)),
        ),
    ),
    (
        "provenance.machines",
        "Machines",
        (
            ("host", "host", lambda record: record.provenance.host),
            ("CPU", "cpu", lambda record: record.provenance.cpu),
            ("GPU", "gpu", lambda record: "none" if record.provenance.gpu is None else record.provenance.gpu),
            ("processes", "processes", lambda record: str(record.provenance.devices)),
            ("threads", "threads", lambda record: str(record.provenance.threads)),
            ("torch.compile", "compiled", lambda record: "yes" if record.provenance.compiled else "no"),
        ),
    ),
    (
        "provenance.versions",
        "Versions",
        (
            (
                "versions",
                "versions",
                lambda record: ", ".join(f"{key} {text}" for key, text in sorted(record.provenance.versions.items())),
            ),
        ),
    ),
    (
        "provenance.images",
        "Images",
        (
            ("data", "data", lambda record: record.data.name),
            ("checksum", "checksum", lambda record: record.data.checksum),
            ("training", "num_train", lambda record: str(record.data.num_train)),
            ("held out", "num_holdout", lambda record: str(record.data.num_holdout)),
            ("test", "num_test", lambda record: str(record.data.num_test)),
        ),
    ),
    (
        "provenance.notes",
        "Runs that were taken up again elsewhere or otherwise",
        (("what changed", "note", lambda record: joined(record.provenance.notes)),),
    ),
)


def _grouped(done: Sequence[tuple[Record, tuple[str, ...]]], name: str, title: str, facts: Sequence[Fact]) -> Grid:
    """A row for each combination of the facts: the number of records, the studies, and when."""
    groups: dict[tuple[str, ...], list[tuple[Record, tuple[str, ...]]]] = {}
    for record, studies in done:
        groups.setdefault(tuple(value(record) for _, _, value in facts), []).append((record, studies))
    rows = []
    for values, members in sorted(groups.items()):
        if not any(values):
            continue  # no notes
        names = dict.fromkeys(name for _, studies in members for name in studies)
        rows.append(
            (
                *map(_word, values),
                _count(len(members)),
                _word(", ".join(names)),
                _word(_span([record for record, _ in members])),
            )
        )
    return Grid(
        name=name,
        title=title,
        columns=(
            *(Column(title=heading, key=key) for heading, key, _ in facts),
            Column(title="records", key="records", numeric=True),
            Column(title="studies", key="studies"),
            Column(title="trained (UTC)", key="trained"),
        ),
        rows=tuple(rows),
    )


def _word(text: str) -> Entry:
    clean = one_line(text)
    return Entry(text=clean, value=clean)


def _count(number: int) -> Entry:
    return Entry(text=str(number), value=number)
