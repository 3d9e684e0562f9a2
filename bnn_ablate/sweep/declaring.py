"""What a sweep declares for its study before its first run starts, checked against the jobs that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bnn_ablate.analysis import Declaration, same_option
from bnn_ablate.identity import spelt
from bnn_ablate.report.cells import flatten, split_override
from bnn_ablate.settings import SettingsError
from bnn_ablate.store import Store, now
from bnn_ablate.study import Job, asked, read_study, study_path
from bnn_ablate.sweep.jobs import SweepJobs


def declaration_of(store: Store, study: str, jobs: SweepJobs) -> Declaration | None:
    """What the command declares for its study; None where every combination was refused.

    Results that the study has from before count as done, whichever command asked for them.
    """
    if not jobs.jobs:
        return None
    analysis = jobs.jobs[0].settings.analysis
    before = (job.run_id for job in _planned_before(store, study) if job.run_id is not None)
    runs = {*before, *(job.run_id for job in jobs.jobs)}
    return Declaration(
        margin=analysis.margin,
        baseline=analysis.baseline,
        seeds=sorted({job.settings.seed for job in jobs.jobs}),
        time=now(),
        done=sum(store.run(run_id).has_record for run_id in runs),
    )


def check_declared(store: Store, study: str, jobs: SweepJobs) -> None:
    """Raise SettingsError where the baseline names an axis that no job varies, or an option that no job has.

    Jobs that the study has from before count as well, so that a single cell can be given more seeds.
    """
    if jobs.jobs:
        choices = [*_composed(jobs), *(Choice(_chosen(job.overrides), {}) for job in _planned_before(store, study))]
        check_baseline(jobs.jobs[0].settings.analysis.baseline, choices)


def _planned_before(store: Store, study: str) -> list[Job]:
    """The jobs that the study has already, without those that were refused."""
    path = study_path(store.studies, study)
    return [job for job in read_study(path).jobs if job.refused is None] if path.exists() else []


@dataclass(frozen=True)
class Choice:
    """What one job chose: by its overrides, and by everything else that it is made of, where that is known."""

    overrides: Mapping[str, str]
    leaves: Mapping[str, str]

    def of(self, axis: str) -> str | None:
        """The option that it has on an axis; None where nobody says it."""
        return self.overrides.get(axis, self.leaves.get(axis))


def check_baseline(baseline: Mapping[str, str], choices: Sequence[Choice]) -> None:
    """Refuse a baseline from which no effect of these jobs could start."""
    options = {axis: _options(axis, choices) for axis in dict.fromkeys(key for one in choices for key in one.overrides)}
    varied = [axis for axis, values in options.items() if len(values) > 1]
    for axis, option in baseline.items():
        if axis not in varied:
            raise SettingsError(
                f"analysis.baseline.{axis}={option} is of an axis that no job varies: "
                + (f"the jobs vary {', '.join(varied)}" if varied else "the jobs vary nothing but seeds")
            )
        if not any(same_option(option, value) for value in options[axis]):
            raise SettingsError(
                f"analysis.baseline.{axis}={option} is an option that no job has: choose one of "
                f"{', '.join(options[axis])}"
            )


def _options(axis: str, choices: Sequence[Choice]) -> list[str]:
    """The options that the jobs have on an axis, each once, in the order of the jobs."""
    found: list[str] = []
    for choice in choices:
        option = choice.of(axis)
        if option is not None and not any(same_option(option, known) for known in found):
            found.append(option)
    return found


def _composed(jobs: SweepJobs) -> list[Choice]:
    """The choices of the jobs that can run, as overrides and as everything that these were composed to."""
    found = []
    for job in jobs.jobs:
        words = asked(list(job.overrides), folder=job.settings.data.name == "image_folder")
        found.append(Choice(_chosen(words), dict(flatten(spelt(job.settings)))))
    return found


def _chosen(words: Sequence[str]) -> dict[str, str]:
    chosen = dict(split_override(text) for text in words)
    chosen.pop("seed", None)
    return chosen
