"""The route that serves the browser client, and its address."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from fastapi_sse_channels import ConfigurationError, client_url, create_client_router

COMMITTED = files("fastapi_sse_channels").joinpath("static", "client.js")


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


def test_versioned_address_is_kept_for_good(client):
    url = client.get("/url").json()
    response = client.get(url)

    assert re.fullmatch(r"/sse-channels/[0-9a-f]{16}/client\.js", url)
    assert response.content == COMMITTED.read_bytes()
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["etag"]


@pytest.mark.parametrize("path", ["/sse-channels/client.js", "/sse-channels/other/client.js"])
def test_any_other_address_is_revalidated(client, path):
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
def test_module_is_served_where_the_user_chooses(path):
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


@pytest.mark.parametrize("names", [(None, None), ("outer", "inner"), (None, "inner")])
def test_url_holds_the_paths_of_mounts(names):
    app, middle = FastAPI(), FastAPI()
    app.mount("/outer", middle, name=names[0])
    middle.mount("/inner", application(), name=names[1])
    app.get("/url")(client_url)
    client = TestClient(app, root_path="/proxy")

    for page in ("/proxy/outer/inner/url", "/proxy/url"):
        url = client.get(page).json()
        assert url.startswith("/proxy/outer/inner/sse-channels/")
        assert client.get(url).status_code == 200


@pytest.mark.parametrize("host", ["x//evil.example", "x/'\"><script>", "evil.example/x?", ""])
async def test_url_ignores_the_host_header(connect, client, host):
    app = application()
    expected = client.get("/url").json()

    answered = await connect(app, "/url", host=host)

    assert answered.answer == expected


def test_url_without_the_route_names_what_to_include():
    app = FastAPI()
    app.get("/url")(client_url)

    with pytest.raises(ConfigurationError, match="include_router"):
        TestClient(app).get("/url")


def test_route_is_not_documented():
    assert list(application().openapi()["paths"]) == ["/url"]
