"""The house rules that prose cannot keep: floors, purity, size, names, mirrored tests, facades."""

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "coordinator"
FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [*FILES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]

RULES, EDGES = "coordinator.rules", "coordinator.edges"
RUNTIME, ACTORS, ERRORS = "coordinator.runtime", "coordinator.actors", "coordinator.errors"

# What a floor may name beside the standard library and itself. A missing floor (demo, app, cli,
# config, log) may name anything below it.
MAY_IMPORT: dict[str, set[str]] = {
    "runtime": {"trio"},
    "rules": set(),
    "edges": {RULES, ERRORS, "httpx", "httpx2", "anthropic", "pydantic", "trio", "structlog"},
    "actors": {RUNTIME, RULES, EDGES, ERRORS, "trio", "structlog"},
    "web": {RUNTIME, RULES, EDGES, ACTORS, ERRORS, "trio", "structlog", "pydantic"}
    | {"quart", "quart_trio", "hypercorn", "h11", "werkzeug"},
}
# The composition root and what runs it: nothing below may name them.
TOP = {
    "coordinator.app",
    "coordinator.cli",
    "coordinator.config",
    "coordinator.log",
    "coordinator.parts",
    "coordinator.demo",
}

IMPURE_MODULES = set(
    "asyncio http logging os pathlib random secrets select shutil signal socket sqlite3 ssl "  # noqa: SIM905
    "subprocess tempfile threading time trio urllib.request uuid".split()
)
# Calls that read the clock, the disk or the machine without an import that gives them away.
IMPURE_CALLS = {"open", "input", "print", "exec", "eval", "__import__", "breakpoint"}
CLOCK_METHODS = {"now", "utcnow", "today", "fromtimestamp"}
CLOCK_OWNERS = {"datetime", "date", "dt"}

BANNED_WORDS = {"util", "utils", "helper", "helpers", "common", "base", "manager", "service", "handler"}

MAX_LINES = 400
MAX_FUNCTION_LINES = 50
LONG_FILES: set[str] = set()  # may only shrink
LONG_FUNCTIONS: set[str] = set()  # may only shrink


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """Full dotted names of what the file imports; relative imports resolved, names of a package
    joined to it (`from coordinator import rules` names coordinator.rules)."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = ("coordinator", *path.relative_to(PACKAGE).parts[:-1])
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            submodules = (
                {f"{module}.{alias.name}" for alias in node.names} if module == "coordinator" else ()
            )
            names |= submodules or {module}
    return names


def is_below(name: str, allowed: set[str]) -> bool:
    return any(name == ok or name.startswith(ok + ".") for ok in allowed)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(node, clean=False)
    return (node.end_lineno or 0) - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)


FLOOR_FILES = [path for path in FILES if floor(path) in MAY_IMPORT]
PURE_FILES = [path for path in FILES if floor(path) == "rules" or path.stem.endswith("_wire")]
PACKAGES = sorted(path.parent for path in FILES if path.name == "__init__.py")


@pytest.mark.parametrize("path", FLOOR_FILES, ids=label)
def test_imports_only_look_down(path: Path) -> None:
    """A floor names the standard library, itself, and what is listed for it."""
    allowed = MAY_IMPORT[floor(path)] | {f"coordinator.{floor(path)}"}
    for name in imports(path):
        known = is_below(name, allowed) or name.split(".")[0] in sys.stdlib_module_names
        assert known, f"{label(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_floor_is_entered_by_its_public_names(path: Path) -> None:
    """No file imports a private module of another floor; the runtime is used through its facade."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] != "coordinator" or len(parts) < 2 or parts[1] == floor(path):
            continue
        assert not any(is_private(part) for part in parts), f"{label(path)} imports {name}"
        assert not name.startswith(RUNTIME + "."), f"{label(path)} goes past the facade: {name}"


@pytest.mark.parametrize("path", [path for path in FILES if floor(path) != "demo"], ids=label)
def test_nobody_names_the_roof(path: Path) -> None:
    """app, cli, config, log and demo are named by each other only, so the floors can be used alone."""
    if floor(path) in MAY_IMPORT or path.stem == "errors":
        assert not {name for name in imports(path) if is_below(name, TOP)}


@pytest.mark.parametrize("path", PURE_FILES, ids=label)
def test_pure_files_stay_pure(path: Path) -> None:
    """Rules and wires import nothing that acts, await nothing, and read no clock and no file."""
    for name in imports(path):
        assert not is_below(name, IMPURE_MODULES), f"{label(path)} imports {name}"
    for node in ast.walk(tree(path)):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{label(path)}:{node}"
        if isinstance(node, ast.Call):
            assert not is_impure_call(node.func), (
                f"{label(path)}:{node.lineno} {ast.unparse(node.func)}()"
            )


def is_impure_call(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in IMPURE_CALLS
    if isinstance(function, ast.Attribute) and function.attr in CLOCK_METHODS - {"fromtimestamp"}:
        owner = function.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
        return name in CLOCK_OWNERS
    return False


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_a_file_fits_in_a_head(path: Path) -> None:
    """Source files have at most 400 lines; test files too, or a second noun is hiding."""
    if path.is_relative_to(PACKAGE):
        assert (
            len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES or label(path) in LONG_FILES
        )


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_function_does_one_step(path: Path) -> None:
    """No function is longer than 50 lines, its docstring not counted."""
    for node in functions(path):
        name = f"{label(path)}::{node.name}"
        assert length_without_docstring(node) <= MAX_FUNCTION_LINES or name in LONG_FUNCTIONS, name


@pytest.mark.parametrize(
    "path", [path for path in FLOOR_FILES if not path.name.startswith("__")], ids=label
)
def test_every_file_has_its_test_file(path: Path) -> None:
    """tests/<floor>/test_<file>.py exists for every file of a floor."""
    mirror = ROOT / "tests" / path.relative_to(PACKAGE).parent / f"test_{path.stem.strip('_')}.py"
    assert mirror.exists(), f"{label(path)} has no {label(mirror)}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_names_say_what_a_thing_is(path: Path) -> None:
    """No file and no class is called after a drawer: utils, helper, manager, service, handler …"""
    assert not set(path.stem.strip("_").split("_")) & BANNED_WORDS, label(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ClassDef):
            assert not node.name.lower().endswith(tuple(BANNED_WORDS - {"base", "common"})), node.name


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "__init__"], ids=label)
def test_every_module_lists_its_public_names(path: Path) -> None:
    """`__all__` is there, sorted, and holds exactly the public classes and functions of the file;
    it may add public constants and type aliases, which must exist."""
    module = tree(path)
    listed = listed_names(module)
    assert listed is not None, f"{label(path)} has no __all__"
    assert len(listed) == len(set(listed))
    defined = {
        node.name
        for node in module.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    }
    assert defined <= set(listed), f"{label(path)} hides {defined - set(listed)}"
    assert not [name for name in listed if name.startswith("_")]


def is_ours(module: str | None) -> bool:
    return (module or "").split(".")[0] == "coordinator"


def listed_names(module: ast.Module) -> list[str] | None:
    for node in module.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if (
            isinstance(target, ast.Name)
            and target.id == "__all__"
            and isinstance(node, ast.Assign | ast.AnnAssign)
        ):
            assert isinstance(node.value, ast.List)
            return [ast.literal_eval(item) for item in node.value.elts]
    return None


@pytest.mark.parametrize("folder", PACKAGES, ids=label)
def test_a_facade_is_complete(folder: Path) -> None:
    """What a package's `__init__` imports from its own files it also lists, and that exists."""
    module = tree(folder / "__init__.py")
    listed = set(listed_names(module) or ())
    imported = {
        alias.asname or alias.name
        for node in module.body
        if isinstance(node, ast.ImportFrom)
        and (node.level or (node.module or "").startswith("coordinator"))
        for alias in node.names
    }
    assert imported <= listed, f"{label(folder)} imports but does not list {imported - listed}"
    loaded = importlib.import_module(".".join(folder.relative_to(ROOT).parts))
    for name in listed:
        assert hasattr(loaded, name), f"{label(folder)} lists {name}, which is not there"


@pytest.mark.parametrize("path", [path for path in FILES if path.read_text().strip()], ids=label)
def test_every_file_says_why_it_exists(path: Path) -> None:
    """A module docstring, always."""
    assert ast.get_docstring(tree(path)), label(path)


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_every_test_states_its_behaviour(path: Path) -> None:
    """A test's docstring is the sentence it proves."""
    if not path.is_relative_to(PACKAGE):
        for node in functions(path):
            assert not node.name.startswith("test_") or ast.get_docstring(node), (
                f"{label(path)}::{node.name}"
            )


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_no_loose_ends(path: Path) -> None:
    """A note to oneself carries an issue number, or it is not there."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        open_end = any(word in line for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X"))
        assert not open_end or "#" in line.partition("TO" + "DO")[2], f"{label(path)}:{number}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_http_client_can_be_cancelled_silently(path: Path) -> None:
    """A client of httpx sends its bodies in one piece; see `edges/request_body.py`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "httpx.AsyncClient":
            hooks = next((each.value for each in node.keywords if each.arg == "event_hooks"), None)
            assert hooks is not None, f"{label(path)}:{node.lineno}"
            assert "send_in_one_piece" in ast.unparse(hooks), f"{label(path)}:{node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_broad_excepts_raise_again(path: Path) -> None:
    """A broad `except` swallows nothing, except in the runtime's one barrier, which is marked."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler) and is_broad(node.type):
            reraises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            assert reraises or floor(path) in {"runtime"} or is_marked(path, node.lineno), (
                f"{label(path)}:{node.lineno} swallows everything"
            )


def is_broad(kind: ast.expr | None) -> bool:
    return kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})


def is_marked(path: Path, line: int) -> bool:
    return "BLE001" in path.read_text(encoding="utf-8").splitlines()[line - 1]


# that the rules can fail ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "impure"),
    [
        ("open('x')", True),
        ("datetime.now(UTC)", True),
        ("datetime.datetime.now()", True),
        ("date.today()", True),
        ("datetime.fromtimestamp(0)", False),
        ("state.now()", False),
        ("opened()", False),
    ],
)
def test_the_purity_rule_sees_clocks_and_files(call: str, impure: bool) -> None:
    """The check that guards the rules tells a clock from a method of the same name."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert is_impure_call(node.func) is impure
