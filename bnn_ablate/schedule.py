"""Learning-rate factors, step by step."""

from __future__ import annotations

import math

from bnn_ablate.recipe import CosineSchedule, StepSchedule


def rate_factor(schedule: StepSchedule | CosineSchedule, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the base rate is multiplied by at optimizer step ``step`` (from 0).

    Warm-up rises linearly to 1 over ``warmup_epochs``: the first step has 1 / steps, the last one 1. After it, step
    schedules count epochs from the start of training; the cosine goes from 1 to 0 over the steps that are left, and
    would reach 0 at the step after the last one.
    """
    warmup = schedule.warmup_epochs * steps_per_epoch
    if step < warmup:
        return (step + 1) / warmup
    if isinstance(schedule, StepSchedule):
        epoch = step // steps_per_epoch
        return float(schedule.factor ** sum(epoch >= milestone for milestone in schedule.milestones))
    progress = (step - warmup) / (epochs * steps_per_epoch - warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))
