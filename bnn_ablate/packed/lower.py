"""A trained module as a :class:`~bnn_ablate.packed.graph.Graph`: traced with torch.fx, layer by layer.

Known layers and functions (:mod:`bnn_ablate.packed.lower_layers`, :mod:`bnn_ablate.packed.lower_functions`) become
nodes, named by the qualified name of their module; a module made of them needs no registration. Whatever else is in
the way is refused: a graph computes what the module computes in eval mode, or there is none.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from bnn_ablate.packed.graph import Graph, GraphError, Shape, needed
from bnn_ablate.packed.lower_functions import FUNCTIONS, METHODS
from bnn_ablate.packed.lower_layers import LAYERS
from bnn_ablate.packed.lowering import Builder, LoweringError, Place, Value

__all__ = ["LoweringError", "lower"]

#: Functions by whose other name nodes are named.
IN_PLACE = {"iadd": "add", "add_": "add", "relu_": "relu", "clamp_": "clamp", "clip_": "clip"}
#: Where a traced call stands: the qualified name of the module whose forward makes it, and that module's type.
CALLER = "bnn_ablate_caller"


def lower(module: nn.Module, image_shape: Shape) -> Graph:
    """The graph of ``module`` for images of ``image_shape`` (C, H, W), for which it gives logits (N, classes).

    The module must be in eval mode, its weights float32; they are copied. Raises LoweringError, one sentence with the
    qualified name and the type of the module at which it ends and the reason.
    """
    if not isinstance(module, nn.Module):
        raise LoweringError(f"module is of the type {type(module).__name__}: give an nn.Module")
    try:
        channels, height, width = (operator.index(size) for size in image_shape)
    except (TypeError, ValueError):
        channels = height = width = 0
    if min(channels, height, width) < 1:
        raise LoweringError(
            f"image_shape={image_shape} must be channels, height and width: three whole numbers above 0"
        )
    image_shape = (channels, height, width)
    for name, part in module.named_modules():
        if part.training:
            raise LoweringError(f"{_described(name, part)} is in training mode: call eval() on the network first")
        if part._forward_hooks or part._forward_pre_hooks:
            raise LoweringError(f"{_described(name, part)} has forward hooks, which a graph cannot hold")
    root = nn.Sequential(module) if type(module) in LAYERS else module
    traced = _Tracer().trace(root)
    builder = Builder(image_shape)
    output = _interpreted(traced, root, builder)
    place = Place(builder, "", type(module).__name__)
    if not isinstance(output, Value):
        raise place.refused(f"it returns {type(output).__name__}, not one tensor of logits")
    try:
        return Graph(image_shape, needed(builder.nodes, output.name))
    except GraphError as error:
        raise place.refused(str(error)) from error


class _Proxy(fx.Proxy):
    """fx takes ``x += y`` for ``x = x + y``; here it is seen through every name of x, as it is in torch."""

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})


class _Tracer(fx.Tracer):
    """Known layers are leaves; each call remembers which module makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.caller = ("", "")

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in LAYERS or super().is_leaf_module(m, module_qualified_name)

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        self.caller = ("", type(root).__name__)
        return self._traced(root, "", lambda: super(_Tracer, self).trace(root, concrete_args))

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        name, before = self.path_of_module(m), self.caller
        self.caller = (name, type(m).__name__)
        try:
            return self._traced(m, name, lambda: super(_Tracer, self).call_module(m, forward, args, kwargs))
        finally:
            self.caller = before

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta[CALLER] = self.caller
        return node

    def _traced(self, module: nn.Module, name: str, trace: Callable[[], Any]) -> Any:
        try:
            return trace()
        except LoweringError:
            raise
        except fx.proxy.TraceError as error:
            raise LoweringError(
                f"{_described(name, module)} has control flow that depends on the data, which cannot be traced: {error}"
            ) from error
        except Exception as error:  # a forward is anybody's code, and tracing it may end in any way
            raise LoweringError(f"{_described(name, module)} cannot be traced: {error}") from error


def _interpreted(traced: fx.Graph, root: nn.Module, builder: Builder) -> Any:
    """What ``traced`` returns, call after call; feature maps are Values, all else is what it is."""
    values: dict[fx.Node, Any] = {}
    for node in traced.nodes:
        place = Place(builder, *node.meta[CALLER])
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
        if node.op == "placeholder":
            if values:
                raise place.refused(f"it takes more than the images: {node.target}")
            values[node] = Value.image()
        elif node.op == "get_attr":
            raise place.refused(f"its forward reads the tensor {node.target}, which only a known layer may")
        elif node.op == "call_module":
            module = root.get_submodule(node.target)
            if type(module) not in LAYERS:
                raise place.refused("no layer of this type can be lowered")
            values[node] = place.called(LAYERS[type(module)], module, *args, **kwargs)
        elif node.op == "output":
            return args[0]
        else:
            known: dict[Any, Callable[..., Any]] = METHODS if node.op == "call_method" else FUNCTIONS
            spelt = node.target if node.op == "call_method" else getattr(node.target, "__name__", str(node.target))
            if node.target not in known:
                raise place.refused(f"its forward calls {spelt}, which no operator stands for")
            values[node] = place.inside(IN_PLACE.get(spelt, spelt)).called(known[node.target], *args, **kwargs)
    raise AssertionError("a traced graph ends in an output")


def _described(name: str, module: nn.Module) -> str:
    return f"{name} ({type(module).__name__})" if name else f"the module ({type(module).__name__})"
