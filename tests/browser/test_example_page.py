"""The plain page of the example application, in two windows of Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Page, expect

PAGE = "discussions/welcome"


@pytest.fixture
def serve_example(serve, tmp_path):
    database = {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/example.db"}
    return lambda **options: serve("example_app.main:app", env=database, **options)


async def two_windows(server, open_page) -> list[Page]:
    windows = [await open_page(f"{server.url}/{PAGE}") for _ in range(2)]
    for window in windows:
        await expect(window.locator("#connection")).to_have_text("live")
        await expect(window.locator("#viewers")).to_have_text("2 users viewing")
    return windows


async def comment(window: Page, text: str) -> None:
    await window.locator("#text").fill(text)
    await window.get_by_role("button", name="Post").click()


async def test_page_reads_its_stream_with_the_module_of_the_wheel(serve_example, open_page):
    server = serve_example()
    page = await open_page("about:blank")
    requests = []
    page.on("request", lambda request: requests.append(request))  # noqa: PLW0108  # needs attributes
    async with page.expect_response("**/client.js") as served:
        await page.goto(f"{server.url}/{PAGE}")
    await expect(page.locator("#connection")).to_have_text("live")

    module = await served.value
    assert re.search(r"/sse-channels/[0-9a-f]{16}/client\.js$", module.url)
    assert module.headers["cache-control"] == "public, max-age=31536000, immutable"
    kinds = [each.resource_type for each in requests if each.url.endswith("/events")]
    # the browser's own EventSource would be of the type "eventsource"
    assert kinds == ["fetch"]


async def test_comment_posted_in_one_window_appears_in_both(serve_example, open_page):
    windows = await two_windows(serve_example(), open_page)

    await comment(windows[0], "first")
    await comment(windows[1], "second")

    for window in windows:
        await expect(window.locator(".comment .text")).to_have_text(["second", "first"])


async def test_vote_in_one_window_counts_in_both(serve_example, open_page):
    windows = await two_windows(serve_example(), open_page)
    await comment(windows[0], "vote for me")

    await windows[1].get_by_role("button", name="Vote up").click()
    await windows[0].get_by_role("button", name="Vote down").click()

    for window in windows:
        await expect(window.locator(".vote .count")).to_have_text(["1", "1"])


async def test_votes_are_announced_on_request(serve_example, open_page):
    page, _ = await two_windows(serve_example(), open_page)
    await comment(page, "vote for me")
    await page.get_by_role("button", name="Vote up").click()

    await expect(page.get_by_role("button", name="Vote up, 1 so far")).to_have_count(1)
    # new comments are read out as they come; votes, and the ages of comments, are not
    comments = page.get_by_role("list", name="Comments")
    await expect(comments).to_have_attribute("aria-relevant", "additions")
    await expect(comments.locator("output, [role=status]")).to_have_count(0)


@pytest.mark.parametrize("wish", ["reduce", "no-preference"])
async def test_reduced_motion_moves_nothing(serve_example, open_page, wish):
    page, _ = await two_windows(serve_example(), open_page)
    await page.emulate_media(reduced_motion=wish)
    await page.evaluate(
        """() => {
            window.moved = []
            Element.prototype.animate = () => moved.push("animate")
            for (const name of ["animationstart", "transitionrun"])
                addEventListener(name, () => moved.push(name))
        }"""
    )
    await comment(page, "vote for me")
    await page.get_by_role("button", name="Vote up").click()
    await expect(page.get_by_role("button", name="Vote up, 1 so far")).to_have_count(1)

    moved = await page.evaluate("moved")
    assert moved == [] if wish == "reduce" else "animate" in moved


async def test_focus_that_goes_back_is_not_hidden_by_the_header(serve_example, open_page):
    page, _ = await two_windows(serve_example(), open_page)
    await page.set_viewport_size({"width": 320, "height": 500})
    for number in range(6):
        await comment(page, f"comment {number}")
        await expect(page.locator(".comment")).to_have_count(number + 1)
    buttons = page.get_by_role("button")
    await buttons.last.focus()
    for _ in range(await buttons.count() - 1):
        await page.keyboard.press("Shift+Tab")
        top = await page.evaluate("document.activeElement.getBoundingClientRect().top")
        assert top >= await page.evaluate("document.querySelector('header').offsetHeight")


async def test_viewers_are_counted_down_when_a_window_closes(serve_example, open_page):
    windows = await two_windows(serve_example(), open_page)

    await windows[1].close()

    await expect(windows[0].locator("#viewers")).to_have_text("1 user viewing")


async def test_page_recovers_after_the_server_was_replaced(serve_example, open_page):
    server = serve_example()
    windows = await two_windows(server, open_page)
    await comment(windows[0], "before")
    await expect(windows[1].locator(".comment .text")).to_have_text(["before"])

    server.terminate()
    for window in windows:
        await expect(window.locator("#connection")).to_have_text("reconnecting")
    serve_example(port=server.port)

    for window in windows:
        await expect(window.locator("#connection")).to_have_text("live")
        await expect(window.locator(".comment .text")).to_have_text(["before"])
    await comment(windows[1], "after")
    for window in windows:
        await expect(window.locator(".comment .text")).to_have_text(["after", "before"])


async def test_markup_in_a_comment_is_shown_as_text(serve_example, open_page):
    windows = await two_windows(serve_example(), open_page)
    hostile = "<img src=x onerror=alert(1)><b>bold</b>"

    await comment(windows[0], hostile)

    for window in windows:
        await expect(window.locator(".comment .text")).to_have_text(hostile)
        await expect(window.locator(".comment .text > *")).to_have_count(0)
