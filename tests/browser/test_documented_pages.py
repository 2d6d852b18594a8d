"""The pages of the documents, in Chromium: htmx 2, htmx 4, and the module that the wheel holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import Page, expect

from tests.docs.documents import ROOT, snippets

PACKAGES = Path(__file__).parent / "htmx"


@pytest.fixture(scope="module")
def environment(npm_install) -> dict[str, str]:
    return {"NPM_MODULES": str(npm_install(PACKAGES))}


ShowFunction = Callable[[str, str], Awaitable[Page]]


@pytest.fixture
def show(open_page, eventually) -> ShowFunction:
    """Show a page, and wait until its stream is open."""

    async def show_(url: str, name: str) -> Page:
        page: Page = await open_page(f"{url}/pages/{name}")

        async def is_connected() -> bool:
            async with httpx2.AsyncClient(base_url=url) as http:
                return bool((await http.get("/discussions/42/sessions")).json() == 1)

        await eventually(is_connected)
        return page

    return show_


async def comment(url: str, text: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as http:
        response = await http.post("/discussions/42/comments", params={"text": text})
        response.raise_for_status()


@pytest.mark.parametrize("name", ["htmx-2", "htmx-4"])
async def test_named_event_makes_the_page_fetch_its_fragment_again(serve, environment, show, name):
    server = serve("fragments:app", env=environment)
    await comment(server.url, "first")
    page = await show(server.url, name)
    items = page.locator("li")
    await expect(items).to_have_text(["first"])

    await comment(server.url, "second <b>")
    await expect(items).to_have_text(["first", "second <b>"])

    await comment(server.url, "third")
    await expect(items).to_have_text(["first", "second <b>", "third"])


@pytest.mark.parametrize("name", ["htmx-2", "htmx-4"])
async def test_reset_makes_the_page_fetch_what_it_missed(serve, environment, show, name):
    server = serve("fragments:app", env=environment)
    page = await show(server.url, name)
    items = page.locator("li")
    await comment(server.url, "before")
    await expect(items).to_have_text(["before"])

    # its events are gone with its memory
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(serve, "fragments:app", port=server.port, env=environment)
    await expect(items).to_have_count(0)

    await comment(server.url, "after")
    await expect(items).to_have_text(["after"])


async def test_module_page_shows_counts_alone(serve, environment, show):
    server = serve("fragments:app", env=environment)
    page = await show(server.url, "module")
    await page.evaluate(
        """shown = []; new MutationObserver(([{target}]) => shown.push(target.textContent))
        .observe(document.getElementById("count"), {childList: true})"""
    )

    await comment(server.url, "first")
    async with httpx2.AsyncClient(base_url=server.url) as http:
        (await http.post("/discussions/42/close")).raise_for_status()
    await comment(server.url, "second")

    await expect(page.get_by_role("status")).to_have_text("2")
    assert set(await page.evaluate("shown")) <= {"1", "2"}


async def test_module_page_shows_each_count_and_survives_a_restart(serve, environment, show):
    server = serve("fragments:app", env=environment)
    page = await show(server.url, "module")
    count = page.get_by_role("status")
    await comment(server.url, "first")
    await expect(count).to_have_text("1")

    # the process lost its events with its memory, so the page gets a reset and reloads
    await page.evaluate("document.title = 'before'")
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(serve, "fragments:app", port=server.port, env=environment)
    await expect(page).to_have_title("module")

    await comment(server.url, "after")
    await expect(count).to_have_text("1")


async def test_page_of_the_tutorial_shows_a_comment_in_all_windows(
    serve, open_page, eventually, tmp_path
):
    application = "".join(snippet.code for snippet in snippets("python", "tutorial.md"))
    [html] = snippets("html", "tutorial.md")
    (tmp_path / "main.py").write_text(application)
    (tmp_path / "page.html").write_text(html.code)
    server = serve("main:app", env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    windows = [await open_page(server.url) for _ in range(2)]

    async def is_shown_in_both() -> bool:
        # windows whose streams are not open yet do not show what is posted
        await windows[0].get_by_role("button").click()
        return all([await window.locator("li").count() for window in windows])

    await eventually(is_shown_in_both, timeout=30)
    for window in windows:
        await expect(window.locator("li").first).to_have_text("comment-added")


async def test_every_documented_page_is_tested(environment, serve):
    server = serve("fragments:app", env=environment)
    async with httpx2.AsyncClient(base_url=server.url) as http:
        shown = [await http.get(f"/pages/{name}") for name in ("module", "htmx-2", "htmx-4")]

    assert [response.status_code for response in shown] == [200] * 3
    # the tutorial's page is the fourth
    assert len(snippets("html")) == len(shown) + 1
