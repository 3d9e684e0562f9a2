"""How each kind of figure is read: said once on the page, and not below every figure."""

from __future__ import annotations

from collections.abc import Mapping

from bnn_ablate.report.grid import ChartKind

#: For each kind of figure a heading, and how it is read.
HOW: Mapping[ChartKind, tuple[str, str]] = {
    "waterfall": (
        "From the baseline, one change at a time",
        "The first row is the baseline with its 95 % interval. Each row below makes one change to it, and only that "
        "one: the bar leads from the baseline's mean top-1 to where the change takes it (full blue: up, hatched: "
        "down), and the line on its end is the 95 % interval of the change. Changes do not add up from row to row.",
    ),
    "effects": (
        "Effects",
        "Each line is one change, read from left to right as before → after: the point is its effect on top-1 in "
        "points, the thin line its 95 % interval, the thick one its 90 % interval. Right of the zero line the change "
        "helps. A thin line clear of zero is a sign of a difference, a thick one inside the grey band (the margin) a "
        "sign that both are equally good. The finding says what holds after all effects of its kind in the study are "
        "counted (Holm), so that a line just clear of zero may be undecided. n is the number of runs in the thinnest "
        "of the cells. Hollow points have no interval, because nothing was repeated or the seeds did not differ at "
        "all. In simple effects all other axes are at their baselines; main effects are means over the options of all "
        "other axes, and where two axes interact, their simple effects say more.",
    ),
    "interactions": (
        "Interactions",
        "Mean top-1 for each option of one axis (along x) and of another (the lines). Parallel lines: the choice does "
        "the same beside each option of the other. Bars are 95 % intervals of the means, from the spread of all runs "
        "of the study; hollow points have none. What may be said of the interaction itself stands above each panel: "
        "by how many points the effect of one axis differs between two options of the other, and its 95 % interval.",
    ),
    "cost": (
        "Accuracy against cost",
        "Each point is a cell: mean top-1 over its seeds, with its 95 % interval, against a cost. Filled points are "
        "the Pareto front, cells than which none is both cheaper and more accurate on average; the line is the best "
        "mean that can be had up to a cost. Cells of one cost stand side by side. Where intervals overlap, other "
        "seeds could give another front. Size counts 1 bit a binary weight and 32 bits the rest; MACs are those of "
        "the convolutions for one image, 64 binary ones counted as one; latency is the median time of the packed "
        "network for one image, on the one machine, kernel and number of threads that most cells were measured with.",
    ),
    "curves": (
        "Test accuracy by epoch",
        "Top-1 on the test set after each epoch, as recorded; it chose nothing, and the result is the last epoch's. "
        "Thick with markers: the mean over the cell's seeds, thin: each seed. Where thin lines of two cells mix, so "
        "would their next runs.",
    ),
    "authors": (
        "Our curves over the authors'",
        "Top-1 on the test set against the share of the training that is done, because the trainings have different "
        "lengths. Black: one run of the authors (seed 123), as they logged its accuracy after each epoch; where the "
        "log says an epoch twice because the run was resumed, the later line counts. Blue: ours, the mean over seeds, "
        "and each seed as a thin line. The scopes differ, as each panel's key says, and so do the recipes: the picture "
        "compares how trainings go, not what they reach.",
    ),
    "flips": (
        "Signs that flip",
        "Share of all latent weights whose sign after an epoch is another one than before it (in the first epoch: than "
        "at the start). Thick with markers: the mean over the cell's seeds, thin: each seed. A share that stays high "
        "says that weights still swing around zero; one that falls to nothing, that the binary network no longer "
        "changes.",
    ),
}
