"""Mutated programs under sanitizers, in short; tests/fuzz runs them, and the tests of the kernels, for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "fuzz"


def missing() -> str | None:
    """Which runtime library of the sanitizers the compiler lacks."""
    for name in ("libasan.so", "libubsan.so"):
        try:
            command = [os.environ.get("CXX", "g++"), f"-print-file-name={name}"]
            found = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            return "the compiler"
        if not Path(found.stdout.strip()).is_absolute():
            return name
    return None


@pytest.mark.skipif(missing() is not None, reason=f"{missing()} is missing: nothing to build a sanitized program with")
def test_mutated_programs_are_refused_or_run_without_a_fault():
    command = [sys.executable, str(FUZZ / "fuzz_program.py"), "--executions", "4000", "--optimised", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4000 executions, ")
