"""A user starts the example on three nodes behind one Redis."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from playwright.async_api import expect

ROOT = Path(__file__).parent.parent.parent
PAGE = "discussions/welcome"


class Cluster:
    def __init__(self, process, log_path):
        self.process = process
        self.log_path = log_path

    @property
    def log(self):
        return self.log_path.read_text()

    @property
    def nodes(self):
        """Address and process of each node; the newest process where one was started again."""
        found = re.findall(r"Node (\w)  (http://\S+)  process (\d+)", self.log)
        return {name: (url, int(process)) for name, url, process in found}


@pytest.fixture
def cluster(tmp_path, unused_ports, processes):
    log_path = tmp_path / "cluster.log"
    [port] = unused_ports(1)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            # the tests' own interpreter has everything installed
            [
                "make",
                "--no-print-directory",
                "-o",
                ".venv/.demo",
                f"BIN={Path(sys.executable).parent}",
                "demo-cluster",
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "PORT": str(port),
                "RESTART_AFTER": "2",
                "DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/example.db",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Cluster(process, log_path)
    deadline = time.monotonic() + 60
    while "Open two of them" not in started.log:
        assert process.poll() is None, started.log
        assert time.monotonic() < deadline, started.log
        time.sleep(0.05)  # polling a process that cannot tell us
    yield started
    # Ctrl+C sends this signal
    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=20)
    assert "\nStopped\n" in started.log
    assert "Traceback" not in started.log
    processes = re.findall(r"process (\d+)", started.log)
    assert len(processes) >= 4
    assert [pid for pid in processes if Path(f"/proc/{pid}").exists()] == []


async def window_of(open_page, url):
    window = await open_page(f"{url}/{PAGE}")
    await expect(window.locator("#connection")).to_have_text("live")
    return window


async def comment(window, text):
    await window.locator("#text").fill(text)
    await window.get_by_role("button", name="Post").click()


def shown(window):
    return window.locator(".comment .text")


async def test_comment_posted_on_any_node_is_seen_on_all(cluster, open_page):
    windows = [await window_of(open_page, url) for url, _ in cluster.nodes.values()]
    for name, window in zip(cluster.nodes, windows, strict=True):
        await expect(window.locator("#node")).to_contain_text(f"Served by {name}, process")
        await expect(window.locator("#viewers")).to_have_text("3 users viewing")
    for name, window in zip(cluster.nodes, windows, strict=True):
        await comment(window, f"from {name}")
        await expect(shown(windows[0]).first).to_have_text(f"from {name}")

    for window in windows:
        await expect(shown(window)).to_have_text(["from C", "from B", "from A"])


async def test_window_of_a_killed_node_goes_on_with_nothing_missing(cluster, open_page, eventually):
    (first_url, first_process), (second_url, _), _ = cluster.nodes.values()
    window, killer = await window_of(open_page, first_url), await window_of(open_page, second_url)
    await comment(window, "before")
    await expect(shown(killer)).to_have_text(["before"])
    await window.locator(".comment").evaluate("comment => { comment.dataset.marked = '' }")

    await killer.get_by_role("button", name="Kill node A").click()
    await eventually(lambda: not Path(f"/proc/{first_process}").exists())
    posting = [post(second_url, f"meanwhile {number}") for number in range(3)]
    await asyncio.gather(*posting)

    await expect(window.locator("#moved")).to_have_text(
        "Node A went away. Went on at node B: nothing was missed."
    )
    await expect(window.locator("#node")).to_contain_text("Served by B, process")
    await expect(shown(window)).to_have_count(4)
    # the window whose node is gone posts this comment
    await comment(window, "after")
    for each in (window, killer):
        await expect(shown(each)).to_have_count(5)
        await expect(shown(each).first).to_have_text("after")
        await expect(shown(each).last).to_have_text("before")
        # viewers of a killed node count until its lease runs out
        await expect(each.locator("#viewers")).to_have_text("2 users viewing", timeout=15_000)
    # the page continued the list, and did not load it again
    await expect(window.locator(".comment[data-marked] .text")).to_have_text("before")


async def test_killed_node_comes_back(cluster, open_page, eventually):
    window = await window_of(open_page, cluster.nodes["B"][0])
    button = window.get_by_role("button", name="Kill node C")
    killed = cluster.nodes["C"]
    await button.click()
    await expect(button).to_be_disabled()
    await expect(button).to_be_focused()
    current = window.locator("#nodes [aria-current=true]")
    await expect(current).to_contain_text("Node B")
    await expect(button).to_be_enabled(timeout=20_000)

    assert "Node C is gone. It comes back in 2 seconds" in cluster.log
    await eventually(lambda: cluster.nodes["C"] != killed)
    assert cluster.nodes["C"][0] == killed[0]


async def post(url, text):
    async with httpx2.AsyncClient() as client:
        response = await client.post(
            f"{url}/{PAGE}/comments", json={"author": "Otter", "text": text}, timeout=10
        )
    assert response.status_code == 201


@pytest.mark.processes
def test_missing_redis_is_named(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "example_app.cluster"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "redis-server is needed: apt-get install redis-server, or set REDIS_URL\n"


@pytest.mark.processes
def test_example_without_redis_url_needs_no_redis():
    code = "import sys, example_app.main; print(*sys.modules)"
    env = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )

    assert [name for name in done.stdout.split() if name.split(".")[0] == "redis"] == []


def test_single_node_can_neither_be_killed_nor_reached_from_elsewhere(serve, tmp_path):
    server = serve(
        "example_app.main:app", env={"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/example.db"}
    )
    origin = {"Origin": "http://127.0.0.1:1"}

    assert httpx2.post(f"{server.url}/node/kill").status_code == 404
    response = httpx2.get(f"{server.url}/node", headers=origin)
    assert response.json()["nodes"] == {}
    assert "access-control-allow-origin" not in response.headers
