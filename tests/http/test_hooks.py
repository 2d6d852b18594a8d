"""Hooks: which callables are taken, and what is said of the others."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, Header, Request, Security
from typing_extensions import TypeAliasType

from fastapi_sse_channels import ConfigurationError
from fastapi_sse_channels._http.hooks import check_hook

if TYPE_CHECKING:
    from fastapi_sse_channels import Session


def user() -> str:
    return "ann"


User = Annotated[str, Depends(user)]
NamedUser = TypeAliasType("NamedUser", User)
NOTHING: Any = None


def by_default(session: Session[Any], who: str = Depends(user)) -> None: ...
def by_security(session: Session[Any], who: str = Security(user)) -> None: ...
def by_header(session: Session[Any], who: str = Header()) -> None: ...
def by_annotation(session: Session[Any], who: User) -> None: ...
def by_annotation_and_default(session: Session[Any], who: User = "nobody") -> None: ...
def by_keyword(session: Session[Any], *, who: NamedUser = "nobody") -> None: ...
def by_type(session: Session[Any], tasks: BackgroundTasks = NOTHING) -> None: ...
def instead_of_the_session(request: Request) -> None: ...


class Called:
    def __call__(self, session: Session[Any], who: User = "nobody") -> None: ...


@pytest.mark.parametrize("hook", [[].append, print, lambda session, more=1: (session, more)])
def test_hook_check_allows_whatever_takes_a_session(hook):
    check_hook("on_connect", hook)


def test_hook_check_says_how_hooks_are_called():
    async def with_a_dependency(session, note_id):
        pass

    async def yielding(session):
        yield

    hooks: tuple[Any, ...] = (with_a_dependency, lambda: None, yielding)
    for hook in hooks:
        with pytest.raises(ConfigurationError, match="on_connect is called with the session"):
            check_hook("on_connect", hook)


@pytest.mark.parametrize(
    "hook",
    [
        by_default,
        by_security,
        by_header,
        by_annotation,
        by_annotation_and_default,
        by_keyword,
        by_type,
        instead_of_the_session,
        Called(),
        Called().__call__,
        functools.partial(by_annotation_and_default),
    ],
)
def test_hook_check_refuses_dependencies_in_each_spelling(hook):
    with pytest.raises(
        ConfigurationError, match=r"declares one: \w+\. Declare it in an async channel="
    ):
        check_hook("on_connect", hook)
