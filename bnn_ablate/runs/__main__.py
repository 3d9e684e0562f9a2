"""``python -m bnn_ablate.runs``: list, show, retry, remove, export and copy runs."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Container, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from bnn_ablate.console import say
from bnn_ablate.report.numbers import counted, one_line
from bnn_ablate.runs.detail import show_json, show_text
from bnn_ablate.runs.entries import Listing, RunsError, read_listing
from bnn_ablate.runs.export import check_target, write_table
from bnn_ablate.runs.removal import remove
from bnn_ablate.runs.rows import epoch_columns, run_columns
from bnn_ablate.runs.table import entry_json, list_text
from bnn_ablate.runs.words import Words, chosen, entry_named, read_words

HELP = """\
python -m bnn_ablate.runs [list] [WORDS] [--json]       a line a run, with what differs among them
python -m bnn_ablate.runs show ID [runs=DIR] [--json]   configuration, state, traceback, curve, last lines of output
python -m bnn_ablate.runs retry [WORDS] [--yes]         failed runs again; diverged ones only by state=diverged
python -m bnn_ablate.runs remove WORDS [--yes]          after a question; what is worked on stays
python -m bnn_ablate.runs export FILE [WORDS] [--curve] FILE.csv or FILE.parquet, a row a run (--curve: an epoch)
python -m bnn_ablate.runs copy DIR [WORDS]              records into another store: what a report reads, no checkpoints

WORDS choose runs: ids, of which four digits or more are enough, or filters that a run must pass all of:

  state=failed,stopped   begun, running, stopped, trained, failed, diverged, broken, done
  study=NAME             runs of a sweep; other-runs for those of none
  seed=0,1  grad=ste  grad.clip=1.3  model.width=0.25  recipe/optimizer=sgd   any setting that decides results
  runs=DIR               the folder of runs (default: runs)

retry goes on from the checkpoint of a failed run, and trains a diverged one from its start, with what it left put
aside. It takes runs of other states where state= names them. remove by filters keeps runs with a result unless state=
names theirs (state=done), and asks for their number. export replaces a file only if it is an earlier export. copy
takes records, failures, diagnostics, evaluations, addresses in W&B and the studies' files; a different result in DIR
stops it beforehand.

--json writes accuracies as fractions, as records have them, and nothing else to standard output. Exit status: 0;
1 where something could not be read or done; 2 if the command is wrong; 130 after Ctrl-C.
"""


class Parser(argparse.ArgumentParser):
    """Wrong words are told in one sentence, as everything else that is wrong."""

    def error(self, message: str) -> NoReturn:
        raise RunsError(f"{message} (--help says more)")


def main(arguments: Sequence[str]) -> int:
    """Do what is asked and return the exit status."""
    if any(text in ("-h", "--help") for text in arguments):
        print(HELP, end="")
        return 0
    named = bool(arguments) and arguments[0] in COMMANDS
    command, others = (arguments[0], arguments[1:]) if named else ("list", arguments)
    try:
        return COMMANDS[command](list(others))
    except RunsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _list(arguments: list[str]) -> int:
    given = _parsed(arguments, "--json")
    words, listing = _read(given.words)
    entries = chosen(words, listing)
    told: set[str | None] = set()
    if given.json:
        _print_json([entry_json(entry) for entry in entries])
    else:
        told = {entry.run.error for entry in entries}
        studies = next((values for key, values in words.filters if key == "study"), ())
        say(list_text(entries, listing, studies, datetime.now(UTC), _width()))
    return _problems(listing, told)


def _show(arguments: list[str]) -> int:
    given = _parsed(arguments, "--json")
    words = read_words(given.words)
    if len(words.ids) != 1:
        raise RunsError("show needs the id of one run")
    entry = entry_named(words.ids[0], read_listing(words.root))
    if given.json:
        _print_json(show_json(entry))
    else:
        say(show_text(entry, datetime.now(UTC), _width()))
    return 0


def _retry(arguments: list[str]) -> int:
    from bnn_ablate.runs.again import retry
    from bnn_ablate.settings import SettingsError

    given = _parsed(arguments, "--yes")
    words, listing = _read(given.words)
    try:
        return retry(words, listing, yes=given.yes)
    except SettingsError as error:
        raise RunsError(str(error)) from None
    except KeyboardInterrupt:
        print("stopped; go on with: retry state=failed,stopped", file=sys.stderr)
        return 130


def _remove(arguments: list[str]) -> int:
    given = _parsed(arguments, "--yes")
    words, listing = _read(given.words)
    return remove(words, listing, yes=given.yes)


def _export(arguments: list[str]) -> int:
    given = _parsed(arguments, "--curve")
    if not given.words or "=" in given.words[0]:
        raise RunsError("export needs the file to write as its first word: FILE.csv or FILE.parquet")
    path = Path(given.words[0])
    check_target(path)
    words, listing = _read(given.words[1:])
    columns = (epoch_columns if given.curve else run_columns)(chosen(words, listing))
    write_table(path, columns)
    rows = len(columns[0].values)
    say(f"{path}: {counted(rows, 'row')} of {len(columns)} columns, {counted(path.stat().st_size, 'byte')}")
    return _problems(listing)


def _copy(arguments: list[str]) -> int:
    from bnn_ablate.runs.copying import copy

    parser = Parser(prog="python -m bnn_ablate.runs", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    given = parser.parse_args(arguments).words
    if not given or "=" in given[0]:
        raise RunsError("copy needs the folder of another store as its first word")
    words, listing = _read(given[1:])
    status = copy(words, listing, Path(given[0]))
    return max(status, _problems(listing))


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "list": _list,
    "show": _show,
    "retry": _retry,
    "remove": _remove,
    "export": _export,
    "copy": _copy,
}


def _parsed(arguments: list[str], option: str) -> argparse.Namespace:
    """Words and the command's option, in any order."""
    parser = Parser(prog="python -m bnn_ablate.runs", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument(option, action="store_true")
    return parser.parse_intermixed_args(arguments)


def _read(texts: Sequence[str]) -> tuple[Words, Listing]:
    words = read_words(texts)
    return words, read_listing(words.root)


def _problems(listing: Listing, told: Container[str | None] = ()) -> int:
    """Tell what could not be read on standard error, so that standard output stays what was asked for."""
    for problem in listing.problems:
        if problem not in told:
            print(one_line(problem), file=sys.stderr)
    return 1 if listing.problems else 0


def _print_json(value: Any) -> None:
    say(json.dumps(value, indent=1, allow_nan=False))


def _width() -> int:
    """Characters a line may have: the terminal's; as many as it takes where it is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000


def run_program() -> NoReturn:
    """Leave quietly where the reader of our output has left, as ``head`` does."""
    try:
        sys.exit(main(sys.argv[1:]))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    run_program()
