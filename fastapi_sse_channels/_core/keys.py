"""Makes the key of a channel from the id of its resource.

Each component is percent-encoded before they are joined, so that no two triples share a key and
no key holds a glob character (Mercure's CVE-2026-39972 was a key joined without encoding).
"""

from __future__ import annotations

from typing import Annotated, Any, NewType, get_args, get_origin
from urllib.parse import quote, unquote
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypeForm

from .._errors import ConfigurationError, InvalidResourceIdError

MAX_RESOURCE_ID_LENGTH = 255


class KeySpace:
    """The keys of one manager: `<prefix>:<resource id>:<suffix>`, each part encoded."""

    __slots__ = ("_adapter", "_after", "_before", "name", "resource_id_type")

    def __init__(
        self, prefix: str, suffix: str, resource_id_type: TypeForm[str | int | UUID] = str
    ) -> None:
        """Encode both ends once.

        Raises:
            ConfigurationError: A part is empty, or not encodable as UTF-8, or the type is none of
                resource ids.
        """
        for argument, value in (("key_prefix", prefix), ("key_suffix", suffix)):
            if not value:
                msg = f"{argument} is empty; name what the channels carry, such as 'discussion'"
                raise ConfigurationError(msg)
            if (problem := _not_utf8(value)) is not None:
                msg = f"{argument} {value!r} {problem}"
                raise ConfigurationError(msg)
        self._before = _encode(prefix) + ":"
        self._after = ":" + _encode(suffix)
        self.name = f"{_encode(prefix)}:*:{_encode(suffix)}"
        self.resource_id_type = resource_id_type
        self._adapter = None if resource_id_type is str else _adapter(resource_id_type)

    def key(self, resource_id: str | int | UUID) -> str:
        """Return the key of a resource's channel.

        Ids are compared code point by code point: NFC and NFD forms are two resources.

        Raises:
            InvalidResourceIdError: The id cannot name a channel.
        """
        return self.key_of(self.canonical(resource_id))

    def key_of(self, text: str) -> str:
        """Return the key for an id that `canonical` returned."""
        return self._before + _encode(text) + self._after

    def canonical(self, resource_id: str | int | UUID) -> str:
        """Return an id as text, in the one spelling that its type has.

        Raises:
            InvalidResourceIdError: See `checked_resource_id`; or it is not of the declared type.
        """
        if self._adapter is not None:
            try:
                resource_id = self._adapter.validate_python(resource_id)
            except ValidationError as error:
                msg = f"{resource_id!r} is no id of the manager's resource_id_type: {error}"
                raise InvalidResourceIdError(msg) from error
        return checked_resource_id(resource_id)

    def resource_id(self, key: str) -> str:
        """Return the resource whose channel has a key of this space."""
        return unquote(key[len(self._before) : -len(self._after)])


def checked_resource_id(resource_id: str | int | UUID) -> str:
    """Return the id as text.

    Raises:
        InvalidResourceIdError: It has another type, is empty, is longer than 255 characters, or
            is not encodable as UTF-8.
    """
    # str() would take anything, such as the None of a row that is not stored yet
    if not isinstance(resource_id, str | int | UUID):
        msg = (
            f"{resource_id!r} is not a resource id; pass the str, int or UUID that names the "
            "resource in the stream's path"
        )
        raise InvalidResourceIdError(msg)
    text = resource_id if isinstance(resource_id, str) else str(resource_id)
    if not text:
        msg = "the resource id is empty; pass the id of the resource whose channel is meant"
        raise InvalidResourceIdError(msg)
    if len(text) > MAX_RESOURCE_ID_LENGTH:
        msg = (
            f"the resource id has {len(text)} characters, {MAX_RESOURCE_ID_LENGTH} are allowed; "
            "use a digest of it"
        )
        raise InvalidResourceIdError(msg)
    if (problem := _not_utf8(text)) is not None:
        msg = f"the resource id {text!r} {problem}"
        raise InvalidResourceIdError(msg)
    return text


def _adapter(resource_id_type: Any) -> TypeAdapter[str | int | UUID]:
    bare = resource_id_type
    while not isinstance(bare, type):
        if get_origin(bare) is Annotated:
            bare = get_args(bare)[0]
        elif isinstance(bare, NewType):
            bare = bare.__supertype__
        else:
            break
    if not isinstance(bare, type) or not issubclass(bare, str | int | UUID):
        msg = (
            f"resource_id_type={resource_id_type!r} is no type of resource ids; use str, int or "
            "UUID, or Annotated[…] of one of them"
        )
        raise ConfigurationError(msg)
    return TypeAdapter(resource_id_type)


def _encode(component: str) -> str:
    return quote(component, safe="")


def _not_utf8(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate, which UTF-8 cannot carry; decode the input strictly"
    return None
