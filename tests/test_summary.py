"""The summary: a row a layer, in the order of the forward pass, whose sums are those of cost.py."""

from __future__ import annotations

import pytest

from bnn_ablate.composing import network_settings
from bnn_ablate.cost import count_cost
from bnn_ablate.summary import layers_of, main, network_of

NETWORKS = [
    ["model.width=0.25"],
    ["model.width=0.25", "order=pre", "downsample=binary", "first=binary", "last=binary", "scaling=learned"],
    ["model.width=0.25", "weights=float", "activations=float", "padding.side=same", "stem=imagenet"],
    ["model.width=0.25", "activations=float"],
    ["model=binary_densenet28", "model.width=0.5", "bottleneck=classic"],
]


@pytest.mark.parametrize("overrides", NETWORKS, ids=" ".join)
def test_the_rows_add_up_to_the_cost_of_the_network(overrides):
    network, shape, _ = network_of(network_settings(overrides))
    rows, cost = layers_of(network, shape), count_cost(network, shape)
    assert sum(row.params for row in rows) == cost.params
    assert sum(row.bits for row in rows) == cost.size_bits
    assert sum(row.macs_float for row in rows) == cost.macs_float
    assert sum(row.macs_binary for row in rows) == cost.macs_binary


def test_the_published_totals_are_printed(capsys):
    assert main(["data=image_folder"]) == 0
    shown = capsys.readouterr().out
    assert "11,689,646 = 10,985,472 binary + 704,174 float" in shown  # log 4d2fef4e4
    assert "3.996 MiB" in shown
    assert "for one image of 3x224x224" in shown
    lines = {line.split()[0]: line for line in shown.splitlines() if line.startswith(("stem", "stages", "head"))}
    assert "Conv2d 7x7/2" in lines["stem.0"]
    assert "64x112x112" in lines["stem.0"]
    assert "BinaryConv2d 3x3/2" in lines["stages.1.0.body.0"]
    assert "1 x 1" in lines["stages.1.0.body.0"]
    # 9 x 64 x 128 weights, a MAC each at 28 x 28 places
    assert lines["stages.1.0.body.0"].split()[-3:] == ["73,728", "73,728", "57,802,752"]
    assert "513,000" in lines["head.3"]


def test_what_was_chosen_to_match_is_said_first(capsys):
    assert main(["bottleneck=classic_size", "model.width=0.5"]) == 0
    assert capsys.readouterr().out.startswith("bottleneck=classic_size chose model.channels=[")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["scaling=often"], "error: scaling=often: In 'config': Could not find 'scaling/often'"),
        (["scaling=null"], "error: "),
        (["scaling=xnor", "output=popcount"], "error: output=popcount cannot be combined with scaling=xnor"),
        (["model.width=0.5", "stem=grouped", "model.stem_features=20"], "error: stem=grouped splits half of its 10"),
    ],
)
def test_a_wrong_option_is_one_sentence(overrides, sentence, capsys):
    assert main(overrides) == 1
    shown = capsys.readouterr().out
    assert shown.startswith(sentence)
    assert shown.count("\n") == 1


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["model.width=0.25"]) == 0
    assert main(["--help"]) == 0
    assert list(tmp_path.iterdir()) == []
