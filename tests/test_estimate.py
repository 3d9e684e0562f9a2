"""How long runs are expected to take: the same cell first, then runs like it, then steps that are timed."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import TINY
from plan_factories import COST, IMPOSSIBLE, make_job, put_finished

from bnn_ablate.classifier import make_optimizer
from bnn_ablate.data import load_splits
from bnn_ablate.settings import SettingsError
from bnn_ablate.store import Store
from bnn_ablate.sweep import calibration, past
from bnn_ablate.sweep.calibration import calibrate, count, images_a_step, in_order, why_not
from bnn_ablate.sweep.estimate import expected_seconds, from_records, from_steps
from bnn_ablate.sweep.footprint import counted_bytes, expected_bytes
from bnn_ablate.sweep.images import SIZES, image_counts
from bnn_ablate.sweep.past import ask_of, read_past
from bnn_ablate.sweep.work import Task, image_work, other_work, step_work, training_work
from bnn_ablate.trained import new_network


def seconds_of(root, job, **done) -> float | None:
    return expected_seconds(job, read_past(Store(root)), **done)


def source_of(root, job) -> str | None:
    found = from_records(ask_of(job), COST, read_past(Store(root)), epochs_done=0)
    return None if found is None else found.source


def test_the_work_of_a_step_and_of_a_run_is_the_formula_s():
    task = Task(batch_size=100, steps=10, epochs=2, evaluated=1000, tested=500)
    assert image_work(COST) == pytest.approx(0.00049)
    assert step_work(COST, 100) == pytest.approx(0.0628)
    assert training_work(COST, task, 2) == pytest.approx(1.256)
    # 2 x 1000 images and three passes over 500, a fifth of 0.00049 each, and 1.2
    assert other_work(COST, task, 2) == pytest.approx(1.2 + 3500 * 0.000098)


def test_a_run_is_expected_to_take_what_other_seeds_of_its_cell_took(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings, seed=1), training=10.0, whole=14)
    put_finished(tmp_path, make_job(settings, seed=2), training=20.0, whole=26)
    job = make_job(settings, seed=3)
    assert source_of(tmp_path, job) == "same cell"
    assert seconds_of(tmp_path, job) == pytest.approx(20.0)  # the mean of 14 and 26


def test_of_a_run_that_was_stopped_the_epochs_it_has_are_not_expected_again(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings, seed=1), training=30.0, whole=30)
    assert seconds_of(tmp_path, make_job(settings), epochs_done=1) == pytest.approx(20.0)  # two epochs of three
    assert seconds_of(tmp_path, make_job(settings), epochs_done=3) == pytest.approx(0.0)


def test_what_is_not_training_shrinks_with_the_epochs_but_for_the_end_of_the_run(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings, seed=1), training=0.0, whole=100)
    at_the_end = 1.2 + 3 * 24 * 0.2 * 0.00049
    whole = at_the_end + 3 * 24 * 0.2 * 0.00049
    assert seconds_of(tmp_path, make_job(settings), epochs_done=3) == pytest.approx(100 * at_the_end / whole)


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"cpu": "another processor"},
        {"threads": 2},
        {"devices": 2},
        {"compiled": True},
        {"gpu": "some GPU"},
        {"config_yaml": "trainer:\n  binary_forward: float\n"},
        {"config_yaml": "trainer:\n  name: cpu\n"},  # from before bits could be counted in training
    ],
)
def test_runs_that_computed_elsewhere_or_otherwise_tell_nothing(make_settings, tmp_path, elsewhere):
    settings = replace(make_settings(*TINY))
    settings = replace(settings, trainer=replace(settings.trainer, binary_forward="packed"))
    put_finished(tmp_path, make_job(settings, seed=1), training=10.0, whole=10, **elsewhere)
    assert seconds_of(tmp_path, make_job(settings, seed=2)) is None


def test_the_same_network_under_another_recipe_is_scaled_by_its_steps(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings), training=30.0, whole=30)  # 3 epochs of 6 steps of 16 images
    six = replace(settings.recipe, epochs=6)
    assert source_of(tmp_path, make_job(settings, recipe=six)) == "like runs"
    assert seconds_of(tmp_path, make_job(settings, recipe=six)) == pytest.approx(60.0)
    large = replace(settings.recipe, batch_size=32)  # half as many steps, of twice the images
    ratio = (0.0138 + 32 * 0.00049) / (0.0138 + 16 * 0.00049) / 2
    assert seconds_of(tmp_path, make_job(settings, recipe=large)) == pytest.approx(30.0 * ratio)


def test_another_network_of_the_family_is_scaled_by_its_macs(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings), training=30.0, whole=30)
    job = make_job(settings, model=replace(settings.model, width=2.0))
    cost = replace(COST, macs_float=3_000_000)  # 0.00014 more an image
    found = from_records(ask_of(job), cost, read_past(Store(tmp_path)), epochs_done=0)
    assert found.source == "like runs"
    assert found.seconds == pytest.approx(30.0 * (0.0138 + 16 * 0.00063) / (0.0138 + 16 * 0.00049))


def test_of_several_networks_the_nearest_counts_and_a_median_where_they_differ(make_settings, tmp_path):
    settings = make_settings(*TINY)

    def with_width(width: float):
        return make_job(settings, model=replace(settings.model, width=width))

    for width, seconds in ((2.0, 10.0), (3.0, 20.0), (4.0, 90.0)):
        put_finished(tmp_path, with_width(width), training=seconds, whole=seconds)
    assert seconds_of(tmp_path, with_width(5.0)) is None  # nobody knows its MACs
    found = from_records(ask_of(with_width(5.0)), COST, read_past(Store(tmp_path)), epochs_done=0)
    assert found.seconds == pytest.approx(20.0)
    clamped = replace(settings.design, latent=replace(settings.design.latent, name="clamped"))
    same_sizes = make_job(settings, model=replace(settings.model, width=4.0), design=clamped)
    assert seconds_of(tmp_path, same_sizes) == pytest.approx(90.0)


def test_another_family_tells_nothing(make_settings, tmp_path):
    put_finished(tmp_path, make_job(make_settings(*TINY)), training=10.0, whole=10)
    dense = make_job(make_settings("model=binary_densenet28", "model.width=0.25", "data=synthetic"))
    assert source_of(tmp_path, dense) is None


def test_the_time_between_two_attempts_at_a_run_is_nobody_s_time(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings, seed=1), training=10.0, whole=86_400, resumes=1)
    put_finished(tmp_path, make_job(settings, seed=2), training=10.0, whole=12)
    assert seconds_of(tmp_path, make_job(settings, seed=3)) == pytest.approx(12.0)


def test_on_a_gpu_only_the_same_network_at_the_same_batch_size_is_alike(make_settings, tmp_path, monkeypatch):
    settings = make_settings(*TINY, "trainer=gpu", "trainer.binary_forward=float")
    monkeypatch.setattr(past, "gpu_name", lambda: "some GPU")
    config = "trainer:\n  binary_forward: float\n"
    put_finished(tmp_path, make_job(settings), training=30.0, whole=30, gpu="some GPU", config_yaml=config)
    assert seconds_of(tmp_path, make_job(settings, recipe=replace(settings.recipe, epochs=6))) == pytest.approx(60.0)
    assert seconds_of(tmp_path, make_job(settings, recipe=replace(settings.recipe, batch_size=32))) is None
    monkeypatch.setattr(past, "gpu_name", lambda: "another GPU")
    assert seconds_of(tmp_path, make_job(settings, seed=1)) is None


def test_records_alone_are_read_without_torch():
    code = "import bnn_ablate.sweep.estimate, sys; assert not {'torch', 'pytorch_lightning'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_record_that_cannot_be_read_is_counted_and_the_others_tell(make_settings, tmp_path):
    settings = make_settings(*TINY)
    put_finished(tmp_path, make_job(settings, seed=1), training=10.0, whole=10)
    put_finished(tmp_path, make_job(settings, seed=2), training=20.0, whole=20)
    (tmp_path / make_job(settings, seed=2).run_id / "record.json").write_text("{")
    assert read_past(Store(tmp_path)).unreadable == 1
    assert seconds_of(tmp_path, make_job(settings, seed=3)) == pytest.approx(10.0)


@pytest.mark.parametrize(
    "overrides",
    [
        ("data=digits",),
        ("data=digits", "data.limit_train=100", "data.limit_test=1000", "data.holdout=10"),
        ("data=synthetic",),
        ("data=synthetic", "data.limit_train=600", "data.holdout=50"),
    ],
)
def test_images_are_counted_as_they_will_be_read(make_settings, overrides):
    data = make_settings(*overrides).data
    splits, counts = load_splits(data), image_counts(data)
    holdout = 0 if splits.holdout is None else len(splits.holdout)
    assert (counts.train, counts.holdout, counts.test) == (len(splits.train), holdout, len(splits.test))


def test_images_of_a_folder_are_counted_by_their_files(make_settings, tmp_path):
    for name in ("train/a/1.png", "train/a/2.jpg", "train/b/3.png", "train/b/notes.txt", "val/a/1.png", "val/b/2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    data = replace(make_settings(*TINY).data, name="image_folder", root=str(tmp_path), limit_train="all")
    assert (image_counts(data).train, image_counts(data).test) == (3, 2)


def test_published_sets_have_the_sizes_that_their_authors_publish():
    # Krizhevsky 2009, section 3; Xiao et al. 2017, table 1
    assert SIZES["cifar10"] == SIZES["cifar100"] == (50_000, 10_000)
    assert SIZES["fashion_mnist"] == (60_000, 10_000)


def test_axes_that_only_change_where_weights_start_and_how_gradients_flow_cost_nothing(make_settings):
    others = ("grad=ede", "grad.clip=1.0", "latent=clamped", "output=popcount", "padding=zero", "init=glorot")
    plain, changed = (make_settings(*TINY), make_settings(*TINY, *others))
    assert count(plain) == count(changed)
    assert ask_of(make_job(plain)).counted == ask_of(make_job(changed)).counted
    assert ask_of(make_job(plain)).network != ask_of(make_job(changed)).network


def test_sizes_that_cannot_be_built_are_told_in_one_sentence(make_settings):
    with pytest.raises(SettingsError, match=r"a reduction rate of 100\.0 leaves no multiple of 32"):
        count(make_settings(*IMPOSSIBLE))


def test_steps_are_timed_for_each_network_while_there_is_time(make_settings):
    plain = make_settings(*TINY)
    asked = {ask_of(make_job(s)): s for s in (plain, make_settings(*TINY, "scaling=channel"))}
    costs = {ask.counted: count(s) for ask, s in asked.items()}
    state = torch.random.get_rng_state()
    one, both = calibrate(asked, costs, budget=0.0), calibrate(asked, costs, budget=60.0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [len(one), len(both)] == [1, 2]
    assert all(pace.training > 0 for pace in both)
    for ask in asked:
        assert from_steps(ask, costs[ask.counted], one, epochs_done=0).source == "calibrated"


def test_a_timed_step_scales_to_the_whole_run(make_settings, monkeypatch):
    settings = make_settings(*TINY)
    ask = ask_of(make_job(settings))
    monkeypatch.setattr(calibration, "step_seconds", lambda settings, images: 2 * (0.0138 + images * 0.00049))
    (pace,) = calibrate({ask: settings}, {ask.counted: COST})
    whole = from_steps(ask, COST, [pace], epochs_done=0).seconds
    # twice as slow as the formula: 18 steps of 16 images, three evaluations of 24 and three passes at the end, and 1.2
    assert whole == pytest.approx(2 * (18 * (0.0138 + 16 * 0.00049) + 1.2 + 6 * 24 * 0.2 * 0.00049))


def test_networks_are_timed_by_family_then_by_sizes_and_the_most_frequent_first(make_settings):
    settings = make_settings(*TINY)
    channel = make_settings(*TINY, "scaling=channel").design
    dense = ask_of(make_job(make_settings("model=binary_densenet28", "model.width=0.25", "data=synthetic")))

    def ask(width: float, design=settings.design, epochs: int = 3):
        recipe = replace(settings.recipe, epochs=epochs)
        model = replace(settings.model, width=width)
        return ask_of(make_job(settings, model=model, design=design, recipe=recipe))

    rare, first, again, second = ask(1.0), ask(2.0), ask(2.0, epochs=4), ask(2.0, channel)
    assert in_order([rare, first, again, second, dense]) == [first, dense, rare, second]


def test_one_network_of_each_family_is_timed_however_long_it_takes(make_settings, monkeypatch):
    dense = make_settings("model=binary_densenet28", "model.width=0.25", "data=synthetic")
    several = (make_settings(*TINY), make_settings(*TINY, "scaling=channel"), dense)
    asked = {ask_of(make_job(settings)): settings for settings in several}
    monkeypatch.setattr(calibration, "step_seconds", lambda settings, images: 1.0)
    timed = calibrate(asked, {ask.counted: COST for ask in asked}, budget=-1.0)
    assert sorted(pace.ask.family for pace in timed) == ["binary_densenet", "resnet_e"]


def test_a_step_that_would_take_long_is_timed_with_fewer_images():
    assert images_a_step(COST, 64) == 64
    # a tenth of a second an image: 0.3 s hold two of them
    assert images_a_step(replace(COST, macs_binary=4_500_000_000), 256) == 2


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        ({"accelerator": "gpu", "binary_forward": "float"}, "trains on a GPU and this machine has none"),
        ({"devices": 2}, "trains in 2 processes"),
        ({"compile": True, "binary_forward": "float"}, "is compiled first"),
        ({}, None),
    ],
)
def test_no_step_is_timed_where_it_would_not_be_the_run_s(make_settings, monkeypatch, trainer, reason):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = make_settings(*TINY)
    found = why_not(replace(settings, trainer=replace(settings.trainer, **trainer)))
    assert found is None if reason is None else found.startswith(reason)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_checkpoint_is_as_large_as_its_parameters_and_the_optimizer_s_values(make_settings, optimizer):
    settings = make_settings("model.width=0.25", f"recipe/optimizer={optimizer}", "data=synthetic")
    network = new_network(settings)
    made = make_optimizer(network, settings.recipe)
    network(torch.zeros(2, 3, 16, 16)).sum().backward()
    made.step()
    buffer = io.BytesIO()
    torch.save({"state_dict": network.state_dict(), "optimizer_states": [made.state_dict()]}, buffer)
    ask, cost = ask_of(make_job(settings)), count(settings)
    packed = cost.size_bits // 8
    assert buffer.tell() + packed == pytest.approx(counted_bytes(cost, ask), rel=0.05)


def test_folders_of_the_same_cell_say_how_large_a_run_will_be(make_settings, tmp_path):
    settings = make_settings(*TINY)
    job, ask = make_job(settings), ask_of(make_job(settings))
    put_finished(tmp_path, make_job(settings, seed=1), training=1.0, whole=1)
    counted = 4 * 3 * 1_000_000 + 7_200_000 // 8 + 250_000 + 3 * 3_000
    assert expected_bytes(ask, COST, read_past(Store(tmp_path)), settings.tracking) == counted  # no checkpoint is left
    folder = Store(tmp_path).run(make_job(settings, seed=1).run_id)
    folder.checkpoint.write_bytes(bytes(5_000_000))
    folder.packed.write_bytes(bytes(100_000))
    (folder.path / "evaluations").mkdir()
    (folder.path / "evaluations" / "later.json").write_bytes(bytes(1_000_000))
    small = sum(len((folder.path / name).read_bytes()) for name in ("record.json", "status.json", "config.yaml"))
    read = read_past(Store(tmp_path))
    assert expected_bytes(ask, COST, read, settings.tracking) == 5_100_000 + small
    wandb = replace(settings.tracking, name="wandb")
    assert expected_bytes(ask_of(job), COST, read, wandb) == 5_150_000 + small
