"""Compile the update where there is a C compiler; all else is in pyproject.toml.

Without one the installation goes on, and torch computes the update.
"""

from runpy import run_path

from setuptools import Extension, setup

build = run_path("agents/native/build.py")

setup(
    ext_modules=[
        Extension(
            f"clrl.agents.native._update_{kind}",
            ["agents/native/source/update.c"],
            depends=[str(path) for path in build["sources"]()],
            extra_compile_args=build["flags"](kind),
            optional=True,
        )
        for kind in build["INSTRUCTIONS"]
    ]
)
