"""Tests of clients share npm packages, the built client, and Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

ROOT = Path(__file__).parent.parent.parent

# after a shutdown clients come back within 5.5 s, or later if no server answers yet
expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run all tests of clients on one loop, so that they share one Chromium."""
    return "asyncio"


def missing(message: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


RunFunction = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def run(processes: None) -> RunFunction:
    """Run a program, and show its output if it fails unexpectedly."""

    def run_(
        *command: str | Path, cwd: Path, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} failed in {cwd}:\n{done.stdout}")
        return done

    return run_


InstallFunction = Callable[[Path], Path]


@pytest.fixture(scope="session")
def npm_install(run: RunFunction) -> InstallFunction:
    """Install what a folder's lock file names, unless it is there already."""
    if shutil.which("npm") is None:
        missing("npm is needed: apt-get install npm")

    def install(folder: Path) -> Path:
        lock = folder / "package-lock.json"
        # npm writes this file at the end of an installation
        done = folder / "node_modules" / ".package-lock.json"
        if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
            run("npm", "ci", "--no-audit", "--no-fund", cwd=folder)
        return folder / "node_modules"

    return install


@pytest.fixture(scope="session")
def client_dist(run: RunFunction, npm_install: InstallFunction) -> Path:
    """Build the npm package from its sources."""
    folder = ROOT / "client"
    npm_install(folder)
    run("npm", "run", "build", cwd=folder)
    return folder / "dist"


@pytest.fixture(scope="session")
async def chromium(processes: None) -> AsyncIterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        missing("Chromium is needed: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=executable,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
            # Playwright turns off this cache, which users have
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        await browser.close()


@pytest.fixture
async def profile(
    chromium: Browser, really_ran: Callable[[str], None]
) -> AsyncIterator[BrowserContext]:
    """A fresh browser profile, whose windows share cookies, locks and connections."""
    context = await chromium.new_context()
    context.set_default_timeout(15_000)
    really_ran(f"Chromium {chromium.version}")
    yield context
    await context.close()


OpenPage = Callable[[str], Awaitable[Page]]


@pytest.fixture
async def open_page(profile: BrowserContext) -> AsyncIterator[OpenPage]:
    """Open a window; an exception that a script of it does not catch fails the test."""
    errors: list[Any] = []

    async def open_(url: str) -> Page:
        page = await profile.new_page()
        page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108  # needs attributes
        await page.goto(url)
        return page

    yield open_
    assert errors == []
