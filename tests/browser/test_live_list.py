"""The client README's live list, followed step by step with the package as npm publishes it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import expect

CLIENT = Path(__file__).parents[2] / "client"
REACT = Path(__file__).parents[2] / "example_app" / "react"

# what Vite's `react-ts` template makes beside the files of the README, as far as it matters
TEMPLATE = {
    "package.json": '{ "private": true, "type": "module" }',
    "index.html": """<!doctype html>
<title>App</title>
<link rel="icon" href="data:,">
<div id="root"></div>
<script type="module" src="/src/main.tsx"></script>
""",
    "src/main.tsx": """import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import App from './App.tsx'

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <App />
  </StrictMode>,
)
""",
    "tsconfig.json": json.dumps(
        {
            "compilerOptions": {
                "target": "es2023",
                "lib": ["ES2023", "DOM"],
                "module": "esnext",
                "types": ["vite/client"],
                "skipLibCheck": True,
                "moduleResolution": "bundler",
                "allowImportingTsExtensions": True,
                "verbatimModuleSyntax": True,
                "moduleDetection": "force",
                "noEmit": True,
                "jsx": "react-jsx",
                "strict": True,
                "noUnusedLocals": True,
                "noUnusedParameters": True,
                "erasableSyntaxOnly": True,
                "noFallthroughCasesInSwitch": True,
            },
            "include": ["src", "vite.config.ts"],
        }
    ),
}


README = (CLIENT / "README.md").read_text()


def files_of_the_section() -> dict[str, str]:
    """The code blocks that begin with the name of their file."""
    section = README.split("## A typed live list in React")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\w+\n(?://|#) (\S+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return dict(blocks)


def snippets_of_the_other_sections() -> dict[str, str]:
    """What a reader of the whole page adds to the same application."""
    blocks = re.findall(r"^```(tsx?)\n((?!// ).*?)^```$", README, re.DOTALL | re.MULTILINE)
    return {f"src/snippet{number}.{kind}": code for number, (kind, code) in enumerate(blocks)}


@pytest.fixture
def server(serve, tmp_path):
    (tmp_path / "main.py").write_text(files_of_the_section()["main.py"])
    return lambda **options: serve("main:app", env={"PYTHONPATH": str(tmp_path)}, **options)


@pytest.fixture
def project(client_dist, npm_install, run, tmp_path) -> Path:
    """A new application with the packed package, and what else the README installs."""
    folder = tmp_path / "app"
    for name, content in {**TEMPLATE, **files_of_the_section()}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    modules = folder / "node_modules"
    modules.mkdir()
    for package in npm_install(REACT).iterdir():
        if package.name != "fastapi-sse-channels":
            (modules / package.name).symlink_to(package)
    run("npm", "pack", "--ignore-scripts", "--pack-destination", tmp_path, cwd=CLIENT)
    [packed] = tmp_path.glob("*.tgz")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path / "packed", filter="data")
    (tmp_path / "packed" / "package").rename(modules / "fastapi-sse-channels")
    return folder


@pytest.fixture
def develop(project) -> Iterator[Callable[[str, int], str]]:
    """Run `vite`, with the README's configuration but for the ports."""
    processes = []

    def start(url: str, port: int) -> str:
        configuration = project / "vite.config.ts"
        text = configuration.read_text()
        assert "http://localhost:8000" in text
        configuration.write_text(text.replace("http://localhost:8000", url))
        with (project / "vite.log").open("wb") as log:
            process = subprocess.Popen(
                [project / "node_modules/.bin/vite", "--host", "127.0.0.1", "--port", str(port)],
                cwd=project,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        processes.append(process)
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                httpx2.get(address)
            except httpx2.TransportError:
                time.sleep(0.05)  # polling a process that cannot tell us
            else:
                return address
        raise AssertionError((project / "vite.log").read_text())

    yield start
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)


async def test_live_list_is_typed_and_live(
    *, server, project, develop, run, open_page, unused_ports
):
    node = server()
    tools = project / "node_modules/.bin"
    document = f"{node.url}/openapi.json"
    run(tools / "openapi-typescript", document, "-o", "src/openapi.ts", cwd=project)
    run(tools / "tsc", cwd=project)

    address = await asyncio.to_thread(develop, node.url, unused_ports(1)[0])
    windows = [await open_page(address) for _ in range(2)]
    for window in windows:
        await expect(window.get_by_role("status")).to_have_text("live")

    async with httpx2.AsyncClient(base_url=f"{node.url}/discussions/42") as http:
        for text in ["Hello", "Hi <b>"]:
            (await http.post("/comments", params={"text": text})).raise_for_status()
        for window in windows:
            await expect(window.locator("li")).to_have_text(["Hello", "Hi <b>"])

        (await http.delete("/comments/0")).raise_for_status()
        for window in windows:
            await expect(window.locator("li")).to_have_text(["Hi <b>"])
        (await http.post("/comments", params={"text": "Bye"})).raise_for_status()
        for window in windows:
            await expect(window.locator("li")).to_have_text(["Hi <b>", "Bye"])

    await asyncio.to_thread(node.terminate)
    await expect(windows[0].get_by_role("status")).to_have_text("reconnecting…")
    await asyncio.to_thread(server, port=node.port)
    # the comments are gone with the memory of the old process
    for window in windows:
        await expect(window.get_by_role("status")).to_have_text("live", timeout=15_000)
        await expect(window.locator("li")).to_have_count(0)


def test_code_of_the_other_sections_compiles(server, project, run):
    node = server()
    tools = project / "node_modules/.bin"
    document = f"{node.url}/openapi.json"
    run(tools / "openapi-typescript", document, "-o", "src/openapi.ts", cwd=project)
    snippets = snippets_of_the_other_sections()
    assert len(snippets) == 7
    for name, code in snippets.items():
        (project / name).write_text(code)

    run(tools / "tsc", cwd=project)


def test_list_that_misreads_an_event_does_not_compile(server, project, run):
    node = server()
    tools = project / "node_modules/.bin"
    document = f"{node.url}/openapi.json"
    run(tools / "openapi-typescript", document, "-o", "src/openapi.ts", cwd=project)
    component = project / "src/Comments.tsx"
    right = component.read_text()
    for good, bad, code in [
        ('case "comment-removed"', 'case "comment-deleted"', "TS2678"),
        ("event.comment.id", "event.comment.uid", "TS2339"),
        ("/discussions/{discussion_id}/events", "/discussion/{discussion_id}/events", "TS2344"),
    ]:
        assert good in right
        component.write_text(right.replace(good, bad))
        done = run(tools / "tsc", cwd=project, check=False)
        number = next(n for n, line in enumerate(right.splitlines(), 1) if good in line)
        assert re.search(rf"src/Comments\.tsx\({number},\d+\): error {code}", done.stdout)
