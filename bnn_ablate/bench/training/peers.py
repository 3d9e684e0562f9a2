"""ResNetE18 as other libraries train it: bitorch's on torch, and larq-zoo's on TensorFlow.

Both are loaded only when they take part. What is missing is an :class:`UnavailableError`, whose message stands in the
row.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import nn

from bnn_ablate.bench.peers import UnavailableError
from bnn_ablate.bench.training.networks import CLASSES, IMAGE

#: Pairs of convolutions of each stage, and its features over those of the first.
TIMES = (1, 2, 4, 8)
PAIRS = [2, 2, 2, 2]


def loaded(package: str, module: str) -> Any:
    """A module of a package. Raises UnavailableError where the package is not installed or cannot be imported."""
    if find_spec(package) is None:
        raise UnavailableError("not installed")
    try:
        return import_module(module)
    except ImportError as error:
        raise UnavailableError(f"installed, cannot be imported: {error}") from error


def load_bitorch() -> Any:
    """The module of bitorch's networks. Raises UnavailableError."""
    return loaded("bitorch", "bitorch.models.resnet_e")


def bitorch_resnet(features: int) -> nn.Module:
    """bitorch's ResnetE18 with its stem for small images (bitorch 0.4.1, ``models/resnet_e.py``).

    Its class looks the features up in its own table, of which a narrower network has another. Raises UnavailableError.
    """
    published = load_bitorch().ResnetE18
    table = {"resnet_spec": {18: (PAIRS, [features, *_features(features)])}}
    network: nn.Module = type("ResnetE18", (published,), table)(input_shape=[1, *IMAGE], num_classes=CLASSES)
    network.initialize()  # type: ignore[operator]
    return network


def load_larq() -> Any:
    """The module of larq-zoo's networks, and with it TensorFlow. Raises UnavailableError."""
    return loaded("larq_zoo", "larq_zoo.literature.resnet_e")


def larq_step(features: int, batch: int, threads: int) -> Callable[[], None]:
    """A training step of larq-zoo's BinaryResNetE18 on images (batch, 32, 32, 3): softmax, cross-entropy and Adam.

    TensorFlow takes ``threads`` before its first operation and keeps them to the end of the process. The step is
    Keras's ``train_on_batch``, a compiled graph. Raises UnavailableError, and RuntimeError where TensorFlow already
    runs on other threads.
    """
    zoo = load_larq()
    tensorflow, zookeeper = import_module("tensorflow"), import_module("zookeeper")
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    tensorflow.random.set_seed(0)
    spec = property(lambda _: (PAIRS, _features(features)))
    narrow = zookeeper.factory(type("BinaryResNetE18Factory", (zoo.BinaryResNetE18Factory,), {"spec": spec}))
    shape = (*IMAGE[1:], IMAGE[0])
    network = narrow(input_shape=shape, num_classes=CLASSES, initial_filters=features, weights=None).build()
    network.compile(optimizer=tensorflow.keras.optimizers.Adam(), loss="sparse_categorical_crossentropy")
    random = np.random.default_rng(0)
    images = tensorflow.constant(random.standard_normal((batch, *shape)).astype(np.float32))
    labels = tensorflow.constant(random.integers(CLASSES, size=batch))

    def step() -> None:
        network.train_on_batch(images, labels)

    return step


def _features(first: int) -> list[int]:
    """Features of the four stages."""
    return [first * times for times in TIMES]
