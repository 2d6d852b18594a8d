"""The package exports public names, and an import loads no extra."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

import fastapi_sse_channels
from fastapi_sse_channels import Channel, ChannelManager, Publisher, Session, Subscription
from tests.docs.documents import DOCUMENTS, ROOT


class Note(BaseModel):
    type: Literal["note"] = "note"


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_exported_names_are_sorted_and_exist():
    names = fastapi_sse_channels.__all__

    assert names == sorted(names)
    assert all(hasattr(fastapi_sse_channels, name) for name in names)


def test_every_error_is_exported_says_error_and_has_one_base():
    errors = [
        value
        for name, value in vars(fastapi_sse_channels).items()
        if isinstance(value, type) and issubclass(value, Exception) and not name.startswith("_")
    ]

    assert errors
    for error in errors:
        assert error.__name__ in fastapi_sse_channels.__all__
        assert error.__name__.endswith("Error")
        assert issubclass(error, fastapi_sse_channels.SSEChannelsError)
        assert error.__doc__


def test_every_extra_that_is_recommended_exists():
    texts = [path.read_text() for path in (ROOT / "fastapi_sse_channels").rglob("*.py")]
    recommended = {
        extra
        for text in (*texts, *DOCUMENTS.values())
        for extra in re.findall(r"fastapi-sse-channels\[(\w+)\]", text)
    }

    assert recommended == PROJECT["optional-dependencies"].keys()


def test_installed_version_is_that_of_the_project():
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())[
        "project"
    ]

    assert importlib.metadata.version(project["name"]) == project["version"]


def test_importing_the_package_never_imports_redis(run_python):
    imports = "import sys, fastapi_sse_channels, fastapi_sse_channels.brokers"

    modules = run_python(f"{imports}; print(*sys.modules)").split()

    assert "fastapi_sse_channels" in modules
    assert not {name for name in modules if name.split(".")[0] == "redis"}


def test_every_public_object_names_itself_without_failing():
    for name in fastapi_sse_channels.__all__:
        assert name in repr(getattr(fastapi_sse_channels, name))


def test_public_objects_show_public_names_alone():
    shown = {
        shown_to_users: {name for name in dir(shown_to_users) if not name.startswith("_")}
        for shown_to_users in (ChannelManager, Channel, Publisher, Session, Subscription)
    }

    # instances have these attributes besides
    assert shown[Session] == {"channel", "close", "id", "last_event_id", "resumed"}
    assert shown[Subscription] == {"last_event_id"}
    assert shown[Publisher] == {"publish", "publish_sync"}
    assert shown[Channel] == {
        "close",
        "publish",
        "resource_id",
        "session_count",
        "sessions",
        "subscribe",
    }
    assert shown[ChannelManager] == {
        "broker",
        "channel",
        "channel_for",
        "cleanup_if_empty",
        "drain",
        "publish",
        "publish_sync",
        "publisher",
        "session_count",
        "sessions",
        "start",
        "stop",
        "subscribe",
        "sync_publisher",
        "total_session_count",
    }


def test_instances_show_what_their_class_shows():
    manager = ChannelManager(Note, key_prefix="exports")
    channel = manager.channel("1")

    for instance in (manager, channel):
        assert {name for name in dir(instance) if not name.startswith("_")} == {
            name for name in dir(type(instance)) if not name.startswith("_")
        }
