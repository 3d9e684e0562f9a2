"""What a packed network does around its kernels: threads, batches, arrays of any strides, processes, refusals."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packed_file_factories import every_kind
from packed_graphs import Array, Draft, normal
from packed_networks import make_network

from bnn_ablate.design import Design
from bnn_ablate.models import build_network
from bnn_ablate.packed import EngineError, PackedNetwork, available_kernels, pack, reference, sources
from bnn_ablate.packed.graph import Graph
from bnn_ablate.packed.library import library

GRAPH = every_kind()
IMAGES = normal(np.random.default_rng(0), 17, 3, 4, 5)
EXPECTED = reference.logits(GRAPH, IMAGES)


def deep() -> Graph:
    """Binary convolutions one behind the other: work enough for threads to meet in the middle of it."""
    rng = np.random.default_rng(1)
    draft = Draft((3, 12, 12))
    x = draft.conv("image", normal(rng, 32, 3, 3, 3), borders=(1, 1, 1, 1))
    for _ in range(4):
        x = draft.affine(draft.binary_conv(x, rng.random((32, 32, 3, 3)) < 0.5, borders=(1, 1, 1, 1)), 0.1, -0.3)
    draft.mean_of_all(x)
    return draft.graph()


# --- batches and threads -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", available_kernels())
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_any_batch_gives_the_same_bits(threads: int, kernel: str):
    network = PackedNetwork(GRAPH, threads=threads, kernel=kernel)
    for count in (0, 1, 3, 9, 17, 2):
        np.testing.assert_array_equal(network(IMAGES[:count]), EXPECTED[:count], strict=True)


def test_more_threads_than_positions_are_of_use_to_nobody_and_right():
    network = PackedNetwork(GRAPH, threads=33)
    np.testing.assert_array_equal(network(IMAGES), EXPECTED)
    np.testing.assert_array_equal(network(IMAGES[:1]), EXPECTED[:1])


def test_threads_are_torchs_unless_given():
    assert PackedNetwork(GRAPH).threads == torch.get_num_threads()
    assert PackedNetwork(GRAPH, threads=3).threads == 3


def test_calls_from_several_threads_at_once_are_right():
    graph = deep()
    batches = [normal(np.random.default_rng(seed), 3, 3, 12, 12) for seed in range(4)]
    expected = [reference.logits(graph, batch) for batch in batches]
    network = PackedNetwork(graph, threads=2)
    wrong: list[int] = []
    together = threading.Barrier(len(batches))

    def call(index: int) -> None:
        together.wait()
        for _ in range(30):
            if not np.array_equal(network(batches[index]), expected[index]):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(batches))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_forked_child_can_call_a_network_that_its_parent_has_used(threads: int):
    network = PackedNetwork(GRAPH, threads=threads)
    network(IMAGES)
    child = os.fork()
    if child == 0:  # pragma: no cover - the child must not return into pytest
        right = False
        try:
            right = np.array_equal(network(IMAGES), EXPECTED)
        finally:
            os._exit(0 if right else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(network(IMAGES), EXPECTED)


def test_signs_are_those_of_what_the_binary_convolutions_read():
    values = reference.run(GRAPH, IMAGES)
    for kernel in available_kernels():
        signs = PackedNetwork(GRAPH, kernel=kernel).signs(IMAGES)
        assert set(signs) == {"binary"}
        np.testing.assert_array_equal(signs["binary"], values["sign"] < 0, strict=True)
    assert PackedNetwork(GRAPH).signs(IMAGES[:0])["binary"].shape == (0, 3, 4, 5)


def test_a_profile_has_a_time_for_every_line():
    network = PackedNetwork(GRAPH, threads=2)
    seconds = network.profile(IMAGES)
    assert seconds.shape == (len(network.lines),)
    assert (seconds >= 0).all()
    assert {name for line in network.lines for name in line.names} >= {"binary", "box", "classifier"}


# --- arrays ------------------------------------------------------------------------------------------------------


def read_only(x: Array) -> Array:
    x = x.copy()
    x.flags.writeable = False
    return x


def inside(x: Array) -> Array:
    """The same values in the middle of a larger array."""
    room = np.full((x.shape[0] * 2, x.shape[1] + 1, x.shape[2] + 3, x.shape[3] * 3), np.nan, np.float32)
    room[::2, 1:, 2:-1, ::3] = x
    return room[::2, 1:, 2:-1, ::3]


def between_bytes(x: Array) -> Array:
    """Strides that are no multiples of a float."""
    records = np.zeros(x.shape, np.dtype([("before", "u1"), ("pixel", "<f4")]))
    records["pixel"] = x
    return records["pixel"]


def off_by_a_byte(x: Array) -> Array:
    """Strides of whole floats from an address that is none."""
    return np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)


ARRAYS: dict[str, Callable[[Array], Any]] = {
    "contiguous": np.ascontiguousarray,
    "channels last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "negative strides": lambda x: np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
    "inside": inside,
    "read-only": read_only,
    "between bytes": between_bytes,
    "off by a byte": off_by_a_byte,
    "torch": lambda x: torch.from_numpy(x.copy()),
    "torch channels last": lambda x: torch.from_numpy(x.copy()).to(memory_format=torch.channels_last),
    "torch strided": lambda x: torch.from_numpy(np.repeat(x, 2, axis=3)).transpose(2, 3)[:, :, ::2].transpose(2, 3),
    "torch with gradient": lambda x: torch.from_numpy(x.copy()).requires_grad_(),
    "torch parameter": lambda x: torch.nn.Parameter(torch.from_numpy(x.copy())),
    "torch negated": lambda x: torch.complex(torch.zeros(x.shape), -torch.from_numpy(x.copy())).conj().imag,
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_images_may_have_any_strides(kind: str):
    given = ARRAYS[kind](IMAGES)
    y = PackedNetwork(GRAPH, threads=1)(given)
    assert type(y) is (np.ndarray if isinstance(given, np.ndarray) else torch.Tensor)
    np.testing.assert_array_equal(np.asarray(y), EXPECTED)


def test_one_image_given_many_times_over_is_read_as_often():
    x = np.broadcast_to(IMAGES[0], (9, 3, 4, 5))
    network = PackedNetwork(GRAPH)
    np.testing.assert_array_equal(network(x), np.repeat(EXPECTED[:1], 9, axis=0))
    np.testing.assert_array_equal(network(torch.from_numpy(IMAGES[:1]).expand(9, 3, 4, 5)).numpy()[8], EXPECTED[0])


def test_logits_of_a_tensor_are_a_tensor_without_a_gradient():
    y = PackedNetwork(GRAPH)(torch.from_numpy(IMAGES).requires_grad_())
    assert y.dtype == torch.float32
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[0], r"images have the shape \(3, 4, 5\): this network takes \(N, 3, 4, 5\)"),
        (IMAGES[:, :2], r"images have the shape \(17, 2, 4, 5\): this network takes \(N, 3, 4, 5\)"),
        (torch.zeros(2, 3, 5, 4), r"images have the shape \(2, 3, 5, 4\): this network takes \(N, 3, 4, 5\)"),
        (IMAGES.tolist(), r"images have the shape \(\): this network takes \(N, 3, 4, 5\)"),
        (None, r"images have the shape \(\): this network takes \(N, 3, 4, 5\)"),
        (IMAGES.astype(np.float64), "images are of float64: this network takes float32"),
        (IMAGES.astype(">f4"), "images are of >f4: this network takes float32"),
        (torch.zeros(1, 3, 4, 5, dtype=torch.uint8), "images are of uint8: this network takes float32"),
        (torch.zeros(1, 3, 4, 5, device="meta"), "images are on meta: the packed engine runs on the CPU"),
    ],
)
def test_images_of_another_shape_or_type_are_refused(images: Any, message: str):
    network = PackedNetwork(GRAPH)
    for read in (network, network.signs, network.profile):
        with pytest.raises(ValueError, match=f"^{message}$"):
            read(images)


# --- choices -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, -1, 257, 2.0, "2"])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: Any):
    with pytest.raises(ValueError, match=f"^threads={threads!r} must be a whole number from 1 to 256$"):
        PackedNetwork(GRAPH, threads=threads)


def test_an_unknown_kernel_is_refused():
    names = ", ".join(available_kernels())
    with pytest.raises(ValueError, match=f"^kernel=neon is unknown: choose one of {names}$"):
        PackedNetwork(GRAPH, kernel="neon")


def test_a_kernel_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bnn_ablate.packed.library.available_kernels", lambda: ("portable",))
    sentence = "^kernel=avx2 needs instructions that this processor lacks: choose one of portable$"
    with pytest.raises(ValueError, match=sentence):
        PackedNetwork(GRAPH, kernel="avx2")


def test_the_fastest_kernel_is_taken():
    assert PackedNetwork(GRAPH).kernel == available_kernels()[0]
    assert available_kernels()[-1] == "portable"


# --- files and memory --------------------------------------------------------------------------------------------


def test_a_saved_network_gives_the_same_bits(tmp_path: Path):
    network = PackedNetwork(GRAPH)
    size = network.save(tmp_path / "network.safetensors")
    assert (tmp_path / "network.safetensors").stat().st_size == size
    loaded = PackedNetwork.load(tmp_path / "network.safetensors", threads=2, kernel="portable")
    assert (loaded.threads, loaded.kernel, loaded.image_shape, loaded.classes) == (2, "portable", (3, 4, 5), 2)
    assert loaded(IMAGES).tobytes() == network(IMAGES).tobytes()


def test_packing_lowers_folds_and_plans_a_module():
    module = make_network("post scaling=channel")
    images = torch.from_numpy(normal(np.random.default_rng(2), 2, 3, 16, 16))
    with torch.no_grad():
        # float32 sums in another order than torch's
        torch.testing.assert_close(pack(module, (3, 16, 16))(images), module(images), rtol=1e-4, atol=1e-4)


def test_a_resnet_e18_works_in_little_memory_above_its_weights(make_settings: Callable[..., Any]):
    settings = make_settings("model=resnet_e18", "stem=imagenet", "data=synthetic", "data.image_size=224")
    design = settings.design
    assert isinstance(design, Design)
    module = build_network(settings.model, design, in_channels=3, num_classes=10, image_size=224).eval()
    network = pack(module, (3, 224, 224), threads=1)
    # 64 channels of 56 x 56 floats are 0.77 MiB
    assert network.work_bytes < 8 * 2**20


# --- the library -------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_library() -> Iterator[None]:
    """Libraries are loaded once; here each test loads its own, and leaves none behind."""
    library.cache_clear()
    yield
    library.cache_clear()


@pytest.mark.usefixtures("fresh_library")
def test_a_library_of_other_sources_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "digest", lambda: "0" * 64)
    sentence = r"was built from other sources than those in .*kernels: run `make` or `pip install -e \.` again$"
    with pytest.raises(EngineError, match=sentence):
        library()


@pytest.mark.usefixtures("fresh_library")
def test_a_library_whose_steps_have_other_fields_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("bnn_ablate.packed.library.FIELDS", ("kind",))
    with pytest.raises(EngineError, match="was built from other sources"):
        library()


@pytest.mark.usefixtures("fresh_library")
def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources, "LIBRARY", "_none.so")
    sentence = r"^the packed engine's kernels cannot be loaded \(.*_none\.so.*\): run `make` or .* again$"
    with pytest.raises(EngineError, match=sentence):
        library()


def test_a_missing_compiler_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CXX", "no-such-compiler -O3")
    with pytest.raises(sources.CompilerError, match=r"^no-such-compiler -O3 is not there: the packed engine"):
        sources.build(tmp_path / "kernels.so")
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_compile_is_said_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(sources.CompilerError, match=r"^false could not compile the kernels:"):
        sources.build(tmp_path / "kernels.so")
    assert list(tmp_path.iterdir()) == []


def test_a_network_can_be_copied_and_sent_to_another_process():
    network = PackedNetwork(GRAPH, threads=2, kernel="portable")
    again = pickle.loads(pickle.dumps(network))
    assert (again.threads, again.kernel) == (2, "portable")
    np.testing.assert_array_equal(copy.deepcopy(again)(IMAGES), network(IMAGES))


def test_threads_that_are_no_number_are_refused_as_they_were_given():
    for threads in (True, "2", 1.0):
        with pytest.raises(ValueError, match=re.escape(f"threads={threads!r} must be a whole number from 1 to 256")):
            PackedNetwork(GRAPH, threads=threads)
