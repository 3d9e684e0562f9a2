"""Claims that are counted or computed, not estimated: the packed network, and what BatchNorm leaves of scaling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bnn_ablate.record import RecordError
from bnn_ablate.report.cells import flatten
from bnn_ablate.report.claims.lines import Line, Verdict
from bnn_ablate.report.notes import MOST_FLIPS
from bnn_ablate.report.numbers import counted, joined
from bnn_ablate.report.runs import Run
from bnn_ablate.report.smoke import is_smoke
from bnn_ablate.report.tables import Table
from bnn_ablate.scaling_errors import FILE, LayerErrors, read_errors

SMOKE_TEST = "smoke test: these images prove nothing"
#: How far two relative errors behind a BatchNorm may be apart and still be called one.
SAME_ERROR = 0.05


def judge_packed(tables: Sequence[Table]) -> list[Line]:
    """A line for all runs that have a packed evaluation, each counted once, and one for each table that has some.

    The worst run decides: many clean ones do not make up for one that is not. Smoke tests are left out where other runs
    were evaluated, and give no verdict alone.
    """
    lines = []
    for scope, study, runs in _groups(tables):
        evaluated = [run for run in runs if run.packed is not None and run.packed.status == "evaluated"]
        evidence = [run for run in evaluated if not _is_smoke_run(run)]
        if evaluated:
            verdict, why = _counts(evidence if evidence else evaluated)
            if not evidence:
                verdict, why = "no verdict", f"{SMOKE_TEST}; {why}"
            lines.append(Line(name="flipped sign bits", scope=scope, study=study, verdict=verdict, why=why))
    return lines


def judge_scaling_errors(tables: Sequence[Table]) -> list[Line]:
    """Two lines, alpha and alpha with K, for all runs of which somebody has computed the errors, and for each table.

    The claim holds where the factors lower the error of every layer, and behind a BatchNorm the errors with and without
    them are at most SAME_ERROR of the float output apart. Smoke tests are shown without a verdict.
    """
    lines = []
    for scope, study, runs in _groups(tables):
        layers, problems, smoke = _layers(runs)
        if problems:
            why = joined(problems)
            lines.append(Line(name="errors", scope=scope, study=study, verdict="no verdict", why=why))
        for name, field in (("alpha", "alpha"), ("alpha and K", "alpha_k")) if layers else ():
            before = sorted(getattr(one.before_norm, field) - one.before_norm.binary for one in layers)
            after = sorted(abs(getattr(one.after_norm, field) - one.after_norm.binary) for one in layers)
            why = (
                f"{counted(len(layers), 'layer')}: before BatchNorm the factors change the relative error by "
                f"{before[0]:+.3f} to {before[-1]:+.3f}, behind it by {after[-1]:.3f} at most "
                f"(median {after[len(after) // 2]:.3f}; {SAME_ERROR:g} counts as none)"
            )
            verdict: Verdict = "holds" if before[-1] < 0 and after[-1] <= SAME_ERROR else "contradicted"
            if smoke:
                verdict, why = "no verdict", f"{SMOKE_TEST}; {why}"
            lines.append(Line(name=name, scope=scope, study=study, verdict=verdict, why=why))
    return lines


def _groups(tables: Sequence[Table]) -> list[tuple[str, str | None, list[Run]]]:
    """All runs, each once, and those of each table."""
    of_tables = [(table.name, [run for cell in table.cells for run in cell.runs]) for table in tables]
    everything = _once(run for _, runs in of_tables for run in runs)
    return [("all runs", None, everything), *((f"runs of {name}", name, _once(runs)) for name, runs in of_tables)]


def _once(runs: Iterable[Run]) -> list[Run]:
    return list({run.run_id: run for run in runs}.values())


def _is_smoke_run(run: Run) -> bool:
    return is_smoke(dict(flatten({"data": run.config.get("data", {})})))


def _counts(evaluated: Sequence[Run]) -> tuple[Verdict, str]:
    """Whether the worst run flips few enough sign bits and no prediction changes without one."""
    packed = [run.packed for run in evaluated if run.packed is not None]
    flips = [(_number(one.flipped_sign_bits), _number(one.sign_bits)) for one in packed]
    shares = [flipped / bits if bits else 0.0 for flipped, bits in flips]
    apart = sum(_number(one.disagreeing_predictions) for one in packed)
    despite = sum(_number(one.disagreeing_with_equal_signs) for one in packed)
    worst = max(range(len(shares)), key=shares.__getitem__)
    of_one = f", at most a share of {shares[worst]:.1e} in one run ({evaluated[worst].run_id})" if shares[worst] else ""
    why = (
        f"{counted(len(packed), 'run')}: {sum(flipped for flipped, _ in flips)} of {sum(bits for _, bits in flips)} "
        f"sign bits differ{of_one}; {counted(apart, 'prediction')} apart, {despite} of them though all sign bits are "
        "equal"
    )
    return ("holds" if shares[worst] <= MOST_FLIPS and despite == 0 else "contradicted"), why


def _number(count: int | None) -> int:
    assert count is not None  # an evaluation has all of them
    return count


def _layers(runs: Sequence[Run]) -> tuple[list[LayerErrors], list[str], bool]:
    """The errors of the runs' own weights, what could not be read, and whether they are of smoke tests.

    Smoke tests are left out where other runs have errors.
    """
    evidence: list[LayerErrors] = []
    smoke: list[LayerErrors] = []
    problems = []
    for run in runs:
        path = run.folder / FILE if run.folder is not None else None
        if path is None or run.record is None or not path.exists():
            continue
        try:
            errors = read_errors(path)
        except (RecordError, OSError) as error:
            problems.append(f"{run.run_id}/{FILE}: {str(error).removeprefix(f'{path}: ')}")
            continue
        if errors.weight_digest == run.record.weight_digest:
            (smoke if _is_smoke_run(run) else evidence).extend(errors.layers)
        else:
            problems.append(f"{run.run_id}/{FILE} is of other weights: compute it again")
    return (evidence, problems, False) if evidence else (smoke, problems, bool(smoke))
