"""Contenders one after the other, round by round, so that whatever else the machine does meets all of them.

Before it is measured a contender has to answer as it should. Runs of the same binary network may differ: a float sum in
another order may be on the other side of zero, and in a network without training a flipped sign soon changes every
logit. But a network that computes something else agrees with ours on no image, and one that computes the same agrees
to rounding on all images in which no sign flips.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnn_ablate.bench.peers import Run
from bnn_ablate.packed.graph import Floats

#: Largest difference of a logit, over the spread of logits, that is rounding.
ROUNDING = 1e-3
#: Where 8 bits stand for floats.
ROUNDING_INT8 = 0.5
#: Images on which answers are compared: at first, and at most, where none of the first agrees.
FIRST_CHECKED, MOST_CHECKED = 8, 64

#: Seconds for one contender, after which its rounds become fewer.
SECONDS = 1.0
FEWEST_ROUNDS = 3
#: Calls above these seconds find caches and threads as good as their own: they need no call before.
LONG_CALL = 0.1


@dataclass(frozen=True)
class Agreement:
    """How the answers to ``images`` images compare with the expected ones."""

    images: int
    equal: int
    same_class: int
    #: of a logit, over the standard deviation of all expected logits
    difference: float
    tolerance: float

    @property
    def right(self) -> bool:
        return self.equal > 0

    def __str__(self) -> str:
        alike = "equal" if self.tolerance == ROUNDING else "alike"
        return f"{self.equal}/{self.images} {alike}, {self.same_class} same class, apart {self.difference:.1g}"


def compare(answers: Floats, expected: Floats, tolerance: float = ROUNDING) -> Agreement:
    """Logits (N, classes) against those that are right; a difference is in units of the spread of the latter."""
    apart = np.abs(answers - expected).max(1) / max(float(expected.std()), 1e-30)
    same = answers.argmax(1) == expected.argmax(1)
    return Agreement(len(expected), int((apart <= tolerance).sum()), int(same.sum()), float(apart.max()), tolerance)


def checked(run: Run, expected: Run, batch: int, images: Floats, tolerance: float = ROUNDING) -> Agreement:
    """Compare two contenders on the first of ``images``, and on more where they agree on none of them."""
    first = -(-FIRST_CHECKED // batch) * batch
    found = compare(_answers(run, images[:first], batch), _answers(expected, images[:first], batch), tolerance)
    if not found.right and len(images) > first:
        found = compare(_answers(run, images, batch), _answers(expected, images, batch), tolerance)
    return found


def _answers(run: Run, images: Floats, batch: int) -> Floats:
    return np.concatenate([run(images[i : i + batch]) for i in range(0, len(images), batch)])


def noise(batch: int, shape: tuple[int, int, int]) -> Floats:
    """Images for :func:`checked`, in whole batches."""
    count = -(-MOST_CHECKED // batch) * batch
    return np.random.default_rng(0).standard_normal((count, *shape)).astype(np.float32)


@dataclass(frozen=True)
class Sample:
    """Seconds of one call: by the clock, and of processors, which others on the machine disturb less."""

    wall: float
    cpu: float


#: One contender's calls by the number of their round.
Samples = dict[int, Sample]


def interleaved(runs: Mapping[str, Run], always: Sequence[str], images: Floats, rounds: int) -> dict[str, Samples]:
    """Times of calls in up to ``rounds`` rounds, in each the contenders in another order.

    A turn is a call that is not timed, for caches, threads and clock rate to become the contender's own, and one that
    is. Slow contenders take part in fewer rounds; those named in ``always`` in all of them.
    """
    once = {name: _timed(run, images).wall for name, run in runs.items()}
    total = sum(once[name] for name in always)
    rounds = max(min(rounds, FEWEST_ROUNDS), min(rounds, int(3 * SECONDS * len(always) / total)))
    every = {
        name: 1 if name in always else min(max(1, round(rounds * seconds / SECONDS)), max(1, rounds // FEWEST_ROUNDS))
        for name, seconds in once.items()
    }
    samples: dict[str, Samples] = {name: {} for name in runs}
    gc.collect()
    gc.disable()
    try:
        for i in range(rounds):
            turn = [name for name in runs if i % every[name] == 0]
            random.Random(i).shuffle(turn)
            for name in turn:
                if once[name] < LONG_CALL:
                    runs[name](images)
                samples[name][i] = _timed(runs[name], images)
    finally:
        gc.enable()
    return samples


def _timed(run: Run, images: Floats) -> Sample:
    wall, cpu = time.perf_counter(), time.process_time()
    run(images)
    return Sample(time.perf_counter() - wall, time.process_time() - cpu)
