"""The documentation as `make docs` builds it: its links and its reference, and all in Chromium."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.documents import DOCUMENTS, ROOT

PUBLIC = (
    "fastapi_sse_channels",
    "fastapi_sse_channels.brokers",
    "fastapi_sse_channels.brokers.redis",
    "fastapi_sse_channels.client",
    "fastapi_sse_channels.testing",
    "fastapi_sse_channels.testing.broker_contract",
)


class Document(HTMLParser):
    """What a page of the site links to, loads, and can be linked to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids.add(found.get("id", ""))
        if tag == "a":
            self.links.append(found.get("href", ""))
        else:
            self.loaded += [found[name] for name in ("href", "src") if name in found]


@pytest.fixture(scope="module")
def site(run, tmp_path_factory) -> Path:
    """The site, built from a copy, so that what a developer has built stays."""
    folder = tmp_path_factory.mktemp("documentation")
    unwanted = shutil.ignore_patterns("build", ".cache")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=unwanted)
    for needed in ("client/README.md", "fastapi_sse_channels"):
        (folder / needed).parent.mkdir(exist_ok=True)
        (folder / needed).symlink_to(ROOT / needed)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", "docs/mkdocs.yml"]
    printed = run(*command, cwd=folder).stdout

    # Zensical does not fail on a docstring that it cannot read
    assert re.fullmatch(
        r"Build started\nNo issues found\nBuild finished in \S+\n",
        re.sub(r"\x1b\[\d*m", "", printed),
    ), printed
    return folder / "docs" / "build"


@pytest.fixture(scope="module")
def documents(site) -> dict[Path, Document]:
    pages = [(site / name).with_suffix(".html") for name in DOCUMENTS if name != "README.md"]
    return {page: Document(page.read_text()) for page in pages}


def target_of(page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a link leads to."""
    parts = urlsplit(link)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return path, unquote(parts.fragment)


def test_internal_links_lead_to_a_page_and_an_anchor(documents):
    broken = defaultdict(list)
    for page, document in documents.items():
        for link in (*document.links, *document.loaded):
            if urlsplit(link).scheme:
                continue
            path, anchor = target_of(page, link)
            if not path.exists() or (anchor and anchor not in documents[path].ids):
                broken[page].append(link)

    assert len(documents) > 20
    assert broken == {}


def test_pages_load_nothing_from_other_hosts(documents):
    loaded = {url for document in documents.values() for url in document.loaded}

    assert {url for url in loaded if urlsplit(url).netloc or urlsplit(url).scheme} == set()


def test_reference_describes_every_public_name(documents):
    described = {name for document in documents.values() for name in document.ids}

    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            # the package exports what its module for brokers describes
            homes = {f"{module}.{name}", f"fastapi_sse_channels.brokers.{name}"}
            assert homes & described, name


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENTS["README.md"])

    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_readme_is_short():
    assert len(DOCUMENTS["README.md"].splitlines()) <= 150


async def test_pages_fit_a_phone_and_call_no_other_host(open_page, documents, site):
    page = await open_page((site / "index.html").as_uri())
    await page.set_viewport_size({"width": 390, "height": 800})
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).scheme))

    for path in documents:
        await page.goto(path.as_uri())
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390, path

    assert asked <= {"file", "data", "blob"}


async def test_search_finds_a_page_in_a_folder(open_page, site, eventually):
    page = await open_page((site / "index.html").as_uri())
    await page.keyboard.press("Control+k")
    await page.keyboard.type("count viewers")

    async def is_found() -> bool:
        # a test cannot see the first result, so it follows the result until it is there
        await page.keyboard.press("Enter")
        return "/guides/count-viewers.html" in page.url

    await eventually(is_found, timeout=15)
