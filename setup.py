"""Builds the kernels of the packed engine as a plain shared library; everything else stands in pyproject.toml."""

import runpy
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = runpy.run_path(str(Path(__file__).parent / "bnn_ablate" / "packed" / "sources.py"))


class BuildKernels(build_ext):
    """A library with a C interface, loaded by ctypes: it needs no Python headers and fits every version of Python."""

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split(".")).with_name(SOURCES["LIBRARY"]))

    def build_extension(self, ext: Extension) -> None:
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            SOURCES["build"](target)
        except SOURCES["CompilerError"] as error:
            raise SystemExit(f"error: {error}") from None


kernels = [str(path) for path in sorted(Path("bnn_ablate/packed/kernels").iterdir())]
setup(ext_modules=[Extension("bnn_ablate.packed._kernels", kernels)], cmdclass={"build_ext": BuildKernels})
