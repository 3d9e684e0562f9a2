"""Other libraries in the training benchmark: what they are asked for, from stand-ins with their interfaces."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bnn_ablate.bench.peers import UnavailableError
from bnn_ablate.bench.training.peers import bitorch_resnet, larq_step

BITORCH = """
from torch import nn

class ResnetE18(nn.Module):
    resnet_spec = {18: ([2, 2, 2, 2], [64, 64, 128, 256, 512])}

    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.asked = (self.resnet_spec[18], input_shape, num_classes)

    def initialize(self):
        self.initialized = True
"""

LARQ = """
steps = []

class Network:
    def __init__(self, *asked):
        self.asked = asked

    def compile(self, optimizer, loss):
        self.trained = (optimizer, loss)

    def train_on_batch(self, images, labels):
        steps.append((self.asked, self.trained, images.shape, labels.shape))

class BinaryResNetE18Factory:
    spec = ([2, 2, 2, 2], [64, 128, 256, 512])

    def __init__(self, **fields):
        self.fields = fields

    def build(self):
        return Network(self.spec, self.fields)
"""

TENSORFLOW = """
from types import SimpleNamespace as N

threads = []
config = N(threading=N(
    set_intra_op_parallelism_threads=lambda n: threads.append(("within", n)),
    set_inter_op_parallelism_threads=lambda n: threads.append(("between", n)),
))
random = N(set_seed=lambda seed: None)
keras = N(optimizers=N(Adam=lambda: "Adam"))
constant = lambda values: values
"""

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Modules that can be imported during the test; a name's double underscores are dots."""
    packages: set[str] = set()

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def installed(**sources: str) -> None:
        for name, source in sources.items():
            *parents, module = name.split("__")
            place = tmp_path.joinpath(*parents)
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{module}.py").write_text(source)
            packages.add(parents[0] if parents else module)
        forget()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield installed
    forget()


def test_a_peer_that_is_installed_in_part_says_what_is_missing(install: Install) -> None:
    install(bitorch__models__resnet_e="import no_such_pandas")
    with pytest.raises(UnavailableError, match="installed, cannot be imported: No module named 'no_such_pandas'"):
        bitorch_resnet(64)


def test_bitorch_is_asked_for_a_network_of_the_width(install: Install) -> None:
    install(bitorch__models__resnet_e=BITORCH)
    for features, later in ((64, [64, 128, 256, 512]), (16, [16, 32, 64, 128])):
        network: Any = bitorch_resnet(features)
        assert network.asked == (([2, 2, 2, 2], [features, *later]), [1, 3, 32, 32], 10)
        assert network.initialized


def test_larq_trains_a_network_of_the_width_on_the_threads(install: Install) -> None:
    install(tensorflow=TENSORFLOW, zookeeper="factory = lambda made: made", larq_zoo__literature__resnet_e=LARQ)
    larq_step(16, 8, 2)()
    assert importlib.import_module("tensorflow").threads == [("within", 2), ("between", 1)]
    fields = {"input_shape": (32, 32, 3), "num_classes": 10, "initial_filters": 16, "weights": None}
    spec = ([2, 2, 2, 2], [16, 32, 64, 128])
    adam = ("Adam", "sparse_categorical_crossentropy")
    assert importlib.import_module("larq_zoo.literature.resnet_e").steps == [
        ((spec, fields), adam, (8, 32, 32, 3), (8,))
    ]
