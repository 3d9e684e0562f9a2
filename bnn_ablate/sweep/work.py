"""How much there is to compute in a run: a formula in seconds of one processor, to be scaled by what was measured.

A step of ``B`` images of a network with ``P`` parameters and ``F`` float and ``Q`` binary MACs an image takes

    STEP + PARAMETER P + B (IMAGE + FLOAT_MAC F + BINARY_MAC Q)

Coefficients: least squares of relative errors over steps of 19 networks at 16 and 64 images each, on one thread of an
AMD EPYC with AVX-512 (docs/LOG.md). Nobody is told these seconds: only ratios of two runs of one machine are used.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnn_ablate.record import CostFacts

STEP = 11.4e-3
PARAMETER = 2.4e-9
IMAGE = 0.20e-3
FLOAT_MAC = 70e-12
BINARY_MAC = 22e-12
#: A forward pass alone, as a share of a training step's work on the same images.
FORWARD = 0.2
#: Packing, the latency of the packed network, and what else ends a run once.
FINISH = 1.2
#: The test images pass through the float and the packed network, and the first ones once more, with their signs kept.
FINAL_PASSES = 3


@dataclass(frozen=True)
class Task:
    """What a recipe asks of a network: ``steps`` and ``evaluated`` images an epoch, ``tested`` images at the end."""

    batch_size: int
    steps: int
    epochs: int
    evaluated: int
    tested: int


def step_work(cost: CostFacts, batch_size: int) -> float:
    """One step of training."""
    return STEP + PARAMETER * cost.params + batch_size * image_work(cost)


def image_work(cost: CostFacts) -> float:
    """What a training step spends on each of its images."""
    return IMAGE + FLOAT_MAC * cost.macs_float + BINARY_MAC * cost.macs_binary


def training_work(cost: CostFacts, task: Task, epochs: int) -> float:
    """The steps of ``epochs`` epochs."""
    return epochs * task.steps * step_work(cost, task.batch_size)


def other_work(cost: CostFacts, task: Task, epochs: int) -> float:
    """All that is not training in a run of which ``epochs`` epochs are left: their evaluations, and the end."""
    images = epochs * task.evaluated + FINAL_PASSES * task.tested
    return FINISH + images * FORWARD * image_work(cost)
