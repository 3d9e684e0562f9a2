"""What tells the runs of a sweep apart: for their names, and for the columns and charts of W&B."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnn_ablate.study import Job

#: The name of the job that asks nothing which all others do not ask too.
BASELINE = "baseline"


@dataclass(frozen=True)
class Axis:
    """Something that a sweep varies: ``key`` as on the command line, ``column`` as W&B can show it."""

    key: str

    @property
    def column(self) -> str:
        """The key without the signs that W&B gives a meaning of its own: ``recipe_optimizer_lr``."""
        return re.sub("[^A-Za-z0-9]+", "_", self.key)

    def value(self, config: Mapping[str, Any]) -> Any:
        """The value in a run's configuration, of a choice its name; None where the run has no such setting."""
        found: Any = config
        for step in re.split("[./]", self.key):
            found = found.get(step) if isinstance(found, Mapping) else None
        return found.get("name") if isinstance(found, Mapping) else found


def axes_of(jobs: Sequence[Job]) -> list[Axis]:
    """What differs among the jobs, seeds aside, in the order of the command line."""
    asked = [dict(text.lstrip("+~").partition("=")[::2] for text in job.overrides) for job in jobs]
    keys = dict.fromkeys(key for one in asked for key in one)
    return [Axis(key) for key in keys if key != "seed" and len({one.get(key) for one in asked}) > 1]


def cell_of(name: str) -> str:
    """A run's name without its seed: what the runs of one cell share."""
    cell = " ".join(word for word in name.split(" ") if not word.startswith("seed="))
    return cell if cell else BASELINE


def names_of(asked_for: Sequence[Sequence[str]]) -> list[str]:
    """What each job asks that not all of them do; of a single job all that it asks."""
    shared = set.intersection(*map(set, asked_for)) if len(asked_for) > 1 else set()
    names = [" ".join(text for text in one if text not in shared) for one in asked_for]
    return [name if name else BASELINE for name in names]


def name_among(label: str, jobs: Sequence[Job]) -> str:
    """The name of the job whose overrides are ``label``; ``label`` where there is none."""
    names = names_of([job.overrides for job in jobs])
    return next((name for name, job in zip(names, jobs, strict=True) if " ".join(job.overrides) == label), label)
