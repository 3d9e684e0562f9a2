"""A run's network for other engines: its packed file, or its last checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import TINY

from bnn_ablate.export import ExportError
from bnn_ablate.export.__main__ import main
from bnn_ablate.export.runs import packed_run
from bnn_ablate.identity import ids_of
from bnn_ablate.packed import reference
from bnn_ablate.packed.file import PackedFileError, write_graph
from bnn_ablate.run import run
from bnn_ablate.store import Store
from bnn_ablate.trained import load_trained


@pytest.fixture(scope="module")
def done(make_settings, tmp_path_factory):
    """The settings of a finished run, and its folder."""
    runs = tmp_path_factory.mktemp("exported")
    settings = make_settings(*TINY, f"runs={runs}")
    record = run(settings, ids_of(settings), "")
    return settings, Store(runs).run(record.run_id)


@pytest.fixture
def without_packed_file(done):
    """The run as those of before there was an engine."""
    _, folder = done
    kept = folder.packed.read_bytes() if folder.packed.exists() else None
    folder.packed.unlink(missing_ok=True)
    yield done
    folder.packed.unlink(missing_ok=True)
    if kept is not None:
        folder.packed.write_bytes(kept)


@torch.no_grad()
def test_a_run_without_a_packed_file_is_packed_from_its_checkpoint(without_packed_file) -> None:
    settings, folder = without_packed_file
    graph = packed_run(folder.path.name, folder.path.parent)
    images = np.random.default_rng(0).standard_normal((2, *graph.image_shape)).astype(np.float32)
    expected = load_trained(settings, folder).network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(reference.logits(graph, images), expected, rtol=1e-4, atol=1e-4)


def test_the_packed_file_of_a_run_is_what_is_exported(without_packed_file) -> None:
    _, folder = without_packed_file
    graph = packed_run(folder.path.name, folder.path.parent)
    write_graph(folder.packed, graph)
    checkpoint = folder.checkpoint.read_bytes()
    try:
        folder.checkpoint.unlink()
        again = packed_run(folder.path.name, folder.path.parent)
    finally:
        folder.checkpoint.write_bytes(checkpoint)
    assert [node.name for node in again.nodes] == [node.name for node in graph.nodes]


def test_a_damaged_packed_file_is_told_and_not_passed_over(without_packed_file) -> None:
    _, folder = without_packed_file
    folder.packed.write_bytes(b"nothing")
    with pytest.raises(PackedFileError, match=r"packed\.safetensors"):
        packed_run(folder.path.name, folder.path.parent)


def test_a_run_that_is_not_there_is_refused(tmp_path, capsys) -> None:
    assert main(["run=0123456789ab", "--runs", str(tmp_path), "--to", "openvino", "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().out == (
        f"error: run=0123456789ab: run=0123456789ab is not there in {tmp_path}: only a trained run can be exported\n"
    ).replace("run=0123456789ab: ", "", 1)
    assert not (tmp_path / "out").exists()


def test_a_run_whose_checkpoint_is_gone_is_refused(without_packed_file) -> None:
    _, folder = without_packed_file
    kept = folder.checkpoint.read_bytes()
    try:
        folder.checkpoint.unlink()
        with pytest.raises(ExportError, match=rf"^run={folder.path.name}: .*last\.ckpt"):
            packed_run(folder.path.name, folder.path.parent)
    finally:
        folder.checkpoint.write_bytes(kept)


@pytest.mark.parametrize("content", ["{", "- a\n- b\n", None])
def test_a_run_whose_configuration_is_damaged_or_gone_is_refused(without_packed_file, content) -> None:
    _, folder = without_packed_file
    path = folder.path / "config.yaml"
    kept = path.read_bytes()
    try:
        path.unlink()
        if content is not None:
            path.write_text(content)
        with pytest.raises(ExportError, match=rf"^run={folder.path.name}: .*config\.yaml is missing or damaged$"):
            packed_run(folder.path.name, folder.path.parent)
    finally:
        path.write_bytes(kept)
