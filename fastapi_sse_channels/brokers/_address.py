"""Server addresses without their secrets."""

from __future__ import annotations


def without_password(url: str) -> str:
    """Return an address that is safe to show: without user, password and options."""
    scheme, separator, rest = url.partition("//") if "//" in url else ("", "", url)
    _, has_user, server = rest.partition("?")[0].rpartition("@")
    # the "@" may stand in an option, or the password holds a "?": show nothing rather than a part
    is_unclear = "@" in rest and not has_user
    return scheme + separator + ("" if is_unclear else server)
