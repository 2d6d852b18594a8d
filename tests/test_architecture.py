"""The folders say what may import what, and no module breaks that order."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fastapi_sse_channels

PACKAGE = Path(fastapi_sse_channels.__file__).parent
NAME = PACKAGE.name
MODULES = {
    ".".join((NAME, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# each folder may import itself and these; `""` are the modules at the root
FLOORS = ("testing", "client", "_http", "", "_live", "_servers", "brokers", "_core")
BASEMENT = {f"{NAME}._errors", f"{NAME}._checks"}
PURE_LIBRARIES = {"pydantic", "pydantic_core", "typing_extensions"}
IO = {"asyncio", "socket", "ssl", "threading", "selectors", "subprocess", "signal"}


def imported_by(name: str) -> set[str]:
    """Everything that a module imports, even for types alone, by its full name."""
    found: set[str] = set()
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        match node:
            case ast.Import(names):
                found |= {alias.name for alias in names}
            case ast.ImportFrom(module, names, level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                origin = ".".join([*above, *([module] if module else [])])
                found |= {
                    full if (full := f"{origin}.{alias.name}") in MODULES else origin
                    for alias in names
                }
    return found


def floor_of(name: str) -> str:
    folder = name.removeprefix(NAME).lstrip(".").partition(".")[0]
    return folder if folder in FLOORS else ""


def test_no_module_imports_itself_through_others_not_even_for_types():
    graph = {name: (imported_by(name) & MODULES.keys()) - {name} for name in MODULES}

    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("name", sorted(MODULES.keys() - {NAME}))
def test_module_imports_nothing_from_above(name):
    allowed = {"_core"} if name in BASEMENT else set(FLOORS[FLOORS.index(floor_of(name)) :])

    ours = (imported_by(name) & MODULES.keys()) - BASEMENT
    assert {floor_of(other) for other in ours} <= allowed, ours


@pytest.mark.parametrize(
    "name", sorted(BASEMENT | {name for name in MODULES if floor_of(name) == "_core"})
)
def test_core_is_pure(name):
    others = {other.partition(".")[0] for other in imported_by(name)}

    assert others <= {
        NAME,
        "pydantic",
        "pydantic_core",
        "typing_extensions",
        *sys.stdlib_module_names,
    }
    assert not others & IO


@pytest.mark.parametrize(
    "name",
    sorted(name for name in MODULES if floor_of(name) in {"_live", "_servers", "brokers", "_core"}),
)
def test_only_the_http_side_imports_frameworks(name):
    others = {other.partition(".")[0] for other in imported_by(name)}

    assert not others & {"fastapi", "sse_starlette"}
