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

from bnn_ablate.benchmarks.onnx_models import float_model, int8_model
from bnn_ablate.benchmarks.simulation import Simulation
from bnn_ablate.export.openvino import to_openvino
from bnn_ablate.models.resnet import float_resnet18
from bnn_ablate.packed.fold import fold
from bnn_ablate.packed.graph import Floats, Graph, Shape
from bnn_ablate.packed.lower import lower

#: Batches of noise that set the ranges of the int8 network: enough for its speed, which is all that is asked of it.
CALIBRATION_BATCHES = 4

Run = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Contender:
    """``run`` maps images to logits; it is None where the contender cannot be had, for the ``reason``."""

    name: str
    run: Run | None
    reason: str = ""


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
            stem: Literal["imagenet", "cifar"] = "imagenet" if self.shape[1] > 64 else "cifar"
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


def torch_module(name: str, module: nn.Module, *, threads: int, compiled: bool = False) -> Contender:
    """``module`` in eval mode, eager or through torch.compile, in the memory format that suits CPUs."""
    module = module.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    called = torch.compile(module) if compiled else module

    @torch.inference_mode()
    def run(images: Floats) -> Floats:
        torch.set_num_threads(threads)  # torch has one number for the whole process
        x = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
        logits: Floats = called(x).numpy()
        return logits

    return Contender(name, run)


def torch_simulation(name: str, graph: Graph, *, threads: int, compiled: bool = False) -> Contender:
    """The binary network in floats, its weights signed beforehand."""
    return torch_module(name, Simulation(graph), threads=threads, compiled=compiled)


def onnxruntime_model(name: str, model: Callable[[], bytes], *, threads: int) -> Contender:
    """An ONNX file in onnxruntime. Its threads do not wait actively between calls, when it is another's turn."""
    if absent := _absent("onnx", "onnxruntime"):
        return Contender(name, None, absent)
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = runtime.InferenceSession(model(), options, providers=["CPUExecutionProvider"])
    return Contender(name, lambda images: session.run(None, {"image": images})[0])


def openvino_model(name: str, model: Callable[[], bytes], *, threads: int) -> Contender:
    """An ONNX file in OpenVINO."""
    if absent := _absent("onnx", "onnxruntime", "openvino"):
        return Contender(name, None, absent)
    return _openvino(name, import_module("openvino").Core().read_model(io.BytesIO(model())), threads=threads)


def openvino_packed(name: str, graph: Graph, *, batch: int, threads: int) -> Contender:
    """The binary network in OpenVINO, its binary convolutions in bits."""
    if absent := _absent("openvino"):
        return Contender(name, None, absent)
    return _openvino(name, to_openvino(graph, batch=batch), threads=threads)


def _openvino(name: str, model: Any, *, threads: int) -> Contender:
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

    return Contender(name, run)


def larq_compute_engine(name: str) -> Contender:
    """larq-compute-engine, which is never there: 0.16, its last, gives errors with numpy 2, which this project needs.

    Measured in an environment of its own its best mode, ``use_indirect_bgemm=True`` of its Python interpreter, takes
    as long as onnxruntime takes for the float ResNet18; the default one takes five times that.
    """
    return Contender(name, None, "not installed: it does not work with numpy 2")


def peers(network: str, graph: Graph, *, batch: int, threads: int) -> dict[str, Callable[[], Contender]]:
    """By name, how to make each contender for the binary ``network`` of ``graph``, and for the float ResNet18.

    The images are ``batch`` of the graph's. Nothing is made before it is called for: compiling takes up to a minute.
    """
    resnet = FloatResNet18(graph.image_shape, classes=graph.classes, batch=batch)
    made: dict[str, Callable[[str], Contender]] = {
        f"{network}, OpenVINO packed": lambda name: openvino_packed(name, graph, batch=batch, threads=threads),
        f"{network}, larq-compute-engine": larq_compute_engine,
        f"{network}, torch float simulation": lambda name: torch_simulation(name, graph, threads=threads),
        f"{network}, torch float simulation, compiled": lambda name: torch_simulation(
            name, graph, threads=threads, compiled=True
        ),
        "float ResNet18, torch": lambda name: torch_module(name, resnet.module, threads=threads),
        "float ResNet18, torch compiled": lambda name: torch_module(
            name, resnet.module, threads=threads, compiled=True
        ),
        "float ResNet18, onnxruntime": lambda name: onnxruntime_model(name, lambda: resnet.onnx, threads=threads),
        "float ResNet18, OpenVINO": lambda name: openvino_model(name, lambda: resnet.onnx, threads=threads),
        "int8 ResNet18, onnxruntime": lambda name: onnxruntime_model(name, lambda: resnet.onnx_int8, threads=threads),
        "int8 ResNet18, OpenVINO": lambda name: openvino_model(name, lambda: resnet.onnx_int8, threads=threads),
    }
    return {name: partial(make, name) for name, make in made.items()}


def _absent(*modules: str) -> str:
    """Why a contender that needs ``modules`` is not there, or nothing."""
    return "not installed" if any(find_spec(module) is None for module in modules) else ""
