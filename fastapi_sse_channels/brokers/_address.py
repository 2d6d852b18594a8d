"""Addresses of servers, as they may be shown."""

from __future__ import annotations


def without_password(url: str) -> str:
    """Return an address as it may be shown: without user, password and options."""
    scheme, separator, rest = url.partition("//") if "//" in url else ("", "", url)
    _, has_user, server = rest.partition("?")[0].rpartition("@")
    # an "@" among the options, or after a "?" that a password holds: either may be part of one
    is_unclear = "@" in rest and not has_user
    return scheme + separator + ("" if is_unclear else server)
