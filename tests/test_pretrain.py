"""Training from the weights of a float network: trained once, shared, taken over whole, part of the run's identity."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import TINY
from interruptions import train, train_and_count_trainings, train_and_die_at_step

from bnn_ablate.checkpoint import AtomicCheckpointIO
from bnn_ablate.identity import ids_of
from bnn_ablate.layers import BinaryConv2d
from bnn_ablate.pretraining import PretrainingError, float_settings, pretrained_state, take_over
from bnn_ablate.record import same_result
from bnn_ablate.run import run
from bnn_ablate.settings import SettingsError
from bnn_ablate.store import Store
from bnn_ablate.trained import new_network

#: A float network of one epoch, from which a network is trained on whose rate moves nothing.
STANDING_STILL = (
    "recipe.epochs=1",
    "recipe.schedule.warmup_epochs=0",
    "recipe.optimizer.lr=1e-30",
    "+recipe@pretrain.recipe=quick",
    "pretrain.recipe.epochs=1",
    "pretrain.recipe.batch_size=16",
    "pretrain.recipe.schedule.warmup_epochs=0",
)


def float_id(settings) -> str:
    return ids_of(float_settings(settings)).run_id


def weights_of(folder) -> dict[str, torch.Tensor]:
    return AtomicCheckpointIO().load_checkpoint(folder.checkpoint)["state_dict"]


@pytest.mark.parametrize("name", ["relu", "clip", "leaky_clip"])
def test_a_run_starts_from_the_weights_of_its_float_network(name, make_settings, tmp_path):
    settings = make_settings(*TINY, f"pretrain={name}", *STANDING_STILL, f"runs={tmp_path}")
    record = run(settings, ids_of(settings), "")
    store = Store(tmp_path)
    assert {folder.path.name for folder in store.runs()} == {record.run_id, record.pretrained_by}
    first = store.run(record.pretrained_by)
    assert first.record().config["activations"] == {"name": "float", "function": name}
    assert first.record().config["recipe"]["optimizer"]["lr"] == 0.01
    before, after = weights_of(first), weights_of(store.run(record.run_id))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before if key.endswith(("conv.weight", ".0.weight")))
    # and not merely the initial weights of the seed
    fresh = new_network(settings).state_dict()
    assert not any(torch.equal(fresh[key], before[f"network.{key}"]) for key in fresh if key.endswith(".0.weight"))


SHARING = [
    ["grad=approxsign"],
    ["scaling=xnor"],
    ["scaling=learned"],
    ["output=popcount"],
    ["latent=clamped"],
    ["padding=plus_one"],
    ["weights=magnitude_aware"],
    ["grad.clip=1.3"],
]


@pytest.mark.parametrize("options", SHARING, ids=" ".join)
def test_what_belongs_to_binarisation_does_not_ask_for_another_float_network(options, make_settings):
    assert float_id(make_settings("pretrain=relu", *options)) == float_id(make_settings("pretrain=relu"))


OWN = [
    ["seed=1"],
    ["pretrain=clip"],
    ["downsample=binary"],
    ["bottleneck=classic"],
    ["order=pre"],
    ["init=glorot"],
    ["recipe.epochs=11"],
    ["model.width=0.5"],
    ["padding.side=same"],
]


@pytest.mark.parametrize("options", OWN, ids=" ".join)
def test_what_belongs_to_the_network_or_its_training_does(options, make_settings):
    assert float_id(make_settings("pretrain=relu", *options)) != float_id(make_settings("pretrain=relu"))


def test_the_float_network_is_the_float_twin(make_settings):
    twin = make_settings("weights=float", "activations=float", "activations.function=clip")
    assert float_id(make_settings("pretrain=clip")) == ids_of(twin).run_id


def test_a_float_recipe_that_is_the_runs_own_says_nothing_new(make_settings):
    plain = make_settings("pretrain=relu")
    assert ids_of(make_settings("pretrain=relu", "+recipe@pretrain.recipe=quick")) == ids_of(plain)
    other = make_settings("pretrain=relu", "+recipe@pretrain.recipe=quick", "pretrain.recipe.epochs=20")
    assert ids_of(other).run_id != ids_of(plain).run_id
    assert float_settings(other).recipe == replace(plain.recipe, epochs=20)


def test_two_cells_started_together_train_their_float_network_once(make_settings, forkserver, tmp_path):
    cells = [
        make_settings(*TINY, "pretrain=relu", grad, f"runs={tmp_path}") for grad in ("grad=ste", "grad=approxsign")
    ]
    count = tmp_path / "trainings"
    together = [forkserver.Process(target=train_and_count_trainings, args=(cell, str(count))) for cell in cells]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert [process.exitcode for process in together] == [0, 0]
    assert sorted(count.read_text().split()) == ["float", "sign", "sign"]
    store = Store(tmp_path)
    assert len(store.runs()) == 3
    first = float_id(cells[0])
    assert [store.run(ids_of(cell).run_id).record().pretrained_by for cell in cells] == [first, first]


@pytest.mark.parametrize("step", [8, 25])
def test_a_run_killed_in_either_training_ends_with_the_same_bits(step, make_settings, forked, tmp_path):
    """TINY has 18 steps: step 8 is in the float network's training; steps of the second count from 0 again."""
    whole = make_settings(*TINY, "pretrain=relu", f"runs={tmp_path / 'whole'}")
    killed = make_settings(*TINY, "pretrain=relu", f"runs={tmp_path / 'killed'}")
    assert forked(train, whole) == 0
    if step > 18:
        # the float network is there: the kill meets the second training
        assert forked(train, float_settings(killed)) == 0
        step -= 18
    assert forked(train_and_die_at_step, killed, step, signal.SIGKILL) == -signal.SIGKILL
    assert forked(train, killed) == 0
    records = [Store(Path(s.runs)).run(ids_of(whole).run_id).record() for s in (whole, killed)]
    assert same_result(*records)


def given(tmp_path, make_settings, *options: str) -> Path:
    """The checkpoint file of a network of one seed, as a run leaves it."""
    settings = make_settings(*TINY, "seed=7", *options)
    path = tmp_path / f"given{len(list(tmp_path.iterdir()))}.ckpt"
    state = {f"network.{key}": value for key, value in new_network(settings).state_dict().items()}
    AtomicCheckpointIO().save_checkpoint({"state_dict": state}, path)
    return path


def test_a_given_checkpoint_enters_the_id_by_its_bytes_and_not_by_its_path(make_settings, tmp_path):
    path = given(tmp_path, make_settings)
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(path.read_bytes())
    ids = [ids_of(make_settings(*TINY, "pretrain=relu", f"pretrain.from={file}")) for file in (path, copy)]
    assert ids[0] == ids[1]
    other = given(tmp_path, make_settings, "init=glorot")
    assert ids_of(make_settings(*TINY, "pretrain=relu", f"pretrain.from={other}")).run_id != ids[0].run_id
    assert ids_of(make_settings(*TINY, "pretrain=relu")).run_id != ids[0].run_id
    # whatever it is called, and whatever would have been drawn in its place
    same = make_settings(*TINY, "pretrain=file", f"pretrain.from={path}", "init=xavier")
    assert ids_of(same).run_id == ids[0].run_id


def test_a_given_checkpoint_is_where_the_run_starts_and_no_float_network_is_trained(make_settings, tmp_path):
    path = given(tmp_path, make_settings)
    settings = make_settings(
        *TINY, *STANDING_STILL[:3], "pretrain=file", f"pretrain.from={path}", f"runs={tmp_path / 'runs'}"
    )
    record = run(settings, ids_of(settings), "")
    assert record.pretrained_by is None
    assert record.config["pretrain"]["from"] == f"sha256:{ids_of(settings).checkpoint}"
    (folder,) = Store(tmp_path / "runs").runs()
    start, end = torch.load(path, weights_only=True)["state_dict"], weights_of(folder)
    assert all(torch.equal(start[key], end[key]) for key in start if key.endswith(".0.weight"))


def test_learned_factors_start_at_the_alpha_of_the_weights_taken_over(make_settings, tmp_path):
    path = given(tmp_path, make_settings)
    settings = make_settings(*TINY, "scaling=learned", "pretrain=file", f"pretrain.from={path}")
    network = new_network(settings)
    name, state = pretrained_state(settings, ids_of(settings))
    take_over(network, state, name)
    layers = [layer for layer in network.modules() if isinstance(layer, BinaryConv2d)]
    assert len(layers) == 4
    for layer in layers:
        assert torch.allclose(layer.scale.flatten(), layer.weight.abs().mean((1, 2, 3)))


REFUSED = [
    ({"network.stem.0.weight": None}, "has no tensor stem.0.weight"),
    ({"network.other": torch.zeros(1)}, "holds other, which this network has not"),
    (
        {"network.stem.0.weight": torch.zeros(8, 3, 5, 5)},
        r"stem.0.weight of shape \(8, 3, 5, 5\) where .* \(8, 3, 3, 3\)",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), REFUSED, ids=["missing", "extra", "misshapen"])
def test_a_checkpoint_of_another_network_is_refused_by_the_name_of_its_tensor(
    change, sentence, make_settings, tmp_path
):
    path = given(tmp_path, make_settings)
    state = torch.load(path, weights_only=True)["state_dict"] | change
    AtomicCheckpointIO().save_checkpoint({"state_dict": {k: v for k, v in state.items() if v is not None}}, path)
    settings = make_settings(*TINY, "pretrain=file", f"pretrain.from={path}", f"runs={tmp_path / 'runs'}")
    with pytest.raises(SettingsError, match=sentence):
        run(settings, ids_of(settings), "")
    assert Store(tmp_path / "runs").runs() == []


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(content, make_settings, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    settings = make_settings(*TINY, "pretrain=file", f"pretrain.from={path}", f"runs={tmp_path / 'runs'}")
    with pytest.raises(SettingsError, match="is no checkpoint of a network"):
        run(settings, ids_of(settings), "")


def test_a_checkpoint_that_is_not_there_is_one_sentence(make_settings, tmp_path):
    settings = make_settings(*TINY, "pretrain=file", f"pretrain.from={tmp_path / 'absent'}")
    with pytest.raises(SettingsError, match="absent cannot be read: No such file"):
        ids_of(settings)


def test_a_float_network_that_diverges_fails_the_run_and_says_so(make_settings, tmp_path):
    wild = [text for text in STANDING_STILL if text.startswith(("+", "pretrain"))]
    settings = make_settings(*TINY, "pretrain=relu", *wild, "pretrain.recipe.optimizer.lr=1e30", f"runs={tmp_path}")
    for _ in range(2):  # the second time from the float run's status
        with pytest.raises(PretrainingError, match=f"pretrain=relu, run {float_id(settings)}, diverged"):
            run(settings, ids_of(settings), "")
        assert Store(tmp_path).run(ids_of(settings).run_id).status().state == "failed"
        assert Store(tmp_path).run(float_id(settings)).status().state == "diverged"


def test_a_described_network_of_other_borders_is_refused(make_settings, tmp_path):
    """Borders are in no tensor's name or shape; a file of bnn_ablate.interop says them."""
    path = given(tmp_path, make_settings)
    content = torch.load(path, weights_only=True)
    content["bnn_ablate_network"] = {"config": {"padding": {"name": "zero", "side": "same"}}}
    AtomicCheckpointIO().save_checkpoint(content, path)
    file = ("pretrain=file", f"pretrain.from={path}", f"runs={tmp_path / 'runs'}")
    settings = make_settings(*TINY, *file)
    with pytest.raises(
        SettingsError, match=r"padding=zero side=same and this run has padding=minus_one side=symmetric"
    ):
        run(settings, ids_of(settings), "")
    fitting = make_settings(*TINY, *file, "padding=zero", "padding.side=same")
    assert pretrained_state(fitting, ids_of(fitting))[1].keys() == new_network(fitting).state_dict().keys()
