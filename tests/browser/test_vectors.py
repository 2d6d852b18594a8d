"""Chromium's EventSource agrees with the vectors that test both parsers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.async_api import Page

VECTORS = json.loads(
    (Path(__file__).parents[2] / "client/test/wpt-vectors.json").read_text(encoding="utf-8")
)


@pytest.fixture
async def page(serve_shared, open_page) -> Page:
    page: Page = await open_page(f"{serve_shared('vectors:app').url}/page")
    return page


async def test_chromium_hears_exactly_the_events_of_each_vector(page):
    heard = {}
    for number, vector in enumerate(VECTORS):
        names = sorted({"message", "ignored", *(event["event"] for event in vector["events"])})
        heard[vector["name"]] = await page.evaluate(
            "([number, names]) => hear(number, names)", [number, names]
        )

    assert heard == {vector["name"]: vector["events"] for vector in VECTORS}
    assert len(heard) == len(VECTORS)
