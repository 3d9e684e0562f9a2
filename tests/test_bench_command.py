"""The inference benchmark's command line: what it measures, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bnn_ablate.bench import inference
from bnn_ablate.bench.__main__ import main
from bnn_ablate.bench.peers import UNMEASURED
from bnn_ablate.bench.results import Group

TINY = ("model.width=0.25", "model.blocks_per_stage=[2,2]", "model.channels=[64,128]")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--batch", "0"], "error: argument --batch: 0 is no whole number from 1 on (--help says more)"),
        (["--threads", "9999"], "error: --threads 9999 is more than 256"),
        (["--kernel", "neon"], "error: kernel=neon is unknown: choose one of "),
        (["--models", "resnet_e19"], "resnet_e19"),
        (["--peers", "tensorrt"], "error: argument --peers: invalid choice: 'tensorrt'"),
        (["--peers", "larq"], "error: argument --peers: invalid choice: 'larq'"),
        (["--quick", "scaling=none,channel"], "error: "),
        (
            ["--quick", "--sizes", "32"],
            "--quick is ResNetE18 on one image of 224 pixels on one thread: leave out",
        ),
        (["--quick", "--batch", "1", "--threads", "2"], "leave out --batch, --threads, or --quick"),
        (["--quick", "--models", "resnet_e18"], "leave out --models, or --quick"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*arguments, "--out", str(tmp_path / "out")])
    except SystemExit as left:
        code = left.code
    printed = capsys.readouterr().out
    assert code == 1
    assert printed.startswith("error: ")
    assert sentence in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    assert main(["--quick", "--out", str(tmp_path / "file"), *TINY]) == 1
    assert capsys.readouterr().out == f"error: --out {tmp_path / 'file'} cannot be written: File exists\n"


def test_a_failure_that_is_no_matter_of_writing_is_not_told_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def breaks(*_: Any, **__: Any) -> Group:
        raise OSError("no more processes")

    monkeypatch.setattr(inference, "contest", breaks)
    with pytest.raises(OSError, match=r"^no more processes$"):
        main(["--quick", "--out", str(tmp_path), *TINY])


def groups_of(*arguments: str) -> list[inference.Round]:
    return list(inference.rounds_of(inference.parser().parse_args(arguments)))


def test_without_options_it_is_the_networks_of_the_paper() -> None:
    found = {(group.size, group.batch, group.threads): group for group in groups_of()}
    assert list(found) == [(224, 1, 1), (224, 1, 2), (224, 32, 1), (32, 1, 1), (32, 32, 1)]
    dense = tuple(f"binary_densenet{layers}" for layers in (28, 37, 45))
    assert found[224, 1, 1].models == ("resnet_e18", *dense)
    assert found[32, 32, 1].models == ("resnet_e18", "binary_densenet28")


def test_what_is_left_out_without_options_can_be_asked_for() -> None:
    found = groups_of("--batch", "1", "32", "128", "--threads", "1", "2", "--sizes", "32")
    assert [(group.batch, group.threads) for group in found] == [
        *((1, 1), (1, 2), (32, 1), (32, 2)),
        *((128, 1), (128, 2)),
    ]


def test_who_is_only_named_has_rows_unless_peers_are_chosen() -> None:
    named = [UNMEASURED in groups_of(*given)[0].peers for given in ((), ("--peers", "all"), ("--peers", "torch"))]
    assert named == [True, True, False]


def test_quick_is_one_network_on_one_image() -> None:
    (group,) = groups_of("--quick")
    assert (group.models, group.size, group.batch, group.threads) == (("resnet_e18",), 224, 1, 1)
    assert not {"compiled", "compiled float"} & group.peers
