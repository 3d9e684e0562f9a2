"""The command that lists runs and shows one, whatever became of them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from factories import make_record, put_done, put_status
from run_folders import Call, caller, epochs, ids_of_list, put_running, put_store

from bnn_ablate.lease import Heartbeat, boot
from bnn_ablate.runs.__main__ import main
from bnn_ablate.runs.plot import braille
from bnn_ablate.store import Store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store with a run of each kind, which no test changes."""
    root = tmp_path_factory.mktemp("listed")
    return root, put_store(root)


@pytest.fixture
def ids(store: tuple[Path, dict[str, str]]) -> dict[str, str]:
    return store[1]


@pytest.fixture
def call(store: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> Call:
    """The command on that store."""
    return caller(store[0], capsys)


@pytest.fixture
def call_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """The command on a store of the test's own."""
    return caller(tmp_path, capsys)


def lines_of(output: str, ids: dict[str, str]) -> dict[str, list[str]]:
    """The cells of each run's line, by the word for the run."""
    found = {}
    for word, run_id in ids.items():
        line = next(line for line in output.splitlines() if line.startswith(f"{run_id}  "))
        found[word] = line.replace(" (gone)", "(gone)").split()
    return found


def test_every_run_has_a_line_with_what_differs_and_how_far_it_came(ids: dict[str, str], call: Call) -> None:
    status, out, err = call()
    assert out.splitlines()[0].split()[:6] == ["run", "state", "recipe", "scaling", "grad", "seed"]
    lines = lines_of(out, ids)
    #                         state   recipe scaling grad  seed top-1   packed   done     time
    assert lines["done"][1:10] == ["done", "quick", "none", "ste", "0", "90.00", "80.00", "1/10", "60"]
    assert lines["failed"][1:9] == ["failed", "quick", "channel", "ste", "1", "—", "—", "0/10"]
    assert lines["diverged"][1:5] == ["diverged", "quick", "none", "ede"]
    assert lines["stopped"][1:10] == ["stopped", "quick", "none", "ste", "2", "—", "—", "2/10", "20"]
    assert lines["broken"][1] == "broken"
    assert lines["begun"][1:9] == ["begun(gone)", "short", "learned", "—", "7", "—", "—", "0/5"]
    assert (lines["done"][-1], lines["stopped"][-1]) == ("pair", "—")
    assert f"{ids['failed']} failed: OSError: no" in out
    assert "more lines" not in out
    assert "6 runs: 1 done, 1 broken, 1 diverged, 1 failed, 1 stopped, 1 begun" in out
    # what cannot be read is told in its place, and no success
    assert (status, err) == (1, "")
    assert f"{ids['broken']} broken: {ids['broken']}/record.json: Invalid JSON" in out


def test_runs_are_listed_by_the_time_of_their_last_change(tmp_path: Path, call_here: Call) -> None:
    times = {3: "2026-03-01T00:00:00+00:00", 1: "2026-01-01T00:00:00+00:00", 2: "2026-02-01T02:00:00+03:00"}
    for seed, when in times.items():
        record = make_record(seed=seed)
        put_done(tmp_path, replace(record, provenance=replace(record.provenance, finished=when)))
    assert [one["seed"] for one in json.loads(call_here("list", "--json")[1])] == [1, 2, 3]


def test_json_has_every_run_and_nothing_else(ids: dict[str, str], call: Call) -> None:
    status, out, err = call("--json")
    listed = {one["run_id"]: one for one in json.loads(out)}
    assert set(listed) == set(ids.values())
    assert (status, err.count("\n")) == (1, 1)
    assert ids["broken"] in err
    done = listed[ids["done"]]
    assert (done["top1"], done["packed_top1"], done["epochs_done"], done["train_seconds"]) == (0.9, 0.8, 1, 60.0)
    assert (done["studies"], done["config"]["grad"]) == (["pair"], {"name": "ste", "clip": 1.0})
    stopped = listed[ids["stopped"]]
    assert (stopped["top1"], stopped["epochs_done"], stopped["epochs"], stopped["train_seconds"]) == (None, 2, 10, 20.0)
    assert listed[ids["failed"]]["error"] == "OSError: no\nmore lines"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("state=failed", "failed"),
        ("state=failed,diverged", "failed diverged"),
        ("state=running", ""),
        ("seed=0", "done diverged"),
        ("seed=0,7", "done diverged begun"),
        ("scaling=channel,learned", "failed begun"),
        ("grad.clip=1.30", "diverged"),
        ("recipe/optimizer=adam grad=ede", "diverged"),
        ("recipe.optimizer.lr=1e-2 seed=2", "stopped"),
        ("model.blocks_per_stage=[2,2,2,2] state=failed", "failed"),
        ("study=pair", "done failed"),
        ("study=other-runs state=stopped,begun", "stopped begun"),
        ("study=pair,other-runs seed=0", "done diverged"),
    ],
)
def test_filters_choose_the_runs_that_pass_all_of_them(words: str, found: str, ids: dict[str, str], call: Call) -> None:
    _, out, _ = call("list", "--json", *words.split())
    assert set(ids_of_list(out)) == {ids[word] for word in found.split()}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("scaling=chanel", "scaling=chanel: no run has it, they have channel, learned, none"),
        ("seed=9", "seed=9: no run has it, they have 0, 1, 2, 3, 7"),
        ("study=par", "study=par: no run has it, they have other-runs, pair"),
        ("state=fail", "there is no such state, the states are begun, broken, diverged, done, failed, running, "),
        ("colour=red", "is no setting of any run in"),
        ("colour=red", "scaling, seed, state, study, weights"),
        ("grad.clp=1", "choose one of grad, grad.clip"),
        ("grad=", "grad= is no filter: give axis=option"),
        ("grad=ste grad=ede", "grad= can be given once"),
        ("fff", "fff is no id of a run and no filter"),
        ("0000", "0000 is no run in"),
        ("abcd seed=0", "abcd names a run and seed= filters runs"),
        ("--jsn", "unrecognized arguments: --jsn"),
        ("show", "show needs the id of one run"),
        ("show state=failed", "show needs the id of one run"),
        ("show abcd abce", "show needs the id of one run"),
        ("export", "export needs the file to write"),
        ("remove", "remove needs the ids of runs, or filters"),
    ],
)
def test_a_wrong_word_is_refused_in_one_sentence(words: str, sentence: str, ids: dict[str, str], call: Call) -> None:
    status, out, err = call(*words.split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_an_id_that_several_runs_begin_with_names_them(tmp_path: Path, call_here: Call) -> None:
    for end in ("0", "1"):
        (tmp_path / f"abcdef01234{end}").mkdir()
    status, _, err = call_here("show", "abcde")
    assert status == 2
    assert "abcde is the beginning of 2 ids: abcdef012340, abcdef012341" in err
    assert call_here("show", "abcdef012341")[0] == 0


def test_no_folder_and_an_empty_one_are_told_apart(
    tmp_path: Path, call_here: Call, capsys: pytest.CaptureFixture
) -> None:
    assert call_here("list")[:2] == (0, f"there are no runs in {tmp_path}\n")
    assert call_here("list", "grad=ste", "--json")[:2] == (0, "[]\n")
    assert main([f"runs={tmp_path / 'none'}"]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_planned_runs_that_left_nothing_are_counted_for_a_study(ids: dict[str, str], call: Call) -> None:
    assert "study pair: 1 of 3 planned runs left nothing yet" in call("study=pair")[1]


def test_a_narrow_terminal_gets_fewer_columns_and_is_told_which(
    ids: dict[str, str], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    _, out, _ = call()
    assert max(map(len, out.splitlines())) <= 100
    assert "not shown, for want of width: grad (a wider terminal or --json has them)" in out
    assert "recipe" in out.splitlines()[0]
    monkeypatch.setenv("COLUMNS", "40")
    assert max(map(len, call()[1].splitlines())) <= 40


def test_a_run_that_is_worked_on_is_told_from_one_whose_process_is_gone(tmp_path: Path, call_here: Call) -> None:
    alive, dead = put_running(tmp_path, make_record(seed=0)), put_running(tmp_path, make_record(seed=1))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    beat = Heartbeat(host=os.uname().nodename, boot=boot(), pid=ended.pid, job_id=None, token="t")
    path = tmp_path / dead.run_id / "heartbeat.json"
    path.write_text(json.dumps({name: getattr(beat, name) for name in ("host", "boot", "pid", "job_id", "token")}))
    with Store(tmp_path).run(alive.run_id).lock():
        _, out, _ = call_here()
        lines = lines_of(out, {"alive": alive.run_id, "dead": dead.run_id})
        assert (lines["alive"][1], lines["dead"][1]) == ("running", "running(gone)")
        assert f"by process {os.getpid()} on" in call_here("show", alive.run_id)[1]
        listed = {one["run_id"]: one["worked_on_by"] for one in json.loads(call_here("--json")[1])}
    assert listed[dead.run_id] is None
    assert listed[alive.run_id].startswith(f"process {os.getpid()} on ")


def test_a_heartbeat_of_another_host_counts_until_it_is_stale(tmp_path: Path, call_here: Call) -> None:
    record = put_running(tmp_path, make_record())
    path = tmp_path / record.run_id / "heartbeat.json"
    path.write_text('{"host": "elsewhere", "boot": "b", "pid": 1, "job_id": "12", "token": "t"}')
    assert json.loads(call_here("--json")[1])[0]["worked_on_by"] == "process 1 on elsewhere"
    os.utime(path, (path.stat().st_mtime - 121, path.stat().st_mtime - 121))
    assert json.loads(call_here("--json")[1])[0]["worked_on_by"] is None


def test_show_tells_all_of_a_done_run(tmp_path: Path, call_here: Call) -> None:
    ids = put_store(tmp_path)
    folder = tmp_path / ids["done"]
    (folder / "config.yaml").write_text("grad: {name: ste, clip: 1.0}\ntrainer: {name: cpu, threads: 2}\n")
    (folder / "evaluations").mkdir()
    (folder / "evaluations" / "one.json").write_bytes(b"x" * 2048)
    (tmp_path / "wandb" / f"offline-run-20260101_000000-{ids['done']}").mkdir(parents=True)
    _, out, _ = call_here("show", ids["done"][:6])
    assert out.startswith(f"run {ids['done']}: done\n")
    for text in (
        "top-1       90.00 % of 10 images (top-5 100.00 %, last five epochs 90.00 %)",
        "packed      80.00 %, 0 predictions other than the float network's",
        "latency     2.00 ms an image (kernel avx512, 1 thread, some CPU)",
        "size        0.500 MiB, 1.50 M MACs",  # 4 * 2**20 bits; 1,000,000 + 32,000,000 / 64
        "study       pair",
        "evaluations/ 2.00 KiB",
        f"W&B         {ids['done']} ({tmp_path}/wandb/offline-run",
        "  grad: {name: ste, clip: 1.0}",
        "  trainer: {name: cpu, threads: 2}",
    ):
        assert text in out


def test_show_has_state_traceback_and_the_last_lines_of_output(tmp_path: Path, call_here: Call) -> None:
    record = put_status(tmp_path, make_record(), "failed", "OSError: disk\x1b[31m")
    folder = Store(tmp_path).run(record.run_id)
    status = folder.status()
    assert status is not None
    folder.write_status(replace(status, traceback='Traceback:\n  File "x.py"\nOSError: disk\n', host="node7", pid=42))
    (folder.path / "output.log").write_text("".join(f"line {number}\n" for number in range(5000)))
    _, out, _ = call_here("show", record.run_id)
    assert "\x1b" not in out
    for text in (
        "error       OSError: disk",
        "process 42 on node7",
        '    File "x.py"\n  OSError: disk',
        "epochs      0 of 10",
    ):
        assert text in out
    said = out.partition("output.log")[2].split("\n")[-21:-1]
    assert said == [f"  line {number}" for number in range(4980, 5000)]
    shown = json.loads(call_here("show", record.run_id, "--json")[1])
    assert shown["status"]["traceback"].startswith("Traceback:")
    assert shown["output"][-1] == "line 4999"


def test_show_of_runs_that_left_little_says_what_is_missing(ids: dict[str, str], call: Call) -> None:
    assert "record.json" in call("show", ids["broken"])[1].splitlines()[1]
    assert "scaling: {name: learned}" in call("show", ids["begun"])[1]
    out = call("show", ids["diverged"])[1]
    assert "grad: {name: ede, clip: 1.3}" in out  # no config.yaml: as the status has it
    assert all(json.loads(call("show", run_id, "--json")[1])["run_id"] == run_id for run_id in ids.values())


def test_show_draws_the_curve_and_has_numbers_of_a_few_epochs(tmp_path: Path, call_here: Call) -> None:
    record = make_record(correct=9)
    put_done(tmp_path, replace(record, curve=epochs(9)))
    _, out, _ = call_here("show", record.run_id)
    lines = out.splitlines()
    head = next(number for number, line in enumerate(lines) if line.split()[:2] == ["epoch", "lr"])
    # from the first to the last of nine, about evenly
    rows = [line.split() for line in lines[head + 1 : head + 7]]
    assert [row[0] for row in rows] == ["1", "3", "4", "6", "7", "9"]
    assert rows[0][2:7] == ["2.0000", "5.00", "3.0000", "10.00", "10"]
    plot = lines[head - 12 : head]
    assert plot[0].split() == ["train", "top-1", "%", "test", "top-1", "%"]
    # train and test share a scale: 5 % is the lowest of both, 90 % the highest
    assert (plot[1].split()[0], plot[5].split()[0]) == ("90", "5")
    assert set(plot[5].split()[1]) == {"⣀"}  # the flat one at the bottom
    assert max(map(len, plot)) <= 118


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        # Columns at rows 7, 5, 2, 0 of 8 from the top, joined: row 7; rows 6, 5; rows 4, 3, 2; rows 1, 0.
        ([0.0, 1.0], ["⠀⡜", "⡰⠁"]),
        ([1.0, 1.0], ["⠉⠉", "⠀⠀"]),
        ([0.0], ["⠀⠀", "⡀⠀"]),
        ([9.0, 9.0], ["⠉⠉", "⠀⠀"]),
        ([], ["⠀⠀", "⠀⠀"]),
    ],
)
def test_braille_dots_follow_the_values(values: list[float], drawn: list[str]) -> None:
    assert braille(values, 2, 2, 0.0, 1.0) == drawn


def test_nothing_that_only_looks_at_runs_imports_torch(tmp_path: Path) -> None:
    ids = put_store(tmp_path / "runs")
    commands = [[], ["show", ids["done"]], ["export", "out.csv"], ["remove", "state=failed", "--yes"], ["--help"]]
    code = (
        "import sys\nfrom bnn_ablate.runs.__main__ import main\n"
        f"for words in {commands}: main(words)\n"
        "assert not {'torch', 'pytorch_lightning', 'hydra', 'wandb', 'pandas', 'pyarrow'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 1 + len(ids)


def test_a_reader_that_leaves_early_sees_no_traceback(tmp_path: Path) -> None:
    put_store(tmp_path / "runs")
    command = f"set -o pipefail; {sys.executable} -m bnn_ablate.runs --json 2>err | true"
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=False)
    assert "Traceback" not in (tmp_path / "err").read_text()


def test_a_failed_run_of_before_says_its_error_in_the_list_without_colours(tmp_path: Path, call_here: Call) -> None:
    put_status(tmp_path, make_record(), "failed", "a \x1b[31m b")
    assert "\x1b" not in call_here()[1]
