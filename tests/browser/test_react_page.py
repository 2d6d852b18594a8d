"""The React page of the example application, built by Vite, in Chromium.

Its three components use the hooks in the three forms they have: `useSSEConnection` with callbacks
(viewers), `useSSEQueryInvalidation` with a list of keys (totals) and with a function (comments).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.async_api import Locator, Page, expect

REACT = Path(__file__).parent.parent.parent / "example_app" / "react"
DOCUMENTED = "example_app.main:app"
APP = "example_app.react:app"


@pytest.fixture(scope="module")
def built_page(
    client_dist, npm_install, run, serve_shared, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Build the page with types out of the running application's document."""
    npm_install(REACT)
    database = tmp_path_factory.mktemp("document") / "example.db"
    server = serve_shared(DOCUMENTED, env={"DATABASE_URL": f"sqlite+aiosqlite:///{database}"})
    document = {"OPENAPI_URL": f"{server.url}/openapi.json"}
    run("npm", "run", "build", cwd=REACT, env=document)


@pytest.fixture
def serve_example(built_page, serve, tmp_path) -> Callable[..., Any]:
    """Start nodes that share a database, but hear nothing of each other."""
    database = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/example.db"}
    return lambda **options: serve(APP, env=database, **options)


class Window:
    """A window with the page, as its user sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def comments(self) -> Locator:
        """The texts of the comments, newest first."""
        return self.page.get_by_role("list", name="Comments").locator(".text")

    @property
    def viewers(self) -> Locator:
        return self.page.get_by_role("status", name="Viewers")

    @property
    def totals(self) -> Locator:
        return self.page.get_by_role("status", name="Totals")

    def votes(self, direction: str) -> Locator:
        return self.page.get_by_role("button", name=f"Vote {direction}")

    async def comment(self, author: str, text: str) -> None:
        await self.page.get_by_label("Your name").fill(author)
        await self.page.get_by_label("Comment", exact=True).fill(text)
        await self.page.get_by_role("button", name="Post").click()


async def open_windows(server, open_page, count: int) -> list[Window]:
    windows = [Window(await open_page(f"{server.url}/react/")) for _ in range(count)]
    for window in windows:
        # three components listen, yet each window is one viewer
        await expect(window.viewers).to_have_text(f"{count} viewing")
    return windows


async def test_comment_of_one_window_appears_in_both(serve_example, open_page):
    server = serve_example()
    windows = await open_windows(server, open_page, 2)
    # screen readers announce a live region only if it was there before
    live = windows[1].page.get_by_role("list", name="Comments")
    await expect(live).to_have_attribute("aria-relevant", "additions")

    await windows[0].comment("Ann", "Hello <b>there</b>")
    for window in windows:
        await expect(window.comments).to_have_text(["Hello <b>there</b>"])
        await expect(window.totals).to_have_text("1 comment, 0 votes")

    await windows[1].comment("Bob", "Hi")
    for window in windows:
        await expect(window.comments).to_have_text(["Hi", "Hello <b>there</b>"])
        await expect(window.totals).to_have_text("2 comments, 0 votes")


async def test_votes_of_both_windows_are_counted_in_both(serve_example, open_page):
    server = serve_example()
    windows = await open_windows(server, open_page, 2)
    await windows[0].comment("Ann", "Soup?")

    for window in windows:
        await window.votes("up").click()
    await windows[1].votes("down").click()

    for window in windows:
        await expect(window.votes("up")).to_have_text("▲ 2")
        await expect(window.votes("down")).to_have_text("▼ 1")
        await expect(window.totals).to_have_text("1 comment, 3 votes")


async def test_viewers_come_and_go(serve_example, open_page):
    server = serve_example()
    first, second, third = await open_windows(server, open_page, 3)

    await third.page.close()
    await expect(first.viewers).to_have_text("2 viewing")

    # this turns `enabled` off
    await second.page.get_by_label("live").uncheck()
    await expect(second.viewers).to_have_text("paused")
    await expect(first.viewers).to_have_text("1 viewing")

    await first.comment("Ann", "Hello")
    await expect(first.comments).to_have_count(1)
    await expect(second.comments).to_have_count(0)

    await second.page.get_by_label("live").check()
    await expect(second.comments).to_have_text(["Hello"])
    await expect(first.viewers).to_have_text("2 viewing")


async def test_restart_brings_missed_changes(serve_example, open_page):
    server = serve_example()
    other = serve_example()
    [window] = await open_windows(server, open_page, 1)
    await window.comment("Ann", "Before")
    await expect(window.comments).to_have_text(["Before"])

    await asyncio.to_thread(server.kill)
    await expect(window.viewers).to_have_text("reconnecting…")
    # only the database knows of these: the event is published on the other node
    async with httpx2.AsyncClient(base_url=f"{other.url}/discussions/welcome") as http:
        response = await http.post("/comments", json={"author": "Bob", "text": "Meanwhile"})
        response.raise_for_status()
        await http.post("/comments/1/votes", json={"direction": "up"})
    await asyncio.to_thread(serve_example, port=server.port)

    await expect(window.comments).to_have_text(["Meanwhile", "Before"], timeout=15_000)
    await expect(window.votes("up")).to_have_text(["▲ 0", "▲ 1"])
    await expect(window.totals).to_have_text("2 comments, 1 vote")
    await expect(window.viewers).to_have_text("1 viewing")
    await expect(window.viewers).to_have_attribute("data-drops", "1")

    await window.comment("Ann", "After")
    await expect(window.comments.first).to_have_text("After")


async def test_title_tells_windows_apart(serve_example, open_page):
    server = serve_example()
    page = await open_page(f"{server.url}/react/?discussion=ideas")
    await expect(page).to_have_title("Ideas · Live discussions")


async def test_missing_discussion_ends_the_connection(serve_example, open_page):
    server = serve_example()
    window = Window(await open_page(f"{server.url}/react/?discussion=none"))
    await expect(window.viewers).to_have_text("ended")
    await expect(window.page.get_by_role("heading")).to_have_text("There is no such discussion")


async def test_keyboard_reaches_everything_and_shows_where_it_is(serve_example, open_page):
    server = serve_example()
    [window] = await open_windows(server, open_page, 1)
    await window.comment("Ann", "Hello")
    await expect(window.comments).to_have_count(1)
    # posting has left the focus on the button
    await expect(window.page.get_by_role("button", name="Post")).to_be_focused()

    await window.page.keyboard.press("Tab")
    await window.page.keyboard.press("Enter")
    await expect(window.page.get_by_role("button", name="Vote up, 1 so far")).to_be_focused()

    # a field of the form is shown by the ring around the whole
    is_shown = """() => [document.activeElement, document.activeElement.closest("form")].some(
        (element) => element && (getComputedStyle(element).outlineStyle !== "none"
                                 || getComputedStyle(element).boxShadow !== "none"))"""
    stops = window.page.locator("a, button, input, textarea")
    await stops.first.focus()
    for number in range(await stops.count()):
        await expect(stops.nth(number)).to_be_focused()
        assert await window.page.evaluate(is_shown), await stops.nth(number).evaluate(
            "x => x.outerHTML"
        )
        await window.page.keyboard.press("Tab")


async def test_failed_request_is_shown(serve_example, open_page):
    server = serve_example()
    [window] = await open_windows(server, open_page, 1)
    await window.comment("Ann", "Hello")
    await expect(window.comments).to_have_count(1)
    await asyncio.to_thread(server.kill)

    await window.votes("up").click()
    await expect(window.page.get_by_role("listitem").get_by_role("alert")).to_have_text(
        "That did not reach the server. Try again."
    )
    await window.comment("Ann", "Lost")
    await expect(window.page.locator("form").get_by_role("alert")).to_have_text(
        "That did not reach the server. Try again."
    )
    await expect(window.page.get_by_label("Comment", exact=True)).to_have_value("Lost")


def test_lock_file_names_versions_and_no_registry():
    lock = (REACT / "package-lock.json").read_text()

    assert re.findall(r'"resolved": "(.*?)"', lock) == ["../../client"]
