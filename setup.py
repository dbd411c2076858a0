"""Compile the update where a C compiler for x86-64 is; all else is in pyproject.toml.

Without one the installation goes on, and torch computes the update.
"""

import platform
from runpy import run_path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

build = run_path("agents/native/build.py")
KINDS = build["INSTRUCTIONS"] if platform.machine().lower() in ("x86_64", "amd64") else {}


class BuildLibraries(build_ext):
    """Compiles libraries that Python does not import: nothing that lists modules finds them."""

    def get_ext_filename(self, fullname):
        """Return a library's path: `update.avx2.so` is no module's name."""
        return f"{fullname.replace('.', '/').replace('_update_', 'update.')}.so"

    def get_export_symbols(self, ext):
        """Return nothing: there is no module to start."""
        return []


setup(
    cmdclass={"build_ext": BuildLibraries},
    ext_modules=[
        Extension(
            f"clrl.agents.native._update_{kind}",
            ["agents/native/source/update.c"],
            depends=["agents/native/build.py", *map(str, build["sources"]())],
            extra_compile_args=build["flags"](kind),
            extra_link_args=list(build["LINK_FLAGS"]),
            optional=True,
        )
        for kind in KINDS
    ],
)
