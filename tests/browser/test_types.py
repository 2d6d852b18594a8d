"""From the pydantic union to the browser: two generators, and tsc over what they write."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest

TYPES = Path(__file__).parent / "types"
APPLICATIONS = {"discussion": "example_app.main:app", "prefixes": "prefixes:app"}


@pytest.fixture(scope="module")
def project(
    client_dist, npm_install, run, serve_shared, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A TypeScript project with the types of real servers' documents."""
    modules = npm_install(TYPES)
    folder = tmp_path_factory.mktemp("types")
    (folder / "node_modules").symlink_to(modules)
    for source in [*TYPES.glob("*.ts"), TYPES / "tsconfig.json"]:
        shutil.copy(source, folder)
    environment = {"DATABASE_URL": f"sqlite+aiosqlite:///{folder}/example.db"}
    binaries = modules / ".bin"
    for name, app in APPLICATIONS.items():
        document = f"{serve_shared(app, env=environment).url}/openapi.json"
        run(binaries / "openapi-typescript", document, "-o", f"{name}.openapi.ts", cwd=folder)
        run(binaries / "openapi-ts", "-i", document, "-o", f"{name}.hey-api", cwd=folder)
    return folder


def test_right_use_compiles_and_every_expected_error_is_one(project, run):
    assert run(project / "node_modules/.bin/tsc", cwd=project).stdout == ""


@dataclass(frozen=True)
class Wrong:
    """A line that must not compile, below the comment that says with which error, and why."""

    application: str
    number: int
    code: str
    reason: str


WRONG = [
    Wrong(application, number, *comment.groups())
    for application in APPLICATIONS
    for number, line in enumerate((TYPES / f"{application}.ts").read_text().splitlines(), start=2)
    if (comment := re.search(r"@ts-expect-error (TS\d+) (.+)", line))
]


@pytest.fixture(scope="module")
def errors(project, run) -> dict[tuple[str, int], set[str]]:
    """The errors of `tsc --strict`, by file and line, once the comments expect none."""
    copies = []
    for application in APPLICATIONS:
        source = (project / f"{application}.ts").read_text()
        copy = project / f"{application}.wrong.ts"
        # as many lines as before, so that the errors can be told by their numbers
        copy.write_text(source.replace("@ts-expect-error", "wrong:"))
        copies.append(copy)
    done = run(project / "node_modules/.bin/tsc", cwd=project, check=False)
    for copy in copies:
        copy.unlink()
    found: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for file, number, code in re.findall(
        r"^(\S+)\.wrong\.ts\((\d+),\d+\): error (TS\d+)", done.stdout, re.MULTILINE
    ):
        found[file, int(number)].add(code)
    return found


@pytest.mark.parametrize(
    "wrong", WRONG, ids=lambda wrong: f"{wrong.application}.ts:{wrong.number} {wrong.reason}"
)
def test_wrong_use_fails_on_its_line_for_its_reason(errors, wrong):
    assert errors[wrong.application, wrong.number] == {wrong.code}


def test_nothing_else_fails(errors):
    found = {place for place, codes in errors.items() if codes}

    assert found == {(wrong.application, wrong.number) for wrong in WRONG}
    assert len(found) > 15


def test_hey_api_types_its_own_stream_too(project):
    sdk = (project / "discussion.hey-api" / "sdk.gen.ts").read_text()

    assert ".sse.get<StreamDiscussion" in sdk


def test_lock_file_names_versions_and_no_registry():
    lock = (TYPES / "package-lock.json").read_text()

    assert re.findall(r'"resolved": "(.*?)"', lock) == ["../../../client"]
