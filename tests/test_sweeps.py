"""sweeps/: each file asks for runs that are valid, each once, and header and docs/SWEEPS.md say which and how many."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

import pytest
from sweep_files import NAMES, SWEEPS, Asked, asked, cells_of, header_of, option, put_images, text_of

from bnn_ablate.job import settings_of
from bnn_ablate.settings import BinaryDenseNetSizes, ResNetESizes
from bnn_ablate.sweep.jobs import SweepJobs

PAGE = SWEEPS.parent / "docs" / "SWEEPS.md"
DATA = ("digits", "cifar10_narrow", "cifar10", "imagenet")
#: Files of which one cell is composed by Hydra itself, one of each kind; tests/slow does so for all cells of all files.
BY_HYDRA = (
    "bottleneck_blocks_cifar10",
    "crucial_layers_cifar10_narrow",
    "dense_downsampling_digits",
    "final_imagenet",
    "finetuning_digits",
    "growth_digits",
    "learning_rate_sgd_cifar10",
    "width_depth_imagenet",
)


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Asked]:
    """What a file's command asks, remembered."""
    images = put_images(tmp_path_factory.mktemp("images"))
    return cache(lambda name: asked(name, images))


@pytest.fixture(scope="session")
def cells(command: Callable[[str], Asked]) -> Callable[[str], SweepJobs]:
    """A file's cells, each with its first seed, remembered."""
    return cache(lambda name: cells_of(name, command(name)))


def labels(found: SweepJobs) -> list[str]:
    return [job.label for job in found.jobs]


# --- every file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_valid_and_a_run_of_its_own_and_the_header_counts_them(name, cells):
    found = cells(name)
    assert [(refused.label, refused.reason) for refused in found.refused] == []
    assert found.repeated == 0
    number, seeds, runs, *floats = header_of(name).numbers
    assert number == len(found.jobs)
    assert runs == number * seeds
    needed = len({job.needs for job in found.jobs} - {None})
    assert floats == ([needed, seeds, needed * seeds] if needed else [])
    assert {job.settings.study for job in found.jobs} == {name}


@pytest.mark.parametrize("name", NAMES)
def test_every_cell_is_asked_with_every_seed(name, command):
    expanded = command(name).expanded
    number, seeds, runs, *_ = header_of(name).numbers
    assert len(expanded) == len(set(expanded)) == runs
    assert [sum(f"seed={seed}" in one for one in expanded) for seed in range(seeds)] == [number] * seeds


@pytest.mark.parametrize("name", BY_HYDRA)
def test_a_cell_composed_here_is_the_one_that_hydra_composes(name, command, cells):
    by_hydra = command(name).compose(command(name).first_seed[-1])
    del by_hydra.hydra
    assert cells(name).jobs[-1].settings == settings_of(by_hydra)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_is_complete_and_names_its_own_command(name):
    header = header_of(name)
    words = header.command.split()
    assert words[:4] == ["python", "-m", "bnn_ablate", f"+sweeps={name}"]
    on_a_gpu = {"_imagenet": ["data.root=/images", "trainer=gpu"], "_full_width_short": ["trainer=gpu"]}
    assert words[4:] == next((rest for ending, rest in on_a_gpu.items() if name.endswith(ending)), [])
    assert header.question[-1] in "?."
    assert header.table[-1] == header.expected[-1] == "."
    assert max(len(line) for line in text_of(name).splitlines()) <= 120


def test_files_leave_the_launcher_and_the_place_to_the_command_line():
    for name in NAMES:
        body = re.sub("^#.*$", "", text_of(name), flags=re.MULTILINE)
        assert not re.search("launcher|trainer|tracking|^runs:", body, re.MULTILINE), name


def test_full_size_imagenet_has_one_seed_and_says_that_no_verdict_comes_of_it():
    for name in NAMES:
        single = header_of(name).numbers[1] == 1
        assert single == name.endswith("_imagenet"), name
        assert ("no verdict" in header_of(name).expected) == single, name


def test_a_threshold_is_never_crossed_with_approxsign(cells):
    for name in NAMES:
        if name.startswith(("t_clip", "final")):
            assert {job.settings.design.grad.name for job in cells(name).jobs} == {"ste"}, name
        else:
            assert "clip:" not in text_of(name), name


# --- what some of them ask, written down by hand --------------------------------------------------------------------


def test_every_question_has_its_quick_versions_and_its_full_ones():
    questions = [
        "ablation_post",
        "ablation_pre",
        "bottleneck",
        "bottleneck_dense",
        "crucial_layers",
        "dense_downsampling",
    ]
    questions += ["final", "finetuning", "growth", "scaling", "shortcuts", "t_clip", "width_depth"]
    expected = {f"{question}_{data}" for question in questions for data in DATA}
    expected |= {f"{question}_{data}" for question in ("learning_rate", "learning_rate_sgd") for data in DATA[:3]}
    assert expected <= set(NAMES)


@pytest.mark.parametrize("data", DATA)
def test_scaling_is_asked_for_both_block_orders(data, cells):
    assert labels(cells(f"scaling_{data}")) == [
        "scaling=none order=post",
        "scaling=none order=pre",
        "scaling=channel order=post",
        "scaling=channel order=pre",
        "scaling=xnor order=post",
        "scaling=xnor order=pre",
    ]


@pytest.mark.parametrize("order", ["post", "pre"])
def test_the_main_ablation_has_the_eight_cells_of_the_log_table_in_one_order(order, cells):
    jobs = cells(f"ablation_{order}_cifar10").jobs
    assert [job.label for job in jobs] == [
        "scaling=none downsample=fp grad=ste",
        "scaling=none downsample=fp grad=approxsign_both",
        "scaling=none downsample=binary grad=ste",
        "scaling=none downsample=binary grad=approxsign_both",
        "scaling=xnor downsample=fp grad=ste",
        "scaling=xnor downsample=fp grad=approxsign_both",
        "scaling=xnor downsample=binary grad=ste",
        "scaling=xnor downsample=binary grad=approxsign_both",
    ]
    for settings in (job.settings for job in jobs):
        assert settings.design.order.name == order
        assert settings.design.stem.name == "cifar_2018"
        assert (settings.recipe.epochs, settings.recipe.batch_size, settings.recipe.optimizer.lr) == (150, 128, 0.01)


def test_imagenet_cells_of_the_main_ablation_have_the_batch_of_most_logs_and_the_two_others_their_own(cells):
    def batches(name: str) -> set[tuple[str, str, int]]:
        jobs = cells(name).jobs
        return {
            (j.settings.design.scaling.name, j.settings.design.grad.name, j.settings.recipe.batch_size) for j in jobs
        }

    assert {batch for _, _, batch in batches("ablation_post_imagenet")} == {128}
    assert batches("ablation_post_batch256_imagenet") == {("xnor", "approxsign_both", 256)}


def test_fine_tuning_is_compared_at_equal_fine_tuning_epochs_and_at_equal_epochs_in_all(cells):
    assert labels(cells("finetuning_digits")) == [
        "grad=ste",
        "grad=ste pretrain=relu",
        "grad=ste pretrain=clip",
        "grad=ste recipe.epochs=20",
        "grad=approxsign",
        "grad=approxsign pretrain=relu",
        "grad=approxsign pretrain=clip",
        "grad=approxsign recipe.epochs=20",
    ]
    for data in ("cifar10", "imagenet"):
        (short, *_), (longer, *_) = (cells(name).jobs for name in (f"finetuning_{data}", f"finetuning_longer_{data}"))
        once, twice = short.settings.recipe, longer.settings.recipe
        assert twice.epochs == 2 * once.epochs
        assert twice.schedule.milestones == tuple(2 * epoch for epoch in once.schedule.milestones)
        assert twice.batch_size == once.batch_size


def test_dense_downsampling_takes_precision_relu_and_reduction_apart(cells):
    jobs = cells("dense_downsampling_imagenet").jobs
    factors = [(j.settings.design.downsample.precision, j.settings.design.downsample.relu) for j in jobs]
    rates = [j.settings.design.downsample.reduction for j in jobs]
    assert factors == [("fp", True), ("binary", False), ("fp", False)] * 3
    assert rates == [(2.0, 2.0, 2.0)] * 3 + [(1.0, 1.4, 1.4)] * 3 + [(1.9, 2.0, 1.6)] * 3
    assert {j.settings.design.downsample.layout for j in jobs} == {"conv_avg_pool"}


def test_dense_rows_are_the_three_cifar_logs(cells):
    jobs = cells("dense_rows_cifar10").jobs
    assert [job.label for job in jobs] == ["baseline", "downsample=binary_low_reduction", "downsample.relu=False"]
    for settings in (job.settings for job in jobs):
        assert isinstance(settings.model, BinaryDenseNetSizes)
        assert (settings.model.init_features, settings.design.growth.rate) == (128, 128)


@pytest.mark.parametrize(("data", "rate"), [("digits", 0.01), ("cifar10_narrow", 0.02), ("cifar10", 0.01)])
def test_learning_rates_are_three_times_lower_and_higher_than_the_recipe_s(data, rate, cells):
    name = f"learning_rate_{data}"
    jobs = cells(name).jobs
    changes = ["", " scaling=xnor", " grad=approxsign", " downsample=binary"]
    rates = [f"{round(0.3 * rate, 6)}", f"{rate}", f"{round(3 * rate, 6)}"]
    assert [job.label for job in jobs] == [f"recipe.optimizer.lr={lr}{change}" for lr in rates for change in changes]
    recipe = option("recipe", jobs[0].settings.recipe.name)
    assert recipe["optimizer"]["lr"] == rate
    assert {job.settings.recipe.optimizer.name for job in jobs} == {"adam"}


def test_sgd_is_asked_with_rates_of_its_own(cells):
    jobs = cells("learning_rate_sgd_digits").jobs
    used = [(job.settings.recipe.optimizer.name, job.settings.recipe.optimizer.lr) for job in jobs]
    assert used == [("sgd", rate) for rate in (0.03, 0.1, 0.3) for _ in range(4)]


def test_final_networks_are_the_paper_s_with_its_threshold(cells):
    jobs = cells("final_imagenet").jobs
    depths = ["28", "37", "37_dilated", "45"]
    names = [job.settings.model.name for job in jobs]
    assert names == ["resnet_e18", "resnet_e34", *(f"binary_densenet{depth}" for depth in depths)]
    for settings in (job.settings for job in jobs):
        assert settings.design.grad.clip == 1.3
        assert settings.design.order.name == ("post" if isinstance(settings.model, ResNetESizes) else "pre")
        assert (settings.recipe.name, settings.recipe.optimizer.name, settings.recipe.epochs) == (
            "imagenet_2020", "radam", 120,
        )  # fmt: skip


def test_narrow_files_train_one_recipe_for_twenty_epochs(cells):
    for name in (name for name in NAMES if name.endswith("_narrow")):
        jobs = cells(name).jobs
        recipes = {(job.settings.data.name, job.settings.recipe.name, job.settings.recipe.batch_size) for job in jobs}
        assert recipes == {("cifar10", "cifar_wiki", 128)}, name
        assert {job.settings.recipe.epochs for job in jobs} == ({20, 40} if name.startswith("finetuning") else {20})


# --- the page -----------------------------------------------------------------------------------------------------


def test_page_lists_every_file_with_the_numbers_of_its_header():
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.MULTILINE)
    assert sorted(name for name, _, _ in rows) == NAMES
    for name, runs, expected in rows:
        header = header_of(name)
        assert (runs, expected) == (header.runs, header.expected), name


def test_page_asks_the_question_of_every_file():
    page = " ".join(PAGE.read_text().split())
    for name in NAMES:
        assert header_of(name).question in page, name
