"""Float networks as ONNX models, and their int8 versions: what onnxruntime and OpenVINO run at their best.

Built from the graph of a network instead of by torch.onnx, which wants a further package and leaves the BatchNorms in.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bnn_ablate.packed.graph import IMAGE, Activation, Add, Concat, Conv, Floats, Graph, Node, Pool, Window

#: The first with quantisation per channel.
OPSET = 13


def float_model(graph: Graph, *, batch: int) -> bytes:
    """An ONNX file: ``image`` (``batch``, C, H, W) -> ``logits`` (``batch``, classes).

    Raises ImportError where onnx is not installed, ValueError for operators of binary networks.
    """
    onnx = import_module("onnx")
    helper, made = onnx.helper, []
    constants: dict[str, Any] = {}
    for node in graph.nodes:
        constants |= {f"{node.name}/{name}": values for name, values in _constants(node).items()}
        made.append(_operator(helper, node))
    made.append(helper.make_node("Flatten", [graph.output], ["logits"], name="logits"))
    float32 = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            made,
            "float",
            [helper.make_tensor_value_info(IMAGE, float32, [batch, *graph.image_shape])],
            [helper.make_tensor_value_info("logits", float32, [batch, graph.classes])],
            [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,  # what the readers of opset 13 know
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def int8_model(model: bytes, batches: Sequence[Floats]) -> bytes:
    """``model`` with activations and weights of 8 bits: pairs of QuantizeLinear and DequantizeLinear around operators.

    Weights have a scale a channel; activations have the range that ``batches`` show. Raises ImportError where
    onnxruntime is not installed.
    """
    quantization = import_module("onnxruntime.quantization")

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[name-defined]
        def __init__(self) -> None:
            self.batches: Iterator[Floats] = iter(batches)

        def get_next(self) -> dict[str, Floats] | None:
            images = next(self.batches, None)
            return None if images is None else {IMAGE: images}

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(model)
        quantization.quantize_static(
            source,
            target,
            Calibration(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return target.read_bytes()


@contextmanager
def quiet() -> Iterator[None]:
    """Without onnxruntime's advice to prepare the model, which has no BatchNorms left to fold."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _constants(node: Node) -> dict[str, Any]:
    return {"weight": node.weight, "bias": node.bias} if isinstance(node, Conv) else {}


def _operator(helper: Any, node: Node) -> Any:
    inputs, name = list(node.inputs), node.name

    def made(kind: str, *more: str, **attributes: Any) -> Any:
        return helper.make_node(kind, [*inputs, *(f"{name}/{key}" for key in more)], [name], name=name, **attributes)

    if isinstance(node, Conv) and node.weight.dtype == np.float32 and (node.border == 0 or not any(node.borders)):
        sizes = {"kernel_shape": list(node.weight.shape[2:]), "dilations": list(node.dilation), "group": node.groups}
        return made("Conv", "weight", "bias", **_window(node), **sizes)
    if isinstance(node, Activation) and node.function == "relu":
        return made("Relu")
    if isinstance(node, Pool) and node.kind == "max":
        return made("MaxPool", **_window(node), kernel_shape=list(node.kernel))
    if isinstance(node, Pool):
        whole = int(node.divisor == "kernel")
        return made("AveragePool", **_window(node), kernel_shape=list(node.kernel), count_include_pad=whole)
    if isinstance(node, Add):
        return made("Add")
    if isinstance(node, Concat):
        return made("Concat", axis=1)
    raise ValueError(f"{name} ({type(node).__name__}) is no operator of a float network with its BatchNorms folded")


def _window(node: Window) -> dict[str, list[int]]:
    left, right, top, bottom = node.borders
    return {"strides": list(node.stride), "pads": [top, left, bottom, right]}
