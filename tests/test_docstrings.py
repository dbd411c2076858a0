"""How docstrings are written, where ruff does not look (functions are imperative: its D401)."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.test_structure import files

SECTIONS = ("Args:", "Attributes:", "Raises:", "Returns:", "Yields:")
NAMES = (
    "False", "None", "True", "Gymnasium", "Meta-World", "MuJoCo", "SciPy", "Stable-Baselines3",
)  # fmt: skip


def entries(docstring: str) -> Iterator[str]:
    """Yield what each entry says: after the names and the colon, or all of it below `Returns:`."""
    section, margin, first = "", 0, False
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if line.strip() in SECTIONS:
            section, margin, first = line.strip(), indent, True
        elif line.strip() and indent <= margin:
            section = ""
        elif section in ("Returns:", "Yields:") and first:
            first = False
            yield line.strip()
        elif section in ("Args:", "Attributes:", "Raises:") and indent == margin + 4:
            yield line.partition(": ")[2].strip()


def starts_well(entry: str) -> bool:
    """Return whether an entry begins with a lower-case letter, code, or a name."""
    word = re.match(r"[\w-]+", entry)
    if word is None:
        return entry != ""
    code = word[0].isupper() and word[0] != "A"
    return code or not entry[0].isupper() or word[0] in NAMES


def badly_written(source: str) -> list[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    return [entry for text in docstrings for entry in entries(text) if not starts_well(entry)]


@pytest.mark.parametrize("folder", ["envs", "agents", "clrl", "scripts"])
def test_entries_of_docstrings_start_with_a_lower_case_letter(folder: str) -> None:
    found = {path: badly_written(path.read_text(encoding="utf-8")) for path in files(folder)}
    assert found and {str(path): wrong for path, wrong in found.items() if wrong} == {}


EXAMPLE = '''
def f(a, b):
    """Add two numbers.

    Args:
        a: {}
           And more of it: All as one likes.
        b, c: `B`, in metres.

    Returns:
        {}
        The second line is free, too.

    Raises:
        ValueError: {}

    Note: No section of ours.
    """
'''


@pytest.mark.parametrize("entry", ["the number.", "[S, B].", '"all" or {}', "3 of them", "SAC's"])
def test_an_entry_may_start_with_a_small_letter_or_code(entry: str) -> None:
    assert badly_written(EXAMPLE.format(entry, entry, entry)) == []


@pytest.mark.parametrize("entry", ["The number.", "A number."])
@pytest.mark.parametrize("section", range(3))
def test_an_entry_that_starts_with_a_capital_is_found(section: int, entry: str) -> None:
    texts = ["the number."] * 3
    texts[section] = entry
    assert badly_written(EXAMPLE.format(*texts)) == [entry]
