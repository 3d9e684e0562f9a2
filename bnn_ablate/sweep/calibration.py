"""Networks counted, and steps timed, where no record tells how long a run takes. Writes nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor

from bnn_ablate.allocator import keep_freed_memory
from bnn_ablate.classifier import make_optimizer
from bnn_ablate.cost import count_cost
from bnn_ablate.data.batches import train_batches
from bnn_ablate.data.images import ImageSet
from bnn_ablate.design import Init
from bnn_ablate.layers import set_binary_forward
from bnn_ablate.provenance import pin_arithmetic
from bnn_ablate.record import CostFacts
from bnn_ablate.settings import Settings
from bnn_ablate.sweep.past import Ask, Pace
from bnn_ablate.sweep.work import step_work
from bnn_ablate.trained import new_network

#: Seconds after which no further network is timed.
BUDGET = 5.0
#: Steps of a network: at least, and no more once they have taken so many seconds.
FEWEST, ENOUGH_SECONDS = 3, 0.5
#: A step that the formula expects to take longer is timed with fewer images.
LONGEST_STEP = 0.3
#: BatchNorm needs more than one value a channel.
FEWEST_IMAGES = 2


def count(settings: Settings) -> CostFacts:
    """Parameters and MACs of a run's network. Raises SettingsError where its sizes leave no network."""
    # how weights are drawn changes no count, and this way takes the least time
    design = replace(settings.design, init=Init(name="he_fan_in"))
    size = settings.data.image_size
    cost = count_cost(new_network(replace(settings, design=design)), (len(settings.data.mean), size, size))
    return CostFacts(
        params=cost.params,
        params_binary=cost.params_binary,
        size_bits=cost.size_bits,
        macs_float=cost.macs_float,
        macs_binary=cost.macs_binary,
    )


def why_not(settings: Settings) -> str | None:
    """Why a run's steps cannot be timed here, in one sentence; None where they can."""
    trainer = settings.trainer
    if trainer.accelerator == "gpu" and not torch.cuda.is_available():
        return "trains on a GPU and this machine has none: plan it on the machine that trains"
    if trainer.devices > 1:
        return f"trains in {trainer.devices} processes: a finished run on this machine tells how fast"
    if trainer.compile:
        return "is compiled first (trainer.compile=true): a finished run on this machine tells how fast"
    return None


def calibrate(asked: Mapping[Ask, Settings], costs: Mapping[str, CostFacts], budget: float = BUDGET) -> list[Pace]:
    """Time a few steps of one network of each family, and of others until ``budget`` seconds are over.

    What is asked for has to be possible (:func:`why_not`).
    """
    end = time.perf_counter() + budget
    paces: list[Pace] = []
    keep_freed_memory()
    at_least = len({(ask.place, ask.family) for ask in asked})
    for ask in in_order(list(asked)):
        if len(paces) >= at_least and time.perf_counter() > end:
            break
        images = images_a_step(costs[ask.counted], ask.task.batch_size)
        seconds = step_seconds(asked[ask], images)
        paces.append(Pace(ask, training=seconds / step_work(costs[ask.counted], images), other=None))
    return paces


def in_order(asks: Sequence[Ask]) -> list[Ask]:
    """Each network of each place once: first one of each family, then one of each sizes, then the others.

    The sizes that most of them have come first.
    """
    distinct: dict[tuple[object, ...], Ask] = {}
    for ask in asks:
        distinct.setdefault((ask.place, ask.network, ask.task.batch_size if ask.place.gpu else None), ask)
    frequent = Counter((ask.place, ask.sizes) for ask in asks)
    by_frequency = sorted(distinct.values(), key=lambda ask: -frequent[ask.place, ask.sizes])
    families: set[tuple[object, str]] = set()
    turns: Counter[tuple[object, str]] = Counter()
    turn_of: dict[Ask, tuple[bool, int]] = {}
    for ask in by_frequency:
        family, sizes = (ask.place, ask.family), (ask.place, ask.sizes)
        turn_of[ask] = (family in families, turns[sizes])
        families.add(family)
        turns[sizes] += 1
    return sorted(by_frequency, key=lambda ask: turn_of[ask])


def images_a_step(cost: CostFacts, batch_size: int) -> int:
    """The recipe's images, or fewer where a step of so many would take long by the formula."""
    images = batch_size
    while images > FEWEST_IMAGES and step_work(cost, images) > LONGEST_STEP:
        images = max(FEWEST_IMAGES, images // 2)
    return images


def step_seconds(settings: Settings, images: int) -> float:
    """Seconds of one training step with ``images`` images of noise: batch, forward, backward, optimizer; the median.

    Of one thread they are seconds of its processor, which other work on the machine does not lengthen.
    """
    pin_arithmetic(settings.trainer.threads)
    device = torch.device("cuda" if settings.trainer.accelerator == "gpu" else "cpu")
    network = new_network(settings).to(device)
    set_binary_forward(network, settings.trainer.binary_forward)
    optimizer = make_optimizer(network, settings.recipe)
    batches = noise_batches(settings, images, device)
    low = torch.autocast(device.type, torch.bfloat16) if settings.recipe.precision == "bf16" else nullcontext()

    alone = settings.trainer.accelerator == "cpu" and settings.trainer.threads == 1
    clock = time.process_time if alone else time.perf_counter

    def step() -> float:
        begin = clock()
        pixels, labels = next(batches)
        with low:
            loss = F.cross_entropy(network(pixels).float(), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        loss.item()  # waits for a GPU
        return clock() - begin

    step()
    end = time.perf_counter() + ENOUGH_SECONDS
    seconds: list[float] = []
    while len(seconds) < FEWEST or time.perf_counter() < end:
        seconds.append(step())
    return median(seconds)


def noise_batches(settings: Settings, images: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of noise without end, augmented as the recipe says.

    Images of folders are decoded by other processes beside the training: here they are there at once.
    """
    data = settings.data
    generator = torch.Generator().manual_seed(0)
    shape = (images, len(data.mean), data.image_size, data.image_size)
    labels = torch.randint(data.num_classes, (images,), generator=generator)
    if data.name == "image_folder":
        pixels = torch.randn(shape, generator=generator).to(device, memory_format=torch.channels_last)
        while True:
            yield pixels, labels.to(device)
    noise = ImageSet(torch.randint(256, shape, generator=generator, dtype=torch.uint8), labels)
    recipe = replace(settings.recipe, batch_size=images)
    batches = train_batches(noise, data, recipe, settings.seed, rank=0, world_size=1, device=device, workers=0)
    while True:
        yield from batches
