"""A packed network that runs: a program, the memory it works in, and the threads it works with."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnn_ablate.packed.file import read_graph, write_graph
from bnn_ablate.packed.graph import Graph, Shape
from bnn_ablate.packed.library import KERNELS, EngineError, chosen_kernel, library
from bnn_ablate.packed.plan import plan
from bnn_ablate.packed.program import Line, Program

#: A torch tensor or a NumPy array; the engine itself needs no torch.
Images = TypeVar("Images")

MAX_THREADS = 256


class _Context:
    """One arena with its threads, for one call at a time."""

    def __init__(self, program: Program, kernel: str, threads: int) -> None:
        self.program = program  # its arrays must outlive the kernels' pointers to them
        kernels = library()
        sizes = np.array([program.chunk, *program.image_shape, program.classes, threads], np.int64)
        error = ctypes.create_string_buffer(256)
        self.handle = kernels.bnn_create(
            program.steps.ctypes.data,
            len(program.steps),
            program.blob.ctypes.data,
            program.blob.nbytes,
            program.arena_bytes,
            sizes.ctypes.data,
            KERNELS.index(kernel),
            error,
            len(error),
        )
        if not self.handle:
            raise EngineError(f"the packed network cannot be set up: {error.value.decode()}")
        self.process = os.getpid()
        # not at exit: a thread that still runs would lose its memory, and the system takes it back anyway
        weakref.finalize(self, _destroyed, self.handle, self.process).atexit = False

    def run(self, images: int, strides: tuple[int, ...], count: int, logits: int, seconds: int | None) -> None:
        """Addresses of the images, with strides in floats, and of the logits and times to fill."""
        if library().bnn_run(self.handle, images, (ctypes.c_int64 * 4)(*strides), count, logits, seconds):
            raise EngineError("there is not enough memory for the network's values")

    def arena(self) -> NDArray[np.uint8]:
        """The values of the last chunk of images, as bytes."""
        return np.ctypeslib.as_array(library().bnn_arena(self.handle), (self.program.arena_bytes,))


def _destroyed(handle: int, process: int) -> None:
    if os.getpid() == process:  # a forked child has the memory and not the threads that would have to be joined
        library().bnn_destroy(handle)


class PackedNetwork:
    """A network as bits: images (N, C, H, W) of float32 -> logits (N, classes) of float32.

    ``kernel`` is one of :func:`available_kernels`, the fastest where it is None; ``threads`` are torch's own number
    where they are None and torch is loaded, else the processors that this process may use. All kernels, threads and
    batches give the same bits. Calls from several threads at once are right; each of them has memory of its own. The
    threads sleep between calls.

    Images must be finite: NaN or infinity in one is not checked, and its logits mean nothing then (other images' are
    what they would be).

    Raises ValueError for a kernel or a number of threads that cannot be, and EngineError where the kernels are not
    built.
    """

    def __init__(self, graph: Graph, *, threads: int | None = None, kernel: str | None = None) -> None:
        if threads is not None and not (type(threads) is int and 1 <= threads <= MAX_THREADS):
            raise ValueError(f"threads={threads!r} must be a whole number from 1 to {MAX_THREADS}")
        self.graph = graph
        self.kernel = chosen_kernel(kernel)
        self.threads = default_threads() if threads is None else threads
        self._program = plan(graph, threads=self.threads)
        self._idle: list[_Context] = []
        self._lock = threading.Lock()
        _networks.add(self)
        with self._context():
            pass  # what cannot be set up is said now

    @classmethod
    def load(cls, path: Path | str, *, threads: int | None = None, kernel: str | None = None) -> PackedNetwork:
        """Read a network from a file. Raises PackedFileError with one sentence where it is damaged or another's."""
        return cls(read_graph(Path(path)), threads=threads, kernel=kernel)

    def save(self, path: Path | str) -> int:
        """Write the network to a file, whole or not at all; the number of bytes."""
        return write_graph(Path(path), self.graph)

    @property
    def image_shape(self) -> Shape:
        return self.graph.image_shape

    @property
    def classes(self) -> int:
        return self.graph.classes

    @property
    def weight_bytes(self) -> int:
        """Memory of weights, thresholds and tables."""
        return self._program.blob.nbytes

    @property
    def work_bytes(self) -> int:
        """Memory of the values of one chunk of images; as much again for each thread when many images are given."""
        return self._program.arena_bytes

    @property
    def lines(self) -> tuple[Line, ...]:
        """What the steps of the program are, in the order of :meth:`profile`."""
        return self._program.lines

    def __call__(self, images: Images) -> Images:
        """Logits (N, classes) of images (N, C, H, W), as the kind of array that the images are, of any strides.

        Raises ValueError for images of another shape or type.
        """
        return self._called(images, None)

    def profile(self, images: Any) -> NDArray[np.float64]:
        """Seconds that each step took for these images, all threads sharing each image."""
        seconds = np.zeros(len(self._program.steps))
        self._called(images, seconds)
        return seconds

    def signs(self, images: Any) -> dict[str, NDArray[np.bool_]]:
        """For each BinaryConv what it reads, (N, C, H, W), True where the sign is -1."""
        program = plan(self.graph, keep_signs=True)
        context = _Context(program, self.kernel, 1)
        address, strides, count, keep = self._checked(images)
        logits = np.empty((program.chunk, self.classes), np.float32)
        found: dict[str, list[NDArray[np.bool_]]] = {place.name: [] for place in program.signs}
        for first in range(0, count, program.chunk):
            here = min(program.chunk, count - first)
            context.run(address + 4 * first * strides[0], strides, here, logits.ctypes.data, None)
            for place in program.signs:
                found[place.name].append(place.read(context.arena(), program.chunk)[:here])
        del keep
        empty = {place.name: np.empty((0, *place.shape), bool) for place in program.signs}
        return {name: np.concatenate(parts) if parts else empty[name] for name, parts in found.items()}

    def _called(self, images: Any, seconds: NDArray[np.float64] | None) -> Any:
        address, strides, count, keep = self._checked(images)
        if isinstance(keep, np.ndarray):
            logits: Any = np.empty((count, self.classes), np.float32)
            target = logits.ctypes.data
        else:
            logits = keep.new_empty((count, self.classes))
            target = logits.data_ptr()
        if count > 0:
            with self._context() as context:
                context.run(address, strides, count, target, None if seconds is None else seconds.ctypes.data)
        return logits

    def _checked(self, images: Any) -> tuple[int, tuple[int, ...], int, Any]:
        """Address, strides in floats, number of images, and the array that must stay alive."""
        shape = tuple(getattr(images, "shape", ()))
        if len(shape) != 4 or shape[1:] != self.image_shape:
            wanted = ", ".join(map(str, self.image_shape))
            raise ValueError(f"images have the shape {shape}: this network takes (N, {wanted})")
        kind = str(images.dtype).removeprefix("torch.")
        if kind != "float32":
            raise ValueError(f"images are of {kind}: this network takes float32")
        if isinstance(images, np.ndarray):
            if not images.flags.aligned or any(stride % 4 for stride in images.strides):
                images = np.ascontiguousarray(images)
            return images.ctypes.data, tuple(stride // 4 for stride in images.strides), shape[0], images
        if images.device.type != "cpu":
            raise ValueError(f"images are on {images.device}: the packed engine runs on the CPU")
        images = images.detach().resolve_neg()  # a view of negated values holds them as they were
        return images.data_ptr(), tuple(images.stride()), shape[0], images

    @contextmanager
    def _context(self) -> Iterator[_Context]:
        """Memory and threads that nobody else uses now; a forked child makes its own."""
        with self._lock:
            self._idle = [context for context in self._idle if context.process == os.getpid()]
            context = self._idle.pop() if self._idle else None
        if context is None:
            context = _Context(self._program, self.kernel, self.threads)
        try:
            yield context
        finally:
            with self._lock:
                self._idle.append(context)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (self.graph, self.threads, self.kernel)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        return f"PackedNetwork({shape} -> {self.classes}, kernel={self.kernel}, threads={self.threads})"


#: All networks there are: a forked child may find a lock held by a thread that it does not have.
_networks: weakref.WeakSet[PackedNetwork] = weakref.WeakSet()


def _renew_locks() -> None:
    for network in _networks:
        network._lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


def _rebuilt(graph: Graph, threads: int, kernel: str) -> PackedNetwork:
    return PackedNetwork(graph, threads=threads, kernel=kernel)


def default_threads() -> int:
    """As many threads as torch uses, where it is loaded; else the processors that this process may use."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch is not None else len(os.sched_getaffinity(0))
