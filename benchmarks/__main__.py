"""One command for the whole benchmark: `make bench`, with `ARGS` for parts of it.

Runs on the standard library alone until its own environment stands.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".venv"


def ensure_environment() -> None:
    """Go on inside an environment of the benchmark's own."""
    if Path(sys.prefix) == ENVIRONMENT:
        return
    python = ENVIRONMENT / "bin/python"
    project = HERE.parent / "pyproject.toml"
    ready = ENVIRONMENT / ".ready"
    if not ready.exists() or ready.stat().st_mtime < project.stat().st_mtime:
        print("installing into benchmarks/.venv", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True)
        what = ["-e", f"{HERE.parent}[redis]", "--group", f"{project}:bench"]
        subprocess.run([*pip, *what], check=True, cwd=HERE.parent)
        ready.touch()
    os.chdir(HERE.parent)
    os.execv(python, [str(python), "-m", "benchmarks", *sys.argv[1:]])


if __name__ == "__main__":
    ensure_environment()
    from .cli import main

    sys.exit(main())
