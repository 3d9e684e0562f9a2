"""Our runs stand beside published figures in the row of their network, and in a column of what they were run on."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from factories import put_done, put_status, put_study
from table_factories import CIFAR, DECLARED, PUBLISHED, entry, grids, put_cell, run_of, titles

from bnn_ablate.report.grid import Grid

NAME = "scaling_downsample_approxsign_cifar10"
FULL, SHORT = "ours, full size", "ours, width 0.25, 6 epochs"
SHORTENED = ("model.width=0.25", "recipe.epochs=6", "recipe.schedule.milestones=[3,4,5]")
POST = {"order": "post", "scaling": "none", "downsample": "fp", "grad": "ste"}


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That table alone: the others would take their time in every test."""
    folder = tmp_path_factory.mktemp("declared")
    shutil.copy(DECLARED / f"{NAME}.yaml", folder)
    return folder


@pytest.fixture
def beside(declared: Path, tmp_path: Path) -> Callable[[], Grid]:
    return lambda: grids(tmp_path, declared)[NAME]


@pytest.fixture
def empty(declared: Path, tmp_path: Path) -> Grid:
    """The table before any run."""
    return grids(tmp_path / "nothing", declared)[NAME]


def test_without_a_run_every_row_says_so_beside_its_published_figure(
    tmp_path: Path, beside: Callable[[], Grid]
) -> None:
    grid = beside()
    assert {row[titles_of(grid).index(FULL)].text for row in grid.rows} == {"not run"}
    assert entry(grid, "authors' log, last epoch %", **POST).text == "85.85"
    assert entry(grid, "authors' log, best epoch %", **POST).text == "86.08"
    assert "ours less published" not in titles(grid)


def test_a_short_narrow_study_stands_in_a_column_of_its_own_with_its_interval_and_n(
    tmp_path: Path, beside: Callable[[], Grid]
) -> None:
    put_cell(tmp_path, "study", (*CIFAR, *SHORTENED), correct=(6, 7, 8), planned=4)
    grid = beside()
    # 60, 70, 80 %: mean 70, s = 10, t(2) = 4.303, so 4.303 * 10 / sqrt(3) = 24.84.
    ours = entry(grid, SHORT, **POST)
    assert (ours.text, ours.value, ours.link) == ("70.00 ± 24.84 (3 of 4)", pytest.approx(70), "study.md")
    assert entry(grid, f"{SHORT}: n", **POST).value == 3
    assert entry(grid, f"{SHORT}: planned", **POST).value == 4
    assert entry(grid, f"{SHORT}: ± 95 %", **POST).value == pytest.approx(24.84, abs=0.005)
    assert entry(grid, FULL, **POST).text == "not run"
    assert entry(grid, SHORT, **{**POST, "scaling": "xnor"}).text == "not run"
    assert any(
        note.startswith(f"O{SHORT[1:]}: not the published scope")
        and "model.width=0.25, recipe.epochs=6, recipe.schedule.milestones=[3, 4, 5]" in note
        and "published: model.width 1.0, recipe.epochs 150, recipe.schedule.milestones [75, 100, 125]" in note
        for note in grid.notes
    )
    assert "ours less published" not in titles(grid)


def test_at_full_size_the_difference_from_the_last_logged_epoch_is_shown(
    tmp_path: Path, beside: Callable[[], Grid], empty: Grid
) -> None:
    put_cell(tmp_path, "study", CIFAR, correct=(9, 9))
    grid = beside()
    assert entry(grid, FULL, **POST).text == "90.00 ± 0.00 (2 of 2)"
    # The log 555b03684 ends at 85.8474.
    assert entry(grid, "ours less published", **POST).text == "+4.15"
    assert entry(grid, "ours less published", **{**POST, "scaling": "xnor"}).text == "not run"
    assert len(titles(grid)) == len(titles(empty)) + 1


def test_a_row_whose_log_is_of_another_network_is_marked_and_not_compared(
    tmp_path: Path, beside: Callable[[], Grid]
) -> None:
    put_cell(tmp_path, "study", (*CIFAR, "order=pre"), correct=(9, 9))
    grid = beside()
    pre = {"order": "pre", "scaling": "none", "downsample": "fp", "grad": "ste"}
    assert entry(grid, FULL, output="signed", **pre).text == "90.00 ± 0.00 (2 of 2)"
    assert entry(grid, FULL, output="popcount", **pre).text == "not run"
    assert entry(grid, "authors' log, last epoch %", output="popcount", **pre).mark == ""
    assert entry(grid, "authors' log, last epoch %", output="signed", **pre).mark == "†"
    assert entry(grid, "ours less published", output="signed", **pre).text == "nothing published"
    assert any(note.startswith("† the log is of output=popcount") for note in grid.notes)


@pytest.mark.parametrize(
    "other",
    [
        "shortcut=every_block",
        "grad.clip=1.3",
        "model.blocks_per_stage=[1,1,1,1]",
        "stem=cifar",
        "latent=clamped",
        "data.limit_test=100",
    ],
)
def test_another_network_or_a_smoke_test_is_in_no_row(
    tmp_path: Path, beside: Callable[[], Grid], empty: Grid, other: str
) -> None:
    put_cell(tmp_path, "study", (*CIFAR, other), correct=(9,))
    grid = beside()
    assert titles(grid) == titles(empty)
    assert {row[titles_of(grid).index(FULL)].text for row in grid.rows} == {"not run"}


def test_digits_are_in_no_published_table(tmp_path: Path) -> None:
    put_cell(tmp_path, "study", ("data=digits", "recipe=cifar_2018", "stem=cifar_2018"), correct=(9,))
    before = grids(tmp_path / "nothing")
    for name, grid in grids(tmp_path).items():
        assert titles(grid) == titles(before[name])


def test_studies_that_share_a_cell_count_its_runs_once(tmp_path: Path, beside: Callable[[], Grid]) -> None:
    runs = [put_done(tmp_path, run_of(*CIFAR, seed=seed, correct=8 + seed)) for seed in (0, 1)]
    put_study(tmp_path, "first", [("grad=ste seed=0", runs[0]), ("grad=ste seed=1", runs[1])])
    put_study(tmp_path, "second", [("order=post seed=1", runs[1]), ("order=post seed=2", None)])
    ours = entry(beside(), FULL, **POST)
    assert ours.value == pytest.approx(85)
    assert ours.text.endswith("(2 of 3)")
    assert "first, second" in ours.more


def test_a_failed_run_is_counted_and_stands_out(tmp_path: Path, beside: Callable[[], Grid]) -> None:
    done, failed = run_of(*CIFAR, seed=0), run_of(*CIFAR, seed=1)
    put_done(tmp_path, done)
    put_status(tmp_path, failed, "failed", "OSError: no room")
    put_study(tmp_path, "study", [("grad=ste seed=0", done), ("grad=ste seed=1", failed)])
    ours = entry(beside(), FULL, **POST)
    assert (ours.text, ours.tone) == ("80.00 (1 of 2)", "problem")
    assert "1 failed: OSError: no room" in ours.more


def test_a_cell_without_a_result_says_what_became_of_it(tmp_path: Path, beside: Callable[[], Grid]) -> None:
    running = run_of(*CIFAR)
    put_status(tmp_path, running, "running")
    put_study(tmp_path, "study", [("grad=ste seed=0", running)])
    ours = entry(beside(), FULL, **POST)
    assert (ours.text, ours.value, ours.tone) == ("running (0 of 1)", None, "")


def test_scopes_beyond_those_that_print_has_room_for_are_still_in_the_csv(
    tmp_path: Path, beside: Callable[[], Grid]
) -> None:
    for number, width in enumerate((0.25, 0.5, 2.0)):
        put_cell(tmp_path, f"study{number}", (*CIFAR, f"model.width={width}"), correct=(8,))
    grid = beside()
    assert [title for title in titles(grid) if title.startswith("ours")] == ["ours, width 0.25", "ours, width 0.5"]
    assert "Ours at full size: not run in any row." in grid.notes
    assert entry(grid, "ours, width 2", **POST).text == "80.00 (1 of 1)"
    assert any("1 further scope of ours" in note for note in grid.notes)


def test_the_full_size_stands_first_once_it_is_run(tmp_path: Path, beside: Callable[[], Grid]) -> None:
    put_cell(tmp_path, "short", (*CIFAR, "model.width=0.25"), correct=(8,))
    put_cell(tmp_path, "full", CIFAR, correct=(9,))
    grid = beside()
    assert [title for title in titles(grid) if title.startswith("ours, ")] == [FULL, "ours, width 0.25"]
    assert "Ours at full size: not run in any row." not in grid.notes


def test_a_search_of_many_scopes_leaves_some_to_its_own_table_and_says_so(
    tmp_path: Path, beside: Callable[[], Grid]
) -> None:
    for number in range(10):
        put_cell(tmp_path, f"study{number}", (*CIFAR, f"recipe.epochs={number + 1}"), correct=(8,))
    grid = beside()
    # The published scope and eight others, each with three columns behind its own.
    assert len([column for column in grid.columns if column.key.startswith("ours")]) == 9 * 4
    assert any(note.startswith("2 scopes of ours with the fewest rows left out") for note in grid.notes)


def test_learning_rates_are_scopes_that_are_told_apart(tmp_path: Path, beside: Callable[[], Grid]) -> None:
    for number, rate in enumerate((0.003, 0.03)):
        overrides = (*CIFAR, "recipe.epochs=6", f"recipe.optimizer.lr={rate}")
        put_cell(tmp_path, f"study{number}", overrides, correct=(8,))
    grid = beside()
    assert "ours, recipe.epochs=6, recipe.optimizer.lr=0.003" in titles(grid)
    assert "ours, recipe.epochs=6, recipe.optimizer.lr=0.03" in titles(grid)


def test_published_figures_of_the_ablations_stand_in_the_row_of_their_options(tmp_path: Path) -> None:
    orders, grads = {"E1": "post", "E2": "pre"}, {"yes": "approxsign_both", "no": "ste"}
    made = grids(tmp_path)
    seen = 0
    for data in ("cifar10", "imagenet"):
        grid = made[f"scaling_downsample_approxsign_{data}"]
        for line in csv.DictReader((PUBLISHED / f"{data}_ablation.csv").open(newline="")):
            if line["network"] != "ResNetE18" or not line["log"] or line["log"] == "c9dfa9473":
                continue
            output = "popcount" if line["block_order"] == "E2" and line["scaling"] == "none" else "signed"
            row = {
                "order": orders[line["block_order"]],
                "output": output,
                "scaling": line["scaling"],
                "downsample": line["downsample"],
                "grad": grads[line["approxsign"]],
            }
            if data == "imagenet":
                row["recipe.batch_size"] = line["batch_total"]
            assert entry(grid, "authors' log, last epoch %", **row).value == float(line["last_top1_csv"])
            assert entry(grid, "authors' log, best epoch %", **row).value == float(line["best_top1_csv"])
            seen += 1
    assert seen == 16 + 10


def test_a_recalled_figure_never_stands_without_its_mark(tmp_path: Path) -> None:
    grid = grids(tmp_path)["scaling_downsample_approxsign_imagenet"]
    paper = [row[titles_of(grid).index("paper %")] for row in grid.rows]
    assert {one.mark for one in paper if one.value is not None} == {"m"}
    assert any(note.startswith("m: recalled and not checked") for note in grid.notes)


def test_figures_that_no_source_gives_are_said_to_be_not_found(tmp_path: Path) -> None:
    made = grids(tmp_path)
    for name in ("pretraining_imagenet", "bottleneck_imagenet"):
        grid = made[name]
        assert {row[titles_of(grid).index("paper %")].text for row in grid.rows} == {"not found"}
        assert any("not found in any source" in note for note in grid.notes)


def test_every_published_figure_is_traceable_to_a_line_of_a_file(tmp_path: Path) -> None:
    made = grids(tmp_path)
    for grid in made.values():
        for row in grid.rows:
            for column, one in zip(grid.columns, row, strict=True):
                if one.value is not None and not column.key.startswith(("ours", "macs", "binary", "speedup", "diff")):
                    assert one.more, (grid.name, column.key)
    assert sorted(made) == sorted(path.stem for path in DECLARED.glob("*.yaml") if "kind: list" not in path.read_text())


def titles_of(grid: Grid) -> list[str]:
    return [column.title for column in grid.columns]
