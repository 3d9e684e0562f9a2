"""A finished run's network can be had from Python, and what cannot be had is told in one sentence."""

from __future__ import annotations

import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY
from factories import make_record, put_done

import bnn_ablate
from bnn_ablate import load_run, pack
from bnn_ablate.data import eval_batches, load_splits
from bnn_ablate.identity import ids_of
from bnn_ablate.provenance import pin_arithmetic
from bnn_ablate.run import run
from bnn_ablate.store import Store
from bnn_ablate.trained import LoadError

SIZES = ("grad=approxsign", "scaling=channel", "seed=3")


@pytest.fixture(scope="module")
def done(make_settings, tmp_path_factory):
    """The settings of a finished run, and its record."""
    settings = make_settings(*TINY, *SIZES, f"runs={tmp_path_factory.mktemp('loaded')}")
    return settings, run(settings, ids_of(settings), "")


@pytest.fixture
def copied(done, tmp_path) -> Path:
    """The folder of that run in a store of the test, which may damage it."""
    settings, record = done
    return Path(shutil.copytree(Path(settings.runs) / record.run_id, tmp_path / "runs" / record.run_id))


@torch.no_grad()
def test_the_network_predicts_what_the_record_says(done):
    settings, record = done
    network = load_run(record.run_id, settings.runs)
    assert not any(module.training for module in network.modules())
    pin_arithmetic(1)
    batches = eval_batches(
        load_splits(settings.data).test,
        settings.data,
        settings.recipe,
        8,
        rank=0,
        world_size=1,
        device=torch.device("cpu"),
        workers=0,
    )
    correct = torch.cat([network(images).argmax(1) == labels for images, labels in batches])
    bits = np.unpackbits(np.frombuffer(b64decode(record.accuracy.correct_bits), np.uint8))[: len(correct)]
    assert correct.tolist() == bits.astype(bool).tolist()


def test_its_settings_are_those_of_the_run(done):
    settings, record = done
    loaded = load_run(record.run_id, Path(settings.runs)).settings
    assert (loaded.seed, loaded.design.grad.name, loaded.design.scaling.name) == (3, "approxsign", "channel")
    assert loaded == settings


def test_a_run_that_only_has_to_be_packed_is_loaded_too(done, copied):
    settings, record = done
    (copied / "record.json").unlink()
    folder = Store(copied.parent).run(record.run_id)
    status = folder.status()
    folder.write_status(type(status)(**{**vars(status), "state": "trained"}))
    expected = load_run(record.run_id, settings.runs).state_dict()
    loaded = load_run(record.run_id, copied.parent).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)


@torch.no_grad()
def test_it_can_be_packed(done):
    settings, record = done
    network = load_run(record.run_id, settings.runs)
    data = network.settings.data
    shape = (len(data.mean), data.image_size, data.image_size)
    images = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pack(network, shape, threads=1)(images), network(images), rtol=1e-4, atol=1e-4)


def test_loading_draws_no_random_number(done):
    settings, record = done
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_run(record.run_id, settings.runs)
    assert torch.equal(torch.rand(1), expected)


def test_four_digits_are_enough_where_they_are_clear(copied):
    run_id, root = copied.name, copied.parent
    assert load_run(run_id[:4], root).settings.seed == 3
    (root / f"{run_id[:4]}.csv").touch()  # no run
    assert load_run(run_id[:4], root).settings.seed == 3
    other = f"{run_id[:5]}{'0' * 7}" if run_id[5:] != "0" * 7 else f"{run_id[:5]}{'1' * 7}"
    (root / other).mkdir()
    told = rf"^run {run_id[:4]} is the beginning of 2 ids in {root}: {', '.join(sorted((run_id, other)))}$"
    with pytest.raises(LoadError, match=told):
        load_run(run_id[:4], root)
    assert load_run(run_id, root).settings.seed == 3


@pytest.mark.parametrize("name", ["abc", "", "0123456789abc", "ABCDEF", "../x", "*", "seed=3", "0123\n"])
def test_what_is_no_id_is_told(name, tmp_path):
    with pytest.raises(LoadError) as caught:
        load_run(name, tmp_path)
    assert str(caught.value) == f"{name!r} names no run in {tmp_path}: give 4 to 12 hexadecimal digits of its id"


def test_a_run_that_is_not_there_is_told(tmp_path):
    with pytest.raises(LoadError, match=rf"^run 0123 is not there in {tmp_path}$"):
        load_run("0123", tmp_path)
    with pytest.raises(LoadError, match=rf"^run 0123 is not there in {tmp_path}/none, which is no folder$"):
        load_run("0123", tmp_path / "none")


@pytest.mark.parametrize("state", ["running", "stopped", "failed", "diverged", "begun"])
def test_the_network_of_a_training_that_is_not_over_is_refused(state, copied):
    (copied / "record.json").unlink()
    folder = Store(copied.parent).run(copied.name)
    if state == "begun":
        (copied / "status.json").unlink()
    else:
        folder.write_status(type(folder.status())(**{**vars(folder.status()), "state": state}))
    with pytest.raises(LoadError) as caught:
        load_run(copied.name, copied.parent)
    said = f"run {copied.name} in {copied.parent} is {state}: only the network of a trained run is loaded"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("last.ckpt", None, "last.ckpt cannot be read: No such file or directory"),
        ("last.ckpt", b"PK", "last.ckpt is damaged: delete it to train the run from its start"),
        ("config.yaml", None, "config.yaml is missing or damaged"),
        ("config.yaml", b"- a", "config.yaml is missing or damaged"),
        ("status.json", b"{", "Invalid JSON"),
    ],
)
def test_a_file_that_is_missing_or_damaged_is_named(file, content, told, copied):
    (copied / file).unlink()
    if content is not None:
        (copied / file).write_bytes(content)
    with pytest.raises(LoadError) as caught:
        load_run(copied.name, copied.parent)
    said = str(caught.value)
    assert said.startswith(f"run {copied.name} in {copied.parent} cannot be loaded: {copied / file}")
    assert told in said
    assert "\n" not in said


@pytest.mark.parametrize("checkpoint", [{}, [1], "without a layer"])
def test_a_checkpoint_of_another_network_is_told_in_one_sentence(checkpoint, copied):
    path = copied / "last.ckpt"
    if checkpoint == "without a layer":
        checkpoint = torch.load(path, weights_only=True)
        checkpoint["state_dict"].popitem()
    torch.save(checkpoint, path)
    with pytest.raises(LoadError) as caught:
        load_run(copied.name, copied.parent)
    said = f"{path} does not hold the network that config.yaml describes"
    assert str(caught.value) == f"run {copied.name} in {copied.parent} cannot be loaded: {said}"


def test_what_only_a_record_is_left_of_is_told(tmp_path):
    record = put_done(tmp_path, make_record())
    with pytest.raises(
        LoadError, match=rf"^run {record.run_id} in {tmp_path} cannot be loaded: .*config\.yaml is missing"
    ):
        load_run(record.run_id, tmp_path)


def test_the_package_offers_what_it_names_and_is_light_until_it_is_asked():
    assert bnn_ablate.__all__ == ["PackedNetwork", "count_cost", "load_run", "pack"]
    assert all(callable(getattr(bnn_ablate, name)) for name in bnn_ablate.__all__)
    code = "import bnn_ablate, sys; assert not {'torch', 'numpy', 'pydantic', 'omegaconf'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
