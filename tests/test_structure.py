"""How the folders depend on each other, and what the package never does."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ImportError:  # Python 3.10
    from setuptools._vendor import tomli as tomllib  # type: ignore[no-redef]

ROOT = Path(__file__).parents[1]
FOLDERS = ("clrl", "envs", "agents")


def files(folder: str) -> list[Path]:
    """Return a folder's Python files, without what lies behind its links."""
    links = [path for path in (ROOT / folder).iterdir() if path.is_symlink()]
    return [
        path
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not any(link in path.parents for link in links)
    ]


def imports(path: Path) -> list[tuple[int, str]]:
    """Return the modules that a file imports, each with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            module = node.module or ""
            found += [(node.lineno, f"{module}.{alias.name}") for alias in node.names]
    return found


@pytest.mark.parametrize("folder", ["envs", "agents"])
def test_a_folder_imports_nothing_of_ours_but_itself(folder: str) -> None:
    assert len(files(folder)) > 3
    wrong = [
        f"{path}:{line} imports {name}"
        for path in files(folder)
        for line, name in imports(path)
        if name.split(".")[0] in FOLDERS and not f"{name}.".startswith(f"clrl.{folder}.")
    ]
    assert wrong == []


ROOMS = {
    "config": set(),
    "machine": {"config"},
    "results": {"config", "reference"},
    "run": {"config", "machine", "results"},
    "show": {"config", "results"},
    "commands": {"config", "machine", "results", "run", "show"},
}
"""The rooms of clrl/, and which others each may import."""


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_below_it(room: str) -> None:
    paths = sorted((ROOT / "clrl" / room).glob("*.py"))
    assert len(paths) > 3
    wrong = [
        f"{path}:{line} imports {name}"
        for path in paths
        for line, name in imports(path)
        if name.startswith("clrl.")
        and name.split(".")[1] not in ROOMS[room] | {room, "envs", "agents", "errors"}
    ]
    assert wrong == []


def rooms() -> list[Path]:
    """Return the folders of the package, without what lies behind its links."""
    return sorted({path.parent for folder in FOLDERS for path in files(folder)})


def test_every_room_of_the_package_is_known() -> None:
    found = {path.name for path in rooms() if path.parent == ROOT / "clrl"}
    assert found == {*ROOMS, "reference"}


@pytest.mark.parametrize("room", rooms(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_holds_a_dozen_files_at_most(room: Path) -> None:
    most = 12 if room != ROOT / "agents" / "methods" else 100
    assert len(list(room.glob("*.py"))) <= most


def test_the_map_of_the_readme_is_that_of_the_folders() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w*)\n(.*?)```", readme, re.DOTALL)
    (drawn,) = [text for language, text in blocks if not language]
    named: set[str] = set()
    above: list[str] = []
    for line in drawn.splitlines():
        name = line.split("/")[0]
        above = [*above[: (len(name) - len(name.lstrip())) // 2], name.strip()]
        named.add("/".join(above))
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    found = {str(path.relative_to(ROOT)) for path in rooms()}
    found |= {str(Path(name).parent) for name in listed if name.startswith("scripts/")}
    found |= {name.split("/")[0] for name in listed if "/" in name and name[0] != "."}
    assert named == found


@pytest.mark.parametrize("folder", FOLDERS)
def test_our_packages_are_imported_by_their_full_names(folder: str) -> None:
    names = [(path, name) for path in files(folder) for _, name in imports(path)]
    assert [(p, n) for p, n in names if n.split(".")[0] in ("envs", "agents", "tests")] == []


def test_the_package_list_is_that_of_the_folders() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = settings["tool"]["setuptools"]["packages"]
    found = set()
    for folder in FOLDERS:
        for path in files(folder):
            if path.name == "__init__.py":
                parts = path.parent.relative_to(ROOT).parts
                found.add(".".join(parts if folder == "clrl" else ("clrl", *parts)))
    assert sorted(listed) == sorted(found)
    assert settings["tool"]["setuptools"]["package-dir"] == {
        "clrl": "clrl",
        "clrl.envs": "envs",
        "clrl.agents": "agents",
    }


@pytest.mark.parametrize("name", ["envs", "agents"])
def test_the_links_in_clrl_are_never_real_folders(name: str) -> None:
    link = ROOT / "clrl" / name
    if link.is_symlink():
        assert link.resolve() == (ROOT / name).resolve()
    else:  # git without links writes a text file with the target
        assert link.is_file() and link.read_text(encoding="utf-8") == f"../{name}"


FORBIDDEN = {
    "pickle.load runs code": r"\b(?:pickle|cPickle|dill|joblib)\.loads?\(|\bUnpickler\(",
    "cloudpickle runs code": r"\bcloudpickle\b",
    "allow_pickle=True runs code": r"allow_pickle\s*=\s*True",
    "yaml.load runs code": r"\byaml\.(?:load|unsafe_load|full_load)\(",
    "numpy's global generator": (
        r"\b(?:np|numpy)\.random\.(?:seed|rand|randn|randint|random|uniform|normal|choice|shuffle"
        r"|permutation|standard_normal|random_sample)\("
    ),
    "torch's global generator": (
        r"\btorch\.(?:manual_seed|seed)\(|\btorch\.(?:rand|randn|randint|randperm)\((?!.*generator=)"
    ),
    "Python's global generator": (
        r"^\s*(?:import random\b|from random import)|(?<![.\w])random\.seed\("
    ),
}


def matches(pattern: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number} {line.strip()}"
        for folder in FOLDERS
        for path in files(folder)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line)
    ]


@pytest.mark.parametrize("reason", FORBIDDEN)
def test_the_package_never_uses(reason: str) -> None:
    assert matches(FORBIDDEN[reason]) == []


@pytest.mark.parametrize(
    "line",
    [
        "x = pickle.load(f)",
        "np.load(p, allow_pickle = True)",
        "yaml.load(f)",
        "np.random.seed(0)",
        "x = np.random.uniform(0, 1)",
        "torch.manual_seed(0)",
        "x = torch.randn(3)",
        "import random",
    ],
)
def test_what_is_forbidden_would_be_found(line: str) -> None:
    assert any(re.search(pattern, line) for pattern in FORBIDDEN.values())


def test_torch_loads_weights_only() -> None:
    calls = []
    for folder in FOLDERS:
        for path in files(folder):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                    keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
                    calls.append((str(path), keywords.get("weights_only")))
    assert calls and [path for path, value in calls if value != "True"] == []


def test_importing_clrl_loads_neither_torch_nor_metaworld() -> None:
    code = (
        "import sys, clrl; "
        "print(sorted({'torch', 'metaworld', 'mujoco', 'stable_baselines3'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


def test_every_module_has_a_test_file_of_its_name() -> None:
    modules = [path for folder in FOLDERS for path in files(folder) if path.name[:2] != "__"]
    assert len(modules) > 90
    places = [path.relative_to(ROOT) for path in modules]
    lacking = [p for p in places if not (ROOT / "tests" / p.parent / f"test_{p.name}").exists()]
    assert lacking == []


ACROSS = {
    "agents": {"cuda", "growth", "reveals", "sample", "seed_axis"},
    "agents/native": {"bits", "changes", "left_to_torch", "products"},
    "agents/methods": {"methods", "returning", "returning_state"},
    "agents/ppo": {"ppo_sb3"},
    "agents/sac": {"engine_batches", "engine_refusals", "sac_losses"},
    "clrl": {
        "bad_input", "interleaved", "killed_command", "public_names", "resume", "reveals",
        "safe_loading", "strange_worlds", "updates",
    },
    "envs": {"registration"},
    "envs/metaworld": {"experts"},
}  # fmt: skip
"""Tests of a promise that crosses modules, by their room."""


def test_other_test_files_are_about_what_crosses_modules() -> None:
    found: dict[str, set[str]] = {room: set() for room in ACROSS}
    for path in (ROOT / "tests").rglob("test_*.py"):
        place = path.relative_to(ROOT / "tests")
        if len(place.parts) > 1 and not (ROOT / place.parent / place.name[5:]).exists():
            found.setdefault(str(place.parent), set()).add(place.stem[5:])
    assert found == ACROSS
