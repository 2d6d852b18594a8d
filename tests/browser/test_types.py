"""From the pydantic union to the browser: two generators, and tsc over what they write."""

from __future__ import annotations

import re
import shutil
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


@pytest.mark.parametrize("name", APPLICATIONS)
def test_each_wrong_use_fails_on_its_line(project, run, name):
    source = (project / f"{name}.ts").read_text()
    expected = [
        number
        for number, line in enumerate(source.splitlines(), start=2)
        if "@ts-expect-error" in line
    ]
    wrong = project / f"{name}.wrong.ts"
    # as many lines as before, so that the errors can be told by their numbers
    wrong.write_text(source.replace("@ts-expect-error", "wrong:"))

    done = run(project / "node_modules/.bin/tsc", cwd=project, check=False)
    wrong.unlink()

    found = re.findall(
        rf"^{re.escape(wrong.name)}\((\d+),\d+\): error TS", done.stdout, re.MULTILINE
    )
    assert done.returncode != 0
    assert len(expected) > 3
    assert sorted({int(number) for number in found}) == expected, done.stdout
    assert len(done.stdout.splitlines()) >= len(expected)


def test_hey_api_types_its_own_stream_too(project):
    sdk = (project / "discussion.hey-api" / "sdk.gen.ts").read_text()

    assert ".sse.get<StreamDiscussion" in sdk


def test_lock_file_names_versions_and_no_registry():
    lock = (TYPES / "package-lock.json").read_text()

    assert re.findall(r'"resolved": "(.*?)"', lock) == ["../../../client"]
