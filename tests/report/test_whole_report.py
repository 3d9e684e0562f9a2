"""The page says the truth of whatever lies in the stores: runs that go, break, fail or come, and none at all."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from hashlib import sha256
from html import escape
from itertools import product
from pathlib import Path
from urllib.parse import unquote

import pytest
from factories import (
    NOTHING_PUBLISHED,
    assert_same_bytes,
    make_record,
    make_report,
    put_done,
    put_grid,
    put_status,
    put_study,
    rows_of,
)
from table_factories import CIFAR, put_cell

from bnn_ablate.report.__main__ import main
from bnn_ablate.report.charts.reading import HOW
from bnn_ablate.report.sources import Sources
from bnn_ablate.store import Store


def put_pair(root: Path, seeds: int = 3) -> None:
    """Two cells of ``seeds`` runs, of 6 and of 9 images right, give or take one by the seed."""
    jobs = []
    for grad, correct in (("ste", 6), ("approxsign", 9)):
        for seed in range(seeds):
            record = make_record(seed=seed, grad=grad, correct=correct - seed % 2)
            jobs.append((f"grad={grad} seed={seed}", put_done(root, record)))
    put_study(root, "pair", jobs)


def page(out: Path) -> str:
    return (out / "index.html").read_text()


def cells(out: Path) -> list[tuple[str, str, str, str]]:
    rows = rows_of(out / "tables" / "pair.csv")
    return [(row["grad"], row["n"], row["planned"], row["state"]) for row in rows]


def effect(out: Path) -> dict[str, str]:
    (row,) = rows_of(out / "tables" / "pair.effects.csv")
    return row


def test_a_deleted_record_is_missing_everywhere(tmp_path: Path) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    put_pair(root)
    assert make_report(root, out=out) == 0
    assert cells(out) == [("ste", "3", "3", "done"), ("approxsign", "3", "3", "done")]
    assert "Made of 6 records of 6 runs in 1 study." in page(out)
    gone = make_record(seed=2, grad="ste", correct=6)
    for file in (root / gone.run_id).iterdir():
        file.unlink()
    (root / gone.run_id).rmdir()
    assert make_report(root, out=out) == 0
    assert cells(out) == [("ste", "2", "3", "2 done, 1 missing"), ("approxsign", "3", "3", "done")]
    assert "Made of 5 records of 6 runs in 1 study." in page(out)
    assert effect(out)["n"] == "2"
    states = [row["state"] for row in rows_of(out / "tables" / "runs.all.csv")]
    assert sorted(states) == ["done"] * 5 + ["missing"]


def test_a_corrupted_record_is_a_problem_on_the_page_and_in_no_number(tmp_path: Path) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    put_pair(root)
    broken = root / make_record(seed=0, grad="ste", correct=6).run_id / "record.json"
    broken.write_bytes(broken.read_bytes().replace(b'"top1": 0.6', b'"top1": 0.7', 1))
    assert make_report(root, out=out) == 1
    name = f"{broken.parent.name}/record.json"
    assert page(out).index(name) < page(out).index("table-pair")  # before any table
    assert f"- {name}: " in (out / "index.md").read_text()
    assert [row[:3] for row in cells(out)] == [("ste", "2", "3"), ("approxsign", "3", "3")]
    (excluded,) = rows_of(out / "tables" / "provenance.excluded.csv")
    assert (excluded["run_id"], excluded["state"]) == (broken.parent.name, "broken")
    assert name in excluded["why"]


def test_added_seeds_enter_the_means(tmp_path: Path) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    put_pair(root, seeds=2)
    make_report(root, out=out)
    assert (effect(out)["n"], cells(out)[0][1:3]) == ("2", ("2", "2"))
    for grad, correct in (("ste", 6), ("approxsign", 9)):
        record = put_done(root, make_record(seed=2, grad=grad, correct=correct))
        put_study(root, "pair", [(f"grad={grad} seed=2", record)])
    make_report(root, out=out)
    assert (effect(out)["n"], cells(out)[0][1:3]) == ("3", ("3", "3"))
    # means of 6, 5, 6 and 9, 8, 9 of ten images
    assert float(effect(out)["points"]) == pytest.approx(30)
    assert float(rows_of(out / "tables" / "pair.csv")[0]["top1_percent"]) == pytest.approx(170 / 3)


def test_a_sweep_with_one_failed_cell_has_its_row_and_the_others_their_numbers(tmp_path: Path) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    put_pair(root)
    failed = put_status(root, make_record(seed=0, grad="ede"), "failed", "OSError: <b>no</b>")
    put_study(root, "pair", [("grad=ede seed=0", failed)])
    assert make_report(root, out=out) == 0
    assert cells(out)[2] == ("ede", "0", "1", "failed: OSError: <b>no</b>")
    assert [row[1] for row in cells(out)[:2]] == ["3", "3"]
    assert "<b>no</b>" not in page(out)
    assert "&lt;b&gt;no&lt;/b&gt;" in page(out)
    (excluded,) = rows_of(out / "tables" / "provenance.excluded.csv")
    assert (excluded["run_id"], excluded["why"]) == (failed.run_id, "OSError: <b>no</b>")


def test_without_any_run_the_published_figures_and_the_claims_stand_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bnn_ablate.report.__main__.RECORDS", tmp_path / "nothing")
    assert main([]) == 0
    made = (tmp_path / "reports" / "index.md").read_text()
    assert "There are no runs yet." in made
    assert rows_of(tmp_path / "reports" / "tables" / "claims.all.csv")
    verdicts = {row["verdict"] for row in rows_of(tmp_path / "reports" / "tables" / "claims.contrasts.csv")}
    assert verdicts == {"not run"}
    assert list((tmp_path / "reports" / "tables").glob("paper.*.tex"))
    assert capsys.readouterr().out.splitlines()[-1] == "reports/index.html: 0 tables, 0 problems"


def test_without_runs_given_the_folder_runs_and_the_reference_records_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, reference = put_done(tmp_path / "runs", make_record()), make_record(seed=1)
    Store(tmp_path / "records").run(reference.run_id).path.mkdir(parents=True)
    Store(tmp_path / "records").run(reference.run_id).write_record(reference)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bnn_ablate.report.__main__.RECORDS", tmp_path / "records")
    for given, ids in ((["runs=runs"], {own.run_id}), ([], {own.run_id, reference.run_id})):
        assert main([*given, "figures=no"], NOTHING_PUBLISHED) == 0
        assert {row["run_id"] for row in rows_of(tmp_path / "reports" / "tables" / "runs.all.csv")} == ids


@pytest.mark.parametrize("broken", ["claims", "declared", "published"])
def test_a_file_of_people_that_is_broken_is_a_problem_and_the_rest_goes_on(broken: str, tmp_path: Path) -> None:
    put_pair(tmp_path / "runs")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "claims.yaml").write_text("claims: 1\n")
    (tmp_path / "bad" / "table.yaml").write_text("kind: none\n")
    sources = {
        "claims": Sources(claims=tmp_path / "bad" / "claims.yaml", declared=NOTHING_PUBLISHED.declared),
        "declared": Sources(claims=NOTHING_PUBLISHED.claims, declared=tmp_path / "bad"),
        "published": Sources(claims=NOTHING_PUBLISHED.claims, published=tmp_path / "bad"),
    }
    out = tmp_path / "out"
    assert main([f"runs={tmp_path / 'runs'}", f"out={out}", "figures=no"], sources[broken]) == 1
    problems = [line for line in (out / "index.md").read_text().splitlines() if line.startswith("- ")]
    assert len([line for line in problems if str(tmp_path) in line]) == 0
    assert "1 problem:" in (out / "index.md").read_text()
    assert cells(out)[0] == ("ste", "3", "3", "done")


def test_a_damaged_file_of_sign_flips_is_a_problem(tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    (tmp_path / record.run_id / "diagnostics.csv").write_text("epoch,layer,quantity,value\n0,all,flipped_signs,x\n")
    assert main([f"runs={tmp_path}", f"out={tmp_path / 'out'}"], NOTHING_PUBLISHED) == 1
    assert f"- {record.run_id}/diagnostics.csv: " in (tmp_path / "out" / "index.md").read_text()


def test_studies_that_can_be_evidence_stand_before_smoke_tests(tmp_path: Path) -> None:
    for name, data in (("b", "fashion_mnist"), ("a", "digits"), ("c", "cifar10")):
        record = put_done(tmp_path, make_record(data={"option": data, "name": data}))
        put_study(tmp_path, name, [("seed=0", record)])
    put_study(tmp_path, "0", [("seed=0", None)])
    put_done(tmp_path, make_record(seed=7, data={"option": "cifar10", "name": "cifar10"}))
    make_report(tmp_path, out=tmp_path / "out")
    shown = re.findall(r'<section id="study-([^"]*)"', page(tmp_path / "out"))
    assert shown == ["b", "c", "a", "0", "other-runs"]


def test_published_tables_with_one_row_of_ours_open_below_those_with_more(tmp_path: Path) -> None:
    for name, grad in (("a", "ste"), ("b", "approxsign_both")):
        put_cell(tmp_path / "runs", name, (*CIFAR, "model.width=0.25", f"grad={grad}"), correct=(8,))
    assert main([f"runs={tmp_path / 'runs'}", f"out={tmp_path / 'out'}", "figures=no"]) == 0
    html = page(tmp_path / "out")
    fold = html.index('<details class="fold" id="paper-single"')
    assert html.index('id="table-paper.scaling_downsample_approxsign_cifar10"') < fold
    assert fold < html.index('id="table-paper.pretraining_cifar10"') < html.index('<section id="studies"')
    assert "with one row of ours: " in html


def test_how_figures_are_read_is_said_once_and_each_figure_leads_there(tmp_path: Path) -> None:
    for data in ("fashion_mnist", "cifar10"):
        jobs = []
        for seed, scaling, grad in product((0, 1), ("none", "xnor"), ("ste", "approxsign")):
            chosen = {"option": data, "name": data}
            record = make_record(seed=seed, scaling=scaling, grad=grad, correct=6 + seed, data=chosen)
            jobs.append((f"scaling={scaling} grad={grad} seed={seed}", put_done(tmp_path, record)))
        put_study(tmp_path, data, jobs)
    assert main([f"runs={tmp_path}", f"out={tmp_path / 'out'}"], NOTHING_PUBLISHED) == 0
    html = page(tmp_path / "out")
    for kind in ("effects", "interactions", "curves"):
        assert html.count(escape(HOW[kind][1], quote=False).replace("'", "&#39;")) == 1
        assert html.count(f'href="#reading-{kind}"') >= 2  # in both studies
        assert html.count(f'id="reading-{kind}"') == 1
    assert "reading-authors" not in html  # there is no such figure
    # means over other axes open below what the study varies one at a time
    for data in ("fashion_mnist", "cifar10"):
        places = [html.index(f'id="{place}"') for place in (f"table-{data}.effects", f"figure-{data}.curves")]
        fold = html.index(f'<details class="fold" id="study-{data}-means"')
        inside = [
            html.index(f'id="{place}"') for place in (f"table-{data}.main-effects", f"figure-{data}.interactions")
        ]
        assert max(places) < fold < min(inside)


def test_a_report_that_is_stopped_says_so_in_a_line_and_leaves_no_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    put_pair(tmp_path / "runs")
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr("bnn_ablate.report.pages.study_effects", stop)
        assert make_report(tmp_path / "runs", out=out) == 130
    assert capsys.readouterr().err == "stopped; nothing is written\n"
    assert not out.exists()

    renamed = os.replace
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", lambda old, new: stop() if "pair.tex" in str(new) else renamed(old, new))
        assert make_report(tmp_path / "runs", out=out) == 130
    assert capsys.readouterr().err == (f"stopped; each file of {out} is whole, and the next report writes the others\n")
    assert not list(out.rglob("*.tmp"))
    assert (out / "tables" / "pair.md").exists()
    assert not (out / "tables" / "pair.tex").exists()
    assert make_report(tmp_path / "runs", out=out) == 0
    make_report(tmp_path / "runs", out=tmp_path / "other")
    names = [path.relative_to(out) for path in sorted(out.rglob("*")) if path.is_file()]
    assert Path("tables/pair.tex") in names
    assert [(out / name).read_bytes() == (tmp_path / "other" / name).read_bytes() for name in names] == [True] * len(
        names
    )


def test_files_of_an_earlier_report_go_and_those_of_people_stay(tmp_path: Path) -> None:
    root, out = tmp_path / "runs", tmp_path / "out"
    put_pair(root)
    put_study(root, "short", [("seed=0", None)])
    make_report(root, out=out)
    assert (out / "tables" / "short.md").exists()
    (out / "tables" / "mine.md").write_text("mine")
    (out / "tables" / "short.tex").write_text("changed by hand")
    (root / "studies" / "short.json").unlink()
    make_report(root, out=out)
    assert not (out / "tables" / "short.md").exists()
    assert (out / "tables" / "mine.md").read_text() == "mine"
    assert (out / "tables" / "short.tex").read_text() == "changed by hand"
    assert (out / "tables" / "pair.md").exists()


def test_a_file_of_somebody_else_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put_pair(tmp_path / "runs")
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.md").write_text("mine")
    assert make_report(tmp_path / "runs", out=out) == 2
    assert "index.md is there and no report made it: move it, or choose another folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["index.md"]
    assert (out / "index.md").read_text() == "mine"


def test_a_list_of_files_that_somebody_wrote_removes_nothing_elsewhere(tmp_path: Path) -> None:
    put_pair(tmp_path / "runs")
    (tmp_path / "out").mkdir()
    (tmp_path / "mine").write_text("mine")
    digest = sha256(b"mine").hexdigest()
    (tmp_path / "out" / ".made").write_text(f"{digest}  ../mine\n{digest}  {tmp_path / 'mine'}\nno line\n")
    assert make_report(tmp_path / "runs", out=tmp_path / "out") == 0
    assert (tmp_path / "mine").exists()


def test_a_study_can_have_the_name_of_any_table_of_the_report(tmp_path: Path) -> None:
    record = put_done(tmp_path, make_record())
    for name in ("claims", "paper", "all", "runs", "provenance"):
        put_study(tmp_path, name, [("seed=0", record)])
    assert main([f"runs={tmp_path}", f"out={tmp_path / 'out'}", "figures=no"]) == 0
    for name in ("claims", "paper", "all", "runs", "provenance"):
        assert rows_of(tmp_path / "out" / "tables" / f"{name}.csv")[0]["n"] == "1"


def test_links_of_the_page_lead_to_what_is_there(tmp_path: Path) -> None:
    root, out = tmp_path / "my runs", tmp_path / "far" / "report"
    put_pair(root)
    make_report(root, out=out)
    links = re.findall(r'<a href="([^"#][^"]*)"', page(out))
    assert len(links) > 6
    assert [link for link in links if not (out / unquote(link.partition("#")[0])).exists()] == []
    for name in ("index.md", "tables/runs.all.md"):
        text = (out / name).read_text()
        for link in re.findall(r"\]\(([^)]+)\)", text):
            assert ((out / name).parent / unquote(link.partition("#")[0])).exists(), link


def test_the_same_records_give_the_same_bytes_in_any_process(tmp_path: Path) -> None:
    """Verdicts and tables; tests/slow has the figures too."""
    put_grid(tmp_path / "runs")
    assert_same_bytes(tmp_path, "figures=no")


def test_the_table_at_the_end_of_a_sweep_imports_nothing_that_draws(tmp_path: Path) -> None:
    put_done(tmp_path, make_record())
    put_study(tmp_path, "s", [("seed=0", make_record())])
    code = (
        "import sys; from pathlib import Path; from bnn_ablate.report.tables import study_table\n"
        f"study_table(Path({str(tmp_path)!r}), 's')\n"
        "print(sorted({'matplotlib', 'scipy', 'jinja2', 'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
