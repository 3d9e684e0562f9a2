"""Sizes that an option does not name but asks for: those at which two networks are equal in bits or in MACs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bnn_ablate.cost import Cost, count_cost
from bnn_ablate.design import Activations, Bottleneck, Design, Growth, Init, Scaling, Weights
from bnn_ablate.models.binary_densenet import BinaryDenseNet
from bnn_ablate.models.resnet_e import ResNetE
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes, scaled, with_growth

Sizes = ResNetESizes | BinaryDenseNetSizes

#: Two networks are matched when they differ by no more than this share.
TOLERANCE = 0.02
#: A search ends here: no network that is still too small is worth waiting for.
LARGEST = 2**14
#: How often single sizes are moved where no common factor comes within the tolerance.
MOVES = 16

#: The networks one small step away from one.
Vary = Callable[[Sizes], list[Sizes]]


@dataclass(frozen=True)
class Fitted:
    """Sizes as they are built, and the sentence that says what was chosen (None where nothing was)."""

    model: Sizes
    said: str | None


@dataclass(frozen=True)
class Shape:
    """What a network's cost depends on beside its sizes and its design."""

    in_channels: int
    num_classes: int
    image_size: int

    @cache  # noqa: B019 - shapes are few and small
    def cost(self, model: Sizes, design: Design) -> Cost:
        """The cost of a network of these very sizes, whose weights are never made.

        Counted as binary and unscaled, so that float twins and scaled networks have the sizes of the others.
        """
        design = replace(
            design,
            weights=Weights(name="sign"),
            activations=Activations(name="sign", function=None),
            scaling=Scaling(name="none", gradient=False),
            init=Init(name="he_fan_in"),  # glorot draws again and again until values fit: for ever, where none is drawn
        )
        # what is drawn all the same must not move the caller's generator
        with torch.random.fork_rng(devices=[]), _Unfilled():
            if isinstance(model, ResNetESizes):
                network: nn.Module = ResNetE(model, design, in_channels=self.in_channels, num_classes=self.num_classes)
            else:
                network = BinaryDenseNet(model, design, in_channels=self.in_channels, num_classes=self.num_classes)
        return count_cost(network, (self.in_channels, self.image_size, self.image_size))


class _Unfilled(TorchFunctionMode):
    """New weights are left as the memory they got: drawing them takes most of the time in which a network is made."""

    FILLING = (Tensor.normal_, Tensor.uniform_, nn.init.normal_, nn.init.kaiming_uniform_)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = {} if kwargs is None else kwargs
        if func in self.FILLING:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@cache  # asked for again when the network is built and when it is recorded
def fit_sizes(model: Sizes, design: Design, *, in_channels: int, num_classes: int, image_size: int) -> Fitted:
    """The sizes that ``growth`` and ``bottleneck`` ask for; ``model`` itself where they ask for none.

    Bottlenecks are matched to the same network without them, growth rates to the model's own rate. Raises ValueError
    where no network is within 2 %.
    """
    shape = Shape(in_channels, num_classes, image_size)
    said = []
    if isinstance(model, BinaryDenseNetSizes) and design.growth.rate is not None:
        own_design = replace(design, growth=Growth(name="default", rate=None, match="none"))
        own = model
        model = with_growth(model, design.growth)
        if design.growth.match in ("size", "macs"):
            search = Search(shape, design.growth.match, target=shape.cost(own, own_design))
            nominal = _unscaled(model)
            model = search.nearest(lambda rate: _widened(nominal, rate), _width(nominal), _varied_features, design)
            asked = f"growth={design.growth.name} growth.match={design.growth.match}"
            said.append(search.sentence(asked, model, design))
    bottleneck = design.bottleneck
    if bottleneck.by is not None:
        plain = replace(design, bottleneck=Bottleneck(name="none", by=None))
        unit = "size" if bottleneck.name == "classic_size" else "macs"
        search = Search(shape, unit, target=shape.cost(model, plain))
        base = _unscaled(model)
        if bottleneck.by == "width":
            model = search.nearest(lambda step: _widened(base, step), _width(base), _varied_features, design)
        else:
            own_blocks = _blocks(base)
            model = search.nearest(
                lambda total: _with_blocks(base, _spread(own_blocks, total)), sum(own_blocks), _varied_blocks, design
            )
        said.append(search.sentence(f"bottleneck={bottleneck.name}", model, design))
    return Fitted(model=model, said="; ".join(said) if said else None)


@dataclass(frozen=True)
class Search:
    """A search for the network whose stored bits or combined MACs are nearest to those of ``target``."""

    shape: Shape
    unit: str
    target: Cost

    def measure(self, cost: Cost) -> float:
        return cost.size_mib if self.unit == "size" else cost.macs_combined / 1e6

    def nearest(self, candidate: Callable[[int], Sizes], start: int, vary: Vary, design: Design) -> Sizes:
        """The best of candidate(1), candidate(2), ..., whose costs rise but for jumps; the search begins at ``start``.

        A convolution that appears where features change, or a reduction that is rounded, makes such jumps; where they
        leave none within the tolerance, single sizes are moved as ``vary`` says.
        """
        goal = self.measure(self.target)

        def measured(model: Sizes) -> float:
            try:
                return self.measure(self.shape.cost(model, design))
            except ValueError:  # so narrow that a reduction would leave nothing
                return 0.0

        def off(model: Sizes) -> float:
            return abs(measured(model) / goal - 1)

        below, above = 0, start
        while measured(candidate(above)) < goal and above < LARGEST:
            below, above = above, 2 * above
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if measured(candidate(middle)) < goal else (below, middle)
        best = here = min((candidate(step) for step in (below, above) if step > 0), key=off)
        seen = {here}
        for _ in range(MOVES):
            near = [model for model in vary(here) if model not in seen]
            if off(best) <= TOLERANCE or not near:
                break
            here = min(near, key=off)
            seen.add(here)
            best = min(best, here, key=off)
        if off(best) > TOLERANCE:
            raise ValueError(
                f"no sizes come within {TOLERANCE:.0%} of {self.shown(goal)} with bottleneck={design.bottleneck.name} "
                f"growth={design.growth.name}: the nearest has {self.shown(measured(best))}"
            )
        return best

    def shown(self, value: float) -> str:
        return f"{value:.4g} {'MiB' if self.unit == 'size' else 'M combined MACs'}"

    def sentence(self, asked: str, model: Sizes, design: Design) -> str:
        found = self.measure(self.shape.cost(model, design))
        sizes = f"{sizes_text(model)}: {self.shown(found)} against {self.shown(self.measure(self.target))}"
        return f"{asked} chose {sizes}"


def sizes_text(model: Sizes) -> str:
    """The sizes that a search may change, spelt as on the command line."""
    if isinstance(model, ResNetESizes):
        return f"model.channels={list(model.channels)} model.blocks_per_stage={list(model.blocks_per_stage)}"
    layers = f"model.layers_per_stage={list(model.layers_per_stage)}"
    return f"model.growth={model.growth} model.init_features={model.init_features} {layers}"


def _unscaled(model: Sizes) -> Sizes:
    """The same sizes with the width multiplier worked in."""
    if isinstance(model, ResNetESizes):
        channels = tuple(scaled(features, model.width) for features in model.channels)
        return replace(model, channels=channels, stem_features=scaled(model.stem_features, model.width), width=1.0)
    growth, features = scaled(model.growth, model.width), scaled(model.init_features, model.width)
    return replace(model, growth=growth, init_features=features, width=1.0)


def _width(base: Sizes) -> int:
    """The step at which :func:`_widened` gives ``base`` itself, nearly."""
    return sum(base.channels) // 4 if isinstance(base, ResNetESizes) else base.growth


def _widened(base: Sizes, step: int) -> Sizes:
    """``base`` with about ``step`` quarters of channels over all stages, or that growth rate."""
    if isinstance(base, ResNetESizes):
        return replace(base, channels=tuple(4 * quarter for quarter in _spread(base.channels, step)))
    return replace(base, growth=step)


def _varied_features(model: Sizes) -> list[Sizes]:
    """One stage wider or narrower; of a dense network the growth rate, or the features that it begins with."""
    if isinstance(model, ResNetESizes):
        return [replace(model, channels=channels) for channels in _varied(model.channels, by=4)]
    return [
        *(replace(model, growth=growth) for (growth,) in _varied((model.growth,), by=1)),
        *(replace(model, init_features=features) for (features,) in _varied((model.init_features,), by=4)),
    ]


def _blocks(model: Sizes) -> tuple[int, ...]:
    return model.blocks_per_stage if isinstance(model, ResNetESizes) else model.layers_per_stage


def _with_blocks(model: Sizes, blocks: tuple[int, ...]) -> Sizes:
    if isinstance(model, ResNetESizes):
        return replace(model, blocks_per_stage=blocks)
    return replace(model, layers_per_stage=blocks)


def _varied_blocks(model: Sizes) -> list[Sizes]:
    """One stage longer or shorter."""
    return [_with_blocks(model, blocks) for blocks in _varied(_blocks(model), by=1)]


def _varied(sizes: tuple[int, ...], *, by: int) -> list[tuple[int, ...]]:
    """One of the sizes up or down."""
    moved = [(*sizes[:i], sizes[i] + step, *sizes[i + 1 :]) for i in range(len(sizes)) for step in (-by, by)]
    return [candidate for candidate in moved if min(candidate) > 0]


def _spread(proportions: tuple[int, ...], total: int) -> tuple[int, ...]:
    """About ``total`` things in these proportions, at least one a stage; stages take turns to grow."""
    stages = len(proportions)
    return tuple(max(1, int(n * total / sum(proportions) + (i + 0.5) / stages)) for i, n in enumerate(proportions))
