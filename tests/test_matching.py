"""Sizes that are matched: within 2 % of what they are matched to, and those of the paper where it has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import composed
from network_factories import make_binary_densenet, make_dense_design, make_design, make_resnet_e

from bnn_ablate.cost import Cost, count_cost
from bnn_ablate.design import Design
from bnn_ablate.job import settings_of
from bnn_ablate.models import build_network, fit_sizes
from bnn_ablate.models.matching import Sizes, sizes_text
from bnn_ablate.settings import Settings

CIFAR = ("data=cifar10", "recipe=cifar_wiki")
IMAGENET = ("data=image_folder", "data.root=images", "recipe=imagenet_2018")


def settings(*overrides: str) -> Settings:
    return settings_of(composed(*overrides))


def cost_of(model: Sizes, design: Design, side: int = 32, classes: int = 10) -> Cost:
    network = build_network(model, design, in_channels=3, num_classes=classes, image_size=side)
    return count_cost(network, (3, side, side))


def cost(*overrides: str) -> Cost:
    run = settings(*overrides)
    return cost_of(run.model, run.design, run.data.image_size, run.data.num_classes)


# Wiki tables of the authors (logs 531012978, 577d491dd, 9365efc91, aec2305ce, 7f5528fd2, 6aacfa880, f98c27ec7,
# d61bb1310), in MiB; 4.395 was printed as 4.4.
PUBLISHED = {
    "growth=k256": 3.31,
    "growth=k128": 3.39,
    "growth=k64": 3.45,
    "growth=k128 downsample=fp_high_reduction": 3.03,
    "downsample=fp_high_reduction": 3.08,
    "growth=k128 downsample=fp_high_reduction model.init_features=128": 3.48,
    "growth=k128 growth.rate=160 growth.match=none model.layers_per_stage=[2,2,2,2] downsample=fp_high_reduction "
    "model.init_features=128": 4.395,
    "growth=k128 growth.rate=160 growth.match=none model.layers_per_stage=[2,2,2,2] downsample=fp_high_reduction "
    "downsample.reduction=[2.2,2.2,2.2] model.init_features=128": 3.99,
}


@pytest.mark.parametrize("options", PUBLISHED)
def test_the_published_ablation_networks_have_the_published_sizes(options: str):
    size = cost(*IMAGENET, "model=binary_densenet_flex", *options.split()).size_mib
    assert round(size, 3 if PUBLISHED[options] == 4.395 else 2) == PUBLISHED[options]


def test_the_published_growth_trio_is_matched_in_imagenet_size_only():
    """The facts that docs/AXES.md warns of: MACs differ, and CIFAR sizes by 13 % each way from the middle.

    reports/published/architectures.csv counts 2,346,781,696 against 1,425,550,336 binary MACs, 65 % more, with the
    pooling before the convolution; the 2018 networks pooled after it.
    """
    trio = [f"growth=k{rate}" for rate in (64, 128, 256)]
    sizes = []
    for option in trio:
        sizes.append(cost(*CIFAR, "stem=cifar_2018", "model=binary_densenet_flex", option).size_mib)
    work = {
        layout: [
            cost(*IMAGENET, "model=binary_densenet_flex", option, f"downsample.layout={layout}").macs_binary
            for option in (trio[0], trio[2])
        ]
        for layout in ("max_pool_conv", "conv_avg_pool")
    }
    assert work["max_pool_conv"] == [2_346_781_696, 1_425_550_336]
    # By hand: the three 1x1 convolutions of each network work on four times as many pixels.
    extra = 3 * (320 * 320 * 28**2 + 576 * 416 * 14**2 + 672 * 480 * 7**2)
    assert work["conv_avg_pool"] == [macs + extra for macs in work["max_pool_conv"]]
    assert sizes[0] / sizes[1] - 1 == pytest.approx(0.13, abs=0.03)
    assert 1 - sizes[2] / sizes[1] == pytest.approx(0.13, abs=0.03)


def test_the_classic_bottleneck_of_resnet_e18_has_fewer_binary_weights_and_that_of_binary_densenet28_more():
    plain, classic = cost(*CIFAR), cost(*CIFAR, "bottleneck=classic")
    # By hand, a block of 1x1 c -> i, 3x3 i -> i, 1x1 i -> o: 8,704 + 32,768 + 131,072 + 524,288 over the stages.
    assert classic.params_binary == 696_832
    assert plain.params_binary / classic.params_binary == pytest.approx(15.8, abs=0.05)
    dense = cost(*CIFAR, "model=binary_densenet28"), cost(*CIFAR, "model=binary_densenet28", "bottleneck=classic")
    assert dense[1].params_binary > dense[0].params_binary


MATCHED = [
    ("size", "resnet_e18", "bottleneck=classic_size"),
    ("size", "resnet_e18", "bottleneck=classic_size bottleneck.by=blocks"),
    ("macs", "resnet_e18", "bottleneck=classic_macs model.width=0.5"),
    ("size", "binary_densenet28", "bottleneck=classic_size"),
    ("macs", "binary_densenet28", "bottleneck=classic_macs bottleneck.by=blocks"),
    ("size", "binary_densenet_flex", "growth=k256 growth.match=size"),
    ("macs", "binary_densenet_flex", "growth=k128 growth.match=macs"),
]


@pytest.mark.parametrize(("unit", "model", "options"), MATCHED, ids=[f"{m} {o}" for _, m, o in MATCHED])
def test_matched_networks_are_within_two_percent_of_what_they_are_matched_to(unit: str, model: str, options: str):
    width = [text for text in options.split() if text.startswith("model.width")]
    target = cost(*CIFAR, f"model={model}", *width)
    run = settings(*CIFAR, f"model={model}", *options.split())
    found = cost_of(run.model, run.design)
    key = "size_mib" if unit == "size" else "macs_combined"
    assert getattr(found, key) == pytest.approx(getattr(target, key), rel=0.02)
    fitted = fit_sizes(run.model, run.design, in_channels=3, num_classes=10, image_size=32)
    assert fitted.said is not None
    assert sizes_text(fitted.model) in fitted.said


@pytest.mark.parametrize(
    "options",
    [{"weights": "float", "activations": "float"}, {"scaling": "learned"}, {"scaling": "xnor"}, {"init": "glorot"}],
    ids=["float twin", "learned", "xnor", "glorot"],
)
def test_scaling_and_precision_do_not_move_matched_sizes(options: dict[str, str]):
    """Otherwise a float network could not hand its weights on, and scaling would change the shape too."""
    shape = {"in_channels": 3, "num_classes": 5, "image_size": 16}
    model = make_resnet_e(channels=(32, 64), stem_features=32)
    sizes = {"bottleneck": "classic_size", "by": "width"}
    plain = fit_sizes(model, make_design(**sizes), **shape)
    assert fit_sizes(model, make_design(**sizes, **options), **shape).model == plain.model != model


def test_sizes_stay_as_they_are_where_nothing_asks_for_others():
    shape = {"in_channels": 3, "num_classes": 5, "image_size": 16}
    for model, design in (
        (make_resnet_e(), make_design(bottleneck="classic")),
        (make_binary_densenet(), make_dense_design()),
    ):
        fitted = fit_sizes(model, design, **shape)
        assert (fitted.model, fitted.said) == (model, None)


def test_a_growth_rate_keeps_layers_times_rate_or_the_layers():
    model = make_binary_densenet(layers_per_stage=(8, 4), growth=16)
    shape = {"in_channels": 3, "num_classes": 5, "image_size": 16}
    rate = {"growth": "k64", "rate": 64}
    published = fit_sizes(model, make_dense_design(**rate, match="published"), **shape).model
    assert published == replace(model, growth=64, layers_per_stage=(2, 1))
    kept = fit_sizes(model, make_dense_design(**rate, match="none"), **shape).model
    assert kept == replace(model, growth=64)


def test_what_cannot_be_matched_is_refused_with_the_nearest_size():
    model = make_resnet_e(blocks_per_stage=(1,), channels=(4,), stem_features=4)
    design = make_design(bottleneck="classic_size", by="width")
    with pytest.raises(
        ValueError, match=r"no sizes come within 2% of .* MiB with bottleneck=classic_size .* nearest has"
    ):
        fit_sizes(model, design, in_channels=3, num_classes=5, image_size=16)


def test_a_search_leaves_torchs_generator_where_it_was_and_the_network_the_same():
    design = make_design(bottleneck="classic_size", by="width", init="xavier")
    model = make_resnet_e(channels=(32, 68), stem_features=32)  # sizes that no other test has searched for
    digests = []
    for _ in range(2):
        torch.manual_seed(1)
        network = build_network(model, design, in_channels=3, num_classes=5, image_size=16)
        digests.append(sum(float(p.double().sum()) for p in network.parameters()))
    assert digests[0] == digests[1]
