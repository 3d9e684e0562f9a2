"""What the dashboard shows, in the words of wandb-workspaces: panels, the workspace, the report."""

from __future__ import annotations

from typing import Any

import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws
from wandb_workspaces import expr

from bnn_ablate.dashboard.subject import Subject

#: Panels of one row of a report, and their size in its grid of 24 columns.
WIDTH, HEIGHT = 12, 8

#: Runs whose lines one panel shows.
MAX_RUNS = 50


def axis_bars(subject: Subject) -> list[wr.BarPlot]:
    """For each axis its options' mean top-1 over all other axes and seeds, with the standard error of that mean."""
    return [
        wr.BarPlot(
            title=f"top-1 by {axis.key}: mean over all other axes and seeds, ± standard error",
            metrics=[wr.SummaryMetric("top1")],
            orientation="v",
            groupby=wr.Config(axis.column),
            groupby_aggfunc="mean",
            groupby_rangefunc="stderr",
        )
        for axis in subject.axes
    ]


def cell_bars() -> list[wr.BarPlot]:
    """Each cell's mean top-1 over its seeds with their standard deviation, float and packed."""
    return [
        wr.BarPlot(
            title=f"{title} of each cell: mean over seeds, ± standard deviation",
            metrics=[wr.SummaryMetric(metric)],
            orientation="h",
            groupby=wr.Config("cell"),
            groupby_aggfunc="mean",
            groupby_rangefunc="stddev",
            max_bars_to_show=100,
            max_runs_to_show=1000,
        )
        for metric, title in (("top1", "top-1"), ("packed_top1", "packed top-1"))
    ]


def importance(subject: Subject) -> list[wr.ParallelCoordinatesPlot | wr.ParameterImportancePlot]:
    """Parallel coordinates from the axes to top-1, and W&B's estimate of what matters."""
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(axis.column), display_name=axis.key) for axis in subject.axes
    ]
    top1 = wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric("top1"), display_name="top-1")
    return [
        wr.ParallelCoordinatesPlot(columns=[*columns, top1], title="axes and top-1"),
        wr.ParameterImportancePlot(with_respect_to="top1"),
    ]


def costs() -> list[wr.ScatterPlot]:
    """Top-1 against size, MACs and latency."""
    axes = (
        ("size_mib", "size (MiB)"),
        ("macs_combined", "MACs of one image, 64 binary ones counted as one"),
        ("latency_ms", "median latency of one image, packed (ms)"),
    )
    return [
        wr.ScatterPlot(
            title=f"top-1 against {title}",
            x=wr.SummaryMetric(metric),
            y=wr.SummaryMetric("top1" if metric != "latency_ms" else "packed_top1"),
            log_x=True,
        )
        for metric, title in axes
    ]


def curves() -> list[wr.LinePlot]:
    """Curves over epochs, one line a cell: the mean over its seeds and their range."""
    lines = (
        ("test_top1", "top-1 on the test set"),
        ("train_top1", "top-1 in training"),
        ("train_loss", "loss in training"),
        ("test_loss", "loss on the test set"),
        ("lr", "learning rate"),
        ("flipped_signs/all", "share of weight signs flipped in an epoch"),
    )
    grouped = {"groupby": wr.Config("cell"), "groupby_aggfunc": "mean", "groupby_rangefunc": "minmax"}
    return [
        wr.LinePlot(title=title, x="epoch", y=[metric], max_runs_to_show=MAX_RUNS, **grouped) for metric, title in lines
    ]


def layers() -> list[wr.LinePlot]:
    """One panel a quantity with a line for each layer."""
    quantities = (
        ("flipped_signs", "share of weight signs flipped in an epoch"),
        ("saturated_activations", "share of activations beyond the clip"),
        ("gradient_norm", "norm of the weight's gradient in the epoch's last step"),
    )
    return [
        wr.LinePlot(title=f"{title}, by layer", x="epoch", metric_regex=f"{name}/.*", max_runs_to_show=1)
        for name, title in quantities
    ]


def trained_runs(subject: Subject) -> expr.And:
    """The sweep's runs, without the float networks that some of them start from."""
    return expr.And(expr.Metric("Group") == subject.sweep, expr.Metric("JobType") == "train")


def columns(subject: Subject) -> list[str]:
    """The columns that the table of runs shows first, in W&B's names for them."""
    settings = [f"config:{name}.value" for name in (*(axis.column for axis in subject.axes), "seed")]
    return [*settings, "summary:top1", "summary:packed_top1", "summary:size_mib", "summary:macs_combined"]


def workspace_of(subject: Subject, entity: str) -> ws.Workspace:
    """The saved view of the project, of the sweep's runs only."""
    sections = {
        "Axes": axis_bars(subject),
        "Cells": cell_bars(),
        "What matters": importance(subject),
        "Accuracy and cost": costs(),
        "Curves": curves(),
        "Layers": layers(),
    }
    return ws.Workspace(
        entity=entity,
        project=subject.project,
        name=f"bnn_ablate {subject.sweep}",
        sections=[ws.Section(name=name, panels=list(panels), is_open=True) for name, panels in sections.items()],
        settings=ws.WorkspaceSettings(x_axis="epoch", max_runs=MAX_RUNS),
        runset_settings=ws.RunsetSettings(
            filters=trained_runs(subject),
            order=[expr.Ordering(expr.Summary("top1"), ascending=False)],
            pinned_columns=columns(subject),
        ),
    )


def report_of(subject: Subject, entity: str, *, found: bool) -> wr.Report:
    """The report. ``found``: the server is there to name the project of its runs by number, as a report must.

    Without, its sets of runs name no project.
    """
    place = {"entity": entity, "project": subject.project} if found else {}
    parts = (
        (
            "Each axis",
            "Bars average over all other axes as well: they show a tendency, not a paired effect.",
            axis_bars,
        ),
        ("Each cell", "The spread is that of the seeds.", lambda _: cell_bars()),
        (
            "What matters",
            "Importance is W&B's: a random forest from columns to top-1, without an interval.",
            importance,
        ),
        ("Accuracy and cost", "Latency is missing where other work ran on the machine.", lambda _: costs()),
        ("Curves", "Lines are means over seeds.", lambda _: curves()),
    )
    blocks = []
    for title, text, panels in parts:
        runs = wr.Runset(
            name=subject.sweep,
            filters=trained_runs(subject),
            pinned_columns=columns(subject),
            **place,
        )
        blocks += [wr.H2(title), wr.P(text), wr.PanelGrid(runsets=[runs], panels=arranged(panels(subject)))]
    note = "The records of the runs are the source; intervals and paired tests are in the tables of bnn_ablate.report."
    return wr.Report(
        entity=entity,
        project=subject.project,
        title=f"bnn_ablate: {subject.sweep}"[:128],
        description=f"Axes: {', '.join(axis.key for axis in subject.axes)}. {note}",
        blocks=blocks,
        width="fluid",
    )


def arranged(panels: list[Any]) -> list[Any]:
    """Two panels a row."""
    for number, panel in enumerate(panels):
        panel.layout = wr.Layout(x=(number % 2) * WIDTH, y=(number // 2) * HEIGHT, w=WIDTH, h=HEIGHT)
    return panels
