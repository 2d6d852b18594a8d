"""The npm package's own suite and its types, run with everything else."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

CLIENT = Path(__file__).parents[2] / "client"


@pytest.fixture(scope="module", autouse=True)
def installed(npm_install) -> None:
    npm_install(CLIENT)


def test_suite_of_the_package_passes_whole(run, really_ran, tmp_path):
    written = tmp_path / "report.json"
    vitest = json.loads((CLIENT / "node_modules/vitest/package.json").read_text())["version"]

    run(
        "npm",
        "test",
        "--",
        "--reporter=default",
        "--reporter=json",
        f"--outputFile.json={written}",
        cwd=CLIENT,
    )

    report = json.loads(written.read_text())
    really_ran(f"vitest {vitest}: {report['numPassedTests']} tests of client/")
    assert report["numPassedTests"] == report["numTotalTests"] > 0
    assert report["success"]


def test_sources_and_tests_of_the_package_compile(run):
    assert "error" not in run("npm", "run", "typecheck", cwd=CLIENT).stdout


def test_package_has_the_version_of_the_python_package():
    manifest = json.loads((CLIENT / "package.json").read_text())
    project = tomllib.loads((CLIENT.parent / "pyproject.toml").read_text())["project"]

    assert manifest["version"] == project["version"]
