"""Events as bytes: encoded once, when they are published, and decoded by each reader."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, RootModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from .._checks import check_choice
from .._errors import EventTooLargeError, InvalidEventError
from .missing import fields_in_json, has_rows, missing_field
from .union import EventUnion
from .wire import event_body

T = TypeVar("T")
EventNames = Literal["none", "discriminator"]


class Encoder:
    """Encodes the events of one union."""

    def __init__(
        self, union: EventUnion[Any], *, max_event_bytes: int, event_names: EventNames = "none"
    ) -> None:
        """Prepare what every event needs.

        Args:
            union: The events.
            max_event_bytes: Largest encoded event, in bytes.
            event_names: Whether events are named on the wire too.

        Raises:
            ConfigurationError: `event_names` is not known.
        """
        check_choice("event_names", event_names, EventNames)
        self._union = union
        self._max_event_bytes = max_event_bytes
        self._is_named_on_wire = event_names == "discriminator"
        self._adapters = {member: TypeAdapter(member) for member in union.members}
        # the fastest way to learn whether all fields are there; a discriminator is one at least
        self._fields = {member: itemgetter(*fields_in_json(member)) for member in union.members}
        self._holds_rows: dict[type[BaseModel], bool] = {}
        self._tags = {name: to_json({union.discriminator: name})[1:-1] for name in union.names}

    def validate(self, event: object) -> BaseModel:
        """Return the event as one of the union's models.

        Args:
            event: A model of the union, or a mapping that validates as one.

        Raises:
            InvalidEventError: It is neither.
        """
        if type(event) in self._adapters:
            return cast("BaseModel", event)
        if isinstance(event, Mapping):
            try:
                event = self._union.adapter.validate_python(event)
            except ValidationError as error:
                raise InvalidEventError(str(error)) from error
        while isinstance(event, RootModel):
            event = event.root
        if type(event) in self._adapters:
            return cast("BaseModel", event)
        raise self._refusal(type(event))

    def _refusal(self, found: type) -> InvalidEventError:
        for member in self._adapters:
            if member.__qualname__ == found.__qualname__:
                msg = (
                    f"{found.__name__} of the module {found.__module__} is not the "
                    f"{member.__name__} of this channel, which is that of {member.__module__}; if "
                    "both are one file, it was imported twice: import it under one name everywhere"
                )
                return InvalidEventError(msg)
        expected = " | ".join(member.__name__ for member in self._adapters)
        msg = (
            f"{found.__name__} is not an event of this channel; "
            f"publish one of {expected}, or a dict that validates as one"
        )
        return InvalidEventError(msg)

    def encode(self, event: object) -> tuple[str, bytes]:
        """Validate an event and encode it.

        Returns:
            Its name, and one line of compact JSON.

        Raises:
            InvalidEventError: It is not an event of this union, or JSON cannot carry it
                unchanged.
            EventTooLargeError: It is longer than `max_event_bytes`.
        """
        model = self.validate(event)
        member = type(model)
        name = self._union.name_of(model)
        try:
            self._fields[member](model.__dict__)
        except KeyError:
            raise _incomplete(model) from None
        try:
            # the OpenAPI document, from which clients are generated, has the aliases too
            data = self._adapters[member].dump_json(model, by_alias=True, warnings="error")
        except (PydanticSerializationError, ValueError) as error:
            msg = f"{member.__name__} cannot be encoded: {error}"
            if "UnexpectedValue" in msg:
                # it names the field, but not how the value came there
                msg += (
                    "\npydantic checks neither defaults nor assigned values unless told to: write "
                    "them in the type that the field declares, or add `model_config = "
                    "ConfigDict(validate_default=True, validate_assignment=True)` to its model"
                )
            raise InvalidEventError(msg) from error
        holds_rows = self._holds_rows.get(member)
        if holds_rows is None:
            # not before: what the event refers to may be defined after it
            holds_rows = self._holds_rows[member] = has_rows(self._adapters[member].core_schema)
        if holds_rows and missing_field(model) is not None:
            raise _incomplete(model)
        if self._tags[name] not in data:
            # a custom serializer or mismatched aliases removed the discriminator
            msg = (
                f"{member.__name__} cannot be encoded: its JSON lacks "
                f"{self._tags[name].decode()}, by which clients know it"
            )
            raise InvalidEventError(msg)
        # pydantic writes NaN and the infinities as null unless told otherwise. This cheap search
        # of the bytes spares most events the walk through their values.
        if b"null" in data or b"NaN" in data or b"Infinity" in data:
            plain = self._adapters[member].dump_python(model, by_alias=True)
            if path := _non_finite(plain):
                msg = (
                    f"{member.__name__}{path} is not a finite number, which JSON cannot carry; "
                    "use None or a string"
                )
                raise InvalidEventError(msg)
        if len(data) > self._max_event_bytes:
            msg = (
                f"{member.__name__} is {len(data)} bytes long, max_event_bytes is "
                f"{self._max_event_bytes}; publish a reference and let clients fetch the rest, or "
                "raise the limit"
            )
            raise EventTooLargeError(msg)
        return name, data

    def body(self, event: object) -> bytes:
        """Validate an event and encode what every session gets of it.

        Raises:
            InvalidEventError: It is not an event of this union.
        """
        name, data = self.encode(event)
        return event_body(data, name if self._is_named_on_wire else None)


def decode(union: EventUnion[T], data: bytes) -> T:
    """Return the event that `Encoder.encode` wrote.

    Raises:
        InvalidEventError: The bytes are not an event of this union.
    """
    try:
        return union.adapter.validate_json(data)
    except ValidationError as error:
        raise InvalidEventError(str(error)) from error


def _incomplete(model: BaseModel) -> InvalidEventError:
    msg = (
        f"{type(model).__name__}{missing_field(model)} has no value; after a commit, refresh the "
        "rows of a database, or make their session with expire_on_commit=False"
    )
    return InvalidEventError(msg)


def _non_finite(value: Any, path: str = "") -> str:
    """Return the path of the first NaN or infinity inside what pydantic dumped."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else path
    children: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        children = ((f".{name}", child) for name, child in value.items())
    elif isinstance(value, list | tuple | set | frozenset | deque):
        children = ((f"[{index}]", child) for index, child in enumerate(value))
    return next((found for at, child in children if (found := _non_finite(child, path + at))), "")
