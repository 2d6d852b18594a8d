"""The packages that are published: two distributions for Python, and one for npm."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
COMMITTED = ROOT / "fastapi_sse_channels" / "static" / "client.js"


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [built] = target.iterdir()
    return built


@pytest.fixture(scope="session")
def sdist(tmp_path_factory, processes) -> Path:
    """The source distribution."""
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="session")
def source(sdist, tmp_path_factory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    [unpacked] = folder.iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    """The wheel that users install, built from the source distribution as the index has it."""
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


def test_index_accepts_both_distributions(sdist, wheel, run):
    """The README renders, and every field of the metadata is one that the index knows."""
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=ROOT)


def test_source_distribution_holds_what_metadata_and_readers_need(source):
    assert {path.name for path in source.iterdir()} >= {
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
        "Makefile",
        "PKG-INFO",
        "README.md",
        "pyproject.toml",
        "tests",
    }


def test_source_distribution_holds_what_the_module_is_built_from(source):
    client = source / "client"

    assert {path.name for path in client.iterdir()} >= {
        "build.mjs",
        "package-lock.json",
        "package.json",
        "src",
    }
    assert not list(client.rglob("node_modules"))
    assert (client / "src" / "stream.ts").read_bytes() == (
        ROOT / "client" / "src" / "stream.ts"
    ).read_bytes()


def test_sources_build_the_committed_module(client_dist):
    fresh = (client_dist / "served.min.js").read_bytes()

    assert fresh == COMMITTED.read_bytes(), "run `npm run build -- --ship` in client/"


def kilobytes(module: Path) -> str:
    """Its size as servers send it, in the form the documents give it."""
    return f"{len(gzip.compress(module.read_bytes())) / 1000:.1f} kB"


def test_documents_state_the_size_of_the_modules(client_dist):
    page = (ROOT / "docs" / "pages" / "guides" / "browser.md").read_text()
    client_readme = (ROOT / "client" / "README.md").read_text()

    assert re.findall(r"\d\S* kB", page) == [kilobytes(COMMITTED)]
    assert re.findall(r"\d\S* kB", client_readme) == [
        kilobytes(client_dist / "client.min.js"),
        kilobytes(COMMITTED),
    ]


def test_wheel_holds_other_files_than_python_modules(wheel):
    package = ROOT / "fastapi_sse_channels"
    expected = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("**/*.lua", "static/*", "py.typed")
        for path in package.glob(pattern)
    }

    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert {Path(name).suffix for name in expected} == {".js", ".lua", ".typed"}
    assert expected <= names
    assert not any("node_modules" in name for name in names)


def test_npm_package_holds_what_it_exports_and_no_source(client_dist, run):
    client = client_dist.parent
    manifest = json.loads((client / "package.json").read_text())
    said = run("npm", "pack", "--dry-run", "--json", "--ignore-scripts", cwd=client).stdout
    [packed] = json.loads(said[said.index("[") :])
    names = {file["path"] for file in packed["files"]}

    targets = [entry for entry in manifest["exports"].values() if isinstance(entry, str)]
    targets += [
        path
        for entry in manifest["exports"].values()
        if isinstance(entry, dict)
        for path in entry.values()
    ]
    assert {target.removeprefix("./") for target in targets} <= names
    assert {name for name in names if not name.startswith("dist/")} == {
        "LICENSE",
        "README.md",
        "package.json",
    }
    assert not {name for name in names if ".test" in name}
    for entry in ("react", "react-connection"):
        assert (client_dist / f"{entry}.js").read_text().startswith('"use client";\n')
    # the module of the Python package, which npm's users have no use for
    assert "dist/served.min.js" not in names


def test_application_of_the_wheel_serves_the_module(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)  # noqa: S202  # a wheel of our own
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import fastapi_sse_channels\n"
        "from fastapi import FastAPI\n"
        "from fastapi.testclient import TestClient\n"
        "assert fastapi_sse_channels.__file__.startswith(sys.argv[1])\n"
        "app = FastAPI()\n"
        "app.include_router(fastapi_sse_channels.create_client_router())\n"
        "content = TestClient(app).get('/sse-channels/client.js').content\n"
        "sys.stdout.buffer.write(content)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    served = subprocess.run(command, cwd=tmp_path, check=True, stdout=subprocess.PIPE).stdout

    assert served == COMMITTED.read_bytes()
