"""Other ways to run a network on a CPU, each as fast as it is known to go: what a packed engine is measured against.

Every contender takes images (N, C, H, W) of one batch size and answers with logits. Threads are those of its own
engine and are given; none is pinned, so that the process' own affinity decides.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from bnn_ablate.bench.networks import IMAGENET_SIZE
from bnn_ablate.bench.onnx_models import float_model, int8_model
from bnn_ablate.bench.simulation import Simulation
from bnn_ablate.export.openvino import to_openvino
from bnn_ablate.models.resnet import float_resnet18
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Floats, Graph, Shape
from bnn_ablate.packed.lower import lower

#: Batches of noise that set the ranges of the int8 network: enough for its speed, which is all that is asked of it.
CALIBRATION_BATCHES = 4

#: The words of --peers.
KINDS = ("openvino", "onnxruntime", "torch", "simulation", "compiled")
#: The kind of who is named but never measured: no word of --peers, there where --peers chooses nobody.
UNMEASURED = "unmeasured"
FLOAT32, INT8 = "ResNet18 float32", "ResNet18 int8"

Run = Callable[[Floats], Floats]


class UnavailableError(RuntimeError):
    """A contender cannot be measured here, most often as it is not installed; the message is the reason."""


@dataclass(frozen=True)
class Contender:
    """An ``engine`` that runs a ``network``: ``make`` sets it up, which may take a minute, and gives images -> logits.

    ``kinds`` are the words of ``--peers`` that must all be asked for. ``make`` raises UnavailableError.
    """

    network: str
    engine: str
    kinds: frozenset[str]
    make: Callable[[], Run]

    @property
    def name(self) -> str:
        return f"{self.network}, {self.engine}"


class FloatResNet18:
    """The float network of the comparison as module, graph and ONNX files for images of ``shape``; random weights.

    Each is made when it is first asked for.
    """

    def __init__(self, shape: Shape, *, classes: int, batch: int) -> None:
        self.shape, self.classes, self.batch = shape, classes, batch

    @cached_property
    def module(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            stem: Literal["imagenet", "cifar"] = "imagenet" if self.shape[1] >= IMAGENET_SIZE else "cifar"
            return float_resnet18(stem=stem, in_channels=self.shape[0], num_classes=self.classes).eval()

    @cached_property
    def graph(self) -> Graph:
        return fold(lower(self.module, self.shape))

    @cached_property
    def onnx(self) -> bytes:
        return float_model(self.graph, batch=self.batch)

    @cached_property
    def onnx_int8(self) -> bytes:
        noise = np.random.default_rng(0)
        size = (self.batch, *self.shape)
        return int8_model(
            self.onnx, [noise.standard_normal(size).astype(np.float32) for _ in range(CALIBRATION_BATCHES)]
        )


def torch_module(module: nn.Module, *, threads: int, compiled: bool = False) -> Run:
    """``module`` in eval mode, eager or through torch.compile, in the memory format that suits CPUs."""
    module = module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    called = torch.compile(module) if compiled else module

    @torch.inference_mode()
    def run(images: Floats) -> Floats:
        torch.set_num_threads(threads)  # torch has one number for the whole process
        x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        logits: Floats = called(x).numpy()
        return logits

    return run


def onnxruntime_model(model: Callable[[], bytes], *, threads: int) -> Run:
    """An ONNX file in onnxruntime. Its threads do not wait actively between calls, when it is another's turn."""
    require("onnx", "onnxruntime")
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(model(), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"image": images})[0]


def openvino_model(model: Callable[[], bytes], *, threads: int) -> Run:
    """An ONNX file in OpenVINO."""
    require("onnx", "onnxruntime", "openvino")
    return _openvino(import_module("openvino").Core().read_model(io.BytesIO(model())), threads=threads)


def openvino_packed(graph: Graph, *, batch: int, threads: int) -> Run:
    """The binary network in OpenVINO, its binary convolutions in bits."""
    require("openvino")
    return _openvino(to_openvino(graph, batch=batch), threads=threads)


def _openvino(model: Any, *, threads: int) -> Run:
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",  # else floats become bfloat16 where the CPU has it
        "ENABLE_CPU_PINNING": False,
    }
    compiled = import_module("openvino").Core().compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()

    def run(images: Floats) -> Floats:
        request.infer({0: images}, share_inputs=True)
        logits: Floats = request.get_output_tensor(0).data.copy()
        return logits

    return run


def larq_compute_engine() -> Run:
    """larq-compute-engine, which is never measured: its converter takes Keras models. Raises UnavailableError.

    It is looked for and not loaded: TensorFlow would come with it, and its threads.
    """
    if find_spec("larq_compute_engine") is None:
        raise UnavailableError("not installed")
    raise UnavailableError("installed, not measured: it converts Keras models, which this project does not build")


def same_network(network: str, graph: Graph, *, batch: int, threads: int) -> list[Contender]:
    """Who else can run the binary network of ``graph`` on ``batch`` images at a time."""

    def simulation(compiled: bool) -> Run:
        return torch_module(Simulation(graph), threads=threads, compiled=compiled)

    return [
        Contender(network, engine, frozenset(kinds.split()), make)
        for engine, kinds, make in (
            ("OpenVINO packed", "openvino", partial(openvino_packed, graph, batch=batch, threads=threads)),
            ("larq-compute-engine", UNMEASURED, larq_compute_engine),
            ("torch, float simulation", "simulation", partial(simulation, False)),
            ("torch compiled, float simulation", "simulation compiled", partial(simulation, True)),
        )
    ]


def float_networks(shape: Shape, *, classes: int, batch: int, threads: int) -> list[Contender]:
    """ResNet18 without binary layers in float32 and int8: what the binary networks stand in for."""
    resnet = FloatResNet18(shape, classes=classes, batch=batch)

    def eager(compiled: bool) -> Run:
        return torch_module(resnet.module, threads=threads, compiled=compiled)

    return [
        Contender(network, engine, frozenset([kind]), make)
        for network, engine, kind, make in (
            (FLOAT32, "torch", "torch", partial(eager, False)),
            (FLOAT32, "torch compiled", "compiled", partial(eager, True)),
            (FLOAT32, "onnxruntime", "onnxruntime", lambda: onnxruntime_model(lambda: resnet.onnx, threads=threads)),
            (FLOAT32, "OpenVINO", "openvino", lambda: openvino_model(lambda: resnet.onnx, threads=threads)),
            (INT8, "onnxruntime", "onnxruntime", lambda: onnxruntime_model(lambda: resnet.onnx_int8, threads=threads)),
            (INT8, "OpenVINO", "openvino", lambda: openvino_model(lambda: resnet.onnx_int8, threads=threads)),
        )
    ]


def require(*modules: str) -> None:
    """Raises UnavailableError where one of the ``modules`` cannot be imported."""
    for module in modules:
        try:
            import_module(module)
        except ImportError:
            raise UnavailableError("not installed") from None
