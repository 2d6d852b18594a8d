"""The browser client inside the wheel, and the route that serves it."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from fastapi_sse_channels import ConfigurationError, client_url, create_client_router

ROOT = Path(__file__).parent.parent.parent
COMMITTED = ROOT / "fastapi_sse_channels" / "static" / "client.js"


def application(path: str = "/sse-channels") -> FastAPI:
    app = FastAPI()
    app.include_router(create_client_router(path))

    @app.get("/url")
    def url(address: Annotated[str, Depends(client_url)]) -> str:
        return address

    return app


@pytest.fixture
def client() -> TestClient:
    return TestClient(application())


def build(kind: str, source: Path, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [built] = target.iterdir()
    return built


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("source")
    with tarfile.open(build("sdist", ROOT, folder / "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    [unpacked] = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    """The wheel that users install, built from the source distribution as the index has it."""
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


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


def test_committed_module_is_what_the_sources_build(client_dist):
    fresh = (client_dist / "served.min.js").read_bytes()

    assert fresh == COMMITTED.read_bytes(), "run `npm run build -- --ship` in client/"


def kilobytes(module: Path) -> str:
    """Its size as servers send it, in the form the documents give it."""
    return f"{len(gzip.compress(module.read_bytes())) / 1000:.1f} kB"


def test_documents_give_the_size_that_the_modules_have(client_dist):
    page = (ROOT / "docs" / "pages" / "guides" / "browser.md").read_text()
    client_readme = (ROOT / "client" / "README.md").read_text()

    assert re.findall(r"\d\S* kB", page) == [kilobytes(COMMITTED)]
    assert re.findall(r"\d\S* kB", client_readme) == [
        kilobytes(client_dist / "client.min.js"),
        kilobytes(COMMITTED),
    ]


def test_wheel_holds_what_is_no_python_module(wheel):
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


def test_versioned_address_is_kept_for_good(client):
    url = client.get("/url").json()
    response = client.get(url)

    assert re.fullmatch(r"/sse-channels/[0-9a-f]{16}/client\.js", url)
    assert response.content == COMMITTED.read_bytes()
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["etag"]


@pytest.mark.parametrize("path", ["/sse-channels/client.js", "/sse-channels/other/client.js"])
def test_any_other_address_is_asked_for_again(client, path):
    response = client.get(path)

    assert response.content == COMMITTED.read_bytes()
    assert response.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("form", ["{}", "W/{}", '"older", {}'])
def test_current_copy_is_not_sent_again(client, form):
    etag = client.get("/sse-channels/client.js").headers["etag"]
    headers = {"If-None-Match": form.format(etag)}
    response = client.get("/sse-channels/client.js", headers=headers)

    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == etag
    assert response.headers["cache-control"] == "no-cache"


def test_stale_copy_is_replaced(client):
    response = client.get("/sse-channels/client.js", headers={"If-None-Match": '"older"'})

    assert response.status_code == 200
    assert response.content == COMMITTED.read_bytes()


def test_head_tells_the_same_headers(client):
    got = client.get("/sse-channels/client.js")
    asked = client.head("/sse-channels/client.js")

    assert (asked.status_code, asked.headers) == (200, got.headers)


@pytest.mark.parametrize("path", ["/assets/sse", "/assets/sse/"])
def test_path_is_the_users_choice(path):
    client = TestClient(application(path))

    assert client.get("/url").json().startswith("/assets/sse/")
    assert client.get("/assets/sse/client.js").status_code == 200


def test_url_holds_the_prefixes_of_routers_and_proxies():
    behind_proxy = TestClient(application(), root_path="/behind/proxy")
    assert behind_proxy.get("/url").json().startswith("/behind/proxy/sse-channels/")

    app = FastAPI()
    parent = APIRouter(prefix="/parent")
    parent.include_router(create_client_router())
    app.include_router(parent)
    app.get("/url")(client_url)
    url = TestClient(app).get("/url").json()
    assert url.startswith("/parent/sse-channels/")
    assert TestClient(app).get(url).status_code == 200


def test_url_without_the_route_names_what_to_include():
    app = FastAPI()
    app.get("/url")(client_url)

    with pytest.raises(ConfigurationError, match="include_router"):
        TestClient(app).get("/url")


def test_route_is_not_part_of_the_documented_interface():
    assert list(application().openapi()["paths"]) == ["/url"]
