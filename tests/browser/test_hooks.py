"""The hooks work in all three forms, against the example application."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import ConsoleMessage, Page, expect

CLIENT = Path(__file__).parents[2] / "client"
VIEWS = Path(__file__).parent / "hooks"


@pytest.fixture(scope="module")
def bundle(client_dist, run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Check the views' types and bundle them, as an application that installed the package."""
    folder = tmp_path_factory.mktemp("hooks")
    for source in VIEWS.iterdir():
        shutil.copy(source, folder)
    modules = folder / "node_modules"
    modules.mkdir()
    for package in (CLIENT / "node_modules").iterdir():
        (modules / package.name).symlink_to(package)
    (modules / "fastapi-sse-channels").symlink_to(CLIENT)
    run(modules / ".bin" / "tsc", cwd=folder)
    options = ["--bundle", "--format=esm", "--jsx=automatic", "--outfile=hooks.js"]
    run(modules / ".bin" / "esbuild", "main.tsx", *options, cwd=folder)
    return folder / "hooks.js"


@pytest.fixture
def serve_example(bundle, serve, tmp_path) -> Callable[..., Any]:
    environment = {
        "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/example.db",
        "HOOKS_BUNDLE": str(bundle),
    }
    return lambda **options: serve("hooks:app", env=environment, **options)


async def comment(url: str, text: str) -> None:
    async with httpx2.AsyncClient(base_url=f"{url}/discussions/welcome") as http:
        response = await http.post("/comments", json={"author": "Ann", "text": text})
        response.raise_for_status()


def shown(page: Page, discussion: str = "welcome"):
    return page.get_by_label(discussion, exact=True)


async def fetches(page: Page) -> dict[str, int]:
    """How many answers each query has received."""
    expression = """() => Object.fromEntries(client.getQueryCache().getAll().map(
        ({ queryKey, state }) => [queryKey.join(" "), state.dataUpdateCount]))"""
    return dict(await page.evaluate(expression))


async def test_event_refetches_the_keys_of_a_list(serve_example, open_page):
    server = serve_example()
    page = await open_page(f"{server.url}/hooks#WithKeys")
    await expect(shown(page)).to_have_text("0:")

    await comment(server.url, "Hello")
    await expect(shown(page)).to_have_text("1: Hello")

    await comment(server.url, "Hi")
    await expect(shown(page)).to_have_text("2: Hello, Hi")


async def test_handler_hears_events_and_the_connection(serve_example, open_page, eventually):
    server = serve_example()
    page = await open_page("about:blank")
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "log":
            said.append(message.text)

    page.on("console", hear)
    await page.goto(f"{server.url}/hooks#WithHandler")
    await expect(page.get_by_text("Status:")).to_have_text("Status: 🟢")

    await comment(server.url, "Hello")
    await eventually(lambda: "event comment-added" in said)
    assert said[:2] == ["SSE connected", "event snapshot"]
    assert said.count("event comment-added") == 1

    await asyncio.to_thread(server.terminate)
    await expect(page.get_by_text("Status:")).to_have_text("Status: 🔴")
    # the server asks for up to five and a half seconds, and clients add some
    await eventually(lambda: "error network" in said, timeout=15)
    assert said.count("SSE disconnected") == 1

    await asyncio.to_thread(serve_example, port=server.port)
    await expect(page.get_by_text("Status:")).to_have_text("Status: 🟢", timeout=15_000)
    assert said.count("SSE connected") == 2


async def test_event_refetches_only_the_keys_of_a_function(serve_example, open_page, eventually):
    server = serve_example()
    page = await open_page(f"{server.url}/hooks#WithFunction")
    await expect(shown(page)).to_have_text("0:")
    await expect(shown(page, "ideas")).to_have_text("0:")

    await comment(server.url, "Hello")

    await expect(shown(page)).to_have_text("1: Hello")
    counted = await fetches(page)
    assert counted["infiniteComments ideas"] == counted["discussion counts ideas"] == 1
    assert counted["infiniteComments welcome"] > 1
    assert counted["discussion counts welcome"] > 1
