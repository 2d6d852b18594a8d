"""The client is an extra: importing it costs little, and its absence is explained."""

from __future__ import annotations

import fastapi_sse_channels.client
from fastapi_sse_channels import SSEChannelsError


def test_importing_the_package_never_imports_httpx(run_python):
    modules = run_python("import sys, fastapi_sse_channels; print(*sys.modules)").split()

    assert "fastapi_sse_channels" in modules
    assert not {name for name in modules if name.split(".")[0] in {"httpx", "httpx2"}}


def test_importing_the_client_never_imports_redis(run_python):
    modules = run_python("import sys, fastapi_sse_channels.client; print(*sys.modules)").split()

    assert "httpx" in modules
    assert "redis" not in modules


def test_missing_httpx_says_what_to_install(run_python):
    code = """
import sys
sys.modules["httpx"] = None
try:
    import fastapi_sse_channels.client
except ModuleNotFoundError as error:
    print(error)
"""

    message = "the client needs httpx: pip install 'fastapi-sse-channels[client]'\n"
    assert run_python(code) == message


def test_exported_names_are_sorted_and_documented():
    names = fastapi_sse_channels.client.__all__

    assert names == sorted(names, key=lambda name: (name.islower(), name))
    for name in names:
        exported = getattr(fastapi_sse_channels.client, name)
        if isinstance(exported, type):
            assert exported.__doc__
        if isinstance(exported, type) and issubclass(exported, Exception):
            assert name.endswith("Error")
            assert issubclass(exported, SSEChannelsError)
