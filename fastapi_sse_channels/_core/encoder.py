"""The event union of a manager: checked once when it is defined, then used to encode."""

from __future__ import annotations

import math
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypeVar, Union, cast, get_args, get_origin

from pydantic import (
    BaseModel,
    Discriminator,
    PydanticUserError,
    RootModel,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json
from typing_extensions import TypeAliasType, TypeForm

from .._checks import check_choice
from .._errors import ConfigurationError, EventTooLargeError, InvalidEventError
from .wire import event_body, name_problem

T = TypeVar("T")
EventNames = Literal["none", "discriminator"]

_HOW = (
    "declare `Event = Annotated[A | B, Field(discriminator='type')]`, where every member is a "
    "pydantic model with a field such as `type: Literal['a'] = 'a'`"
)


class EventSchema(Generic[T]):
    """A checked union of pydantic models told apart by a literal field.

    Attributes:
        event_type: What the user declared.
        name: The name the union was declared with, if it has one (`type X = …`, `RootModel`).
        discriminator: The field whose literal names an event, as it is called in JSON.
        names: Every event name of the union.
        event_names: Whether events are named on the wire too.
    """

    def __init__(
        self,
        event_type: TypeForm[T],
        *,
        max_event_bytes: int,
        event_names: EventNames = "none",
    ) -> None:
        """Check the declaration.

        Args:
            event_type: A pydantic model, or an annotated union of them.
            max_event_bytes: Largest encoded event, in bytes.
            event_names: Whether events are named on the wire too.

        Raises:
            ConfigurationError: A member cannot be told apart, or has a name that the wire
                does not allow.
        """
        check_choice("event_names", event_names, EventNames)
        self.event_type = event_type
        self.max_event_bytes = max_event_bytes
        self.event_names = event_names
        self._is_named_on_wire = event_names == "discriminator"
        self.name, bare = _unwrap(event_type)
        members, declared = _members(bare)
        discriminator = declared or _common_literal(members)
        self._member_of = _event_names(members, discriminator)
        self.names = tuple(self._member_of)
        self._adapter: TypeAdapter[T] = _adapter(event_type)
        self._encoders = {member: TypeAdapter(member) for member in members}
        fields = {member: _field_of(member, discriminator) for member in members}
        self._attribute = {member: name for member, (name, _) in fields.items()}
        self.discriminator = _name_in_json(*fields[members[0]])
        self._tags = {name: to_json({self.discriminator: name})[1:-1] for name in self.names}

    def validate(self, event: object) -> BaseModel:
        """Return the event as one of the union's models.

        Args:
            event: A model of the union, or a mapping that validates as one.

        Raises:
            InvalidEventError: It is neither.
        """
        if isinstance(event, RootModel):
            event = event.root
        if type(event) in self._encoders:
            return cast("BaseModel", event)
        if not isinstance(event, Mapping):
            expected = " | ".join(member.__name__ for member in self._encoders)
            msg = (
                f"{type(event).__name__} is not an event of this channel; "
                f"publish one of {expected}, or a dict that validates as one"
            )
            raise InvalidEventError(msg)
        try:
            validated: Any = self._adapter.validate_python(event)
        except ValidationError as error:
            raise InvalidEventError(str(error)) from error
        model: BaseModel = validated.root if isinstance(validated, RootModel) else validated
        return model

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
        name = self._name(model)
        try:
            # by alias, as in the OpenAPI document that clients are generated from
            data = self._encoders[member].dump_json(model, by_alias=True, warnings="error")
        except (PydanticSerializationError, ValueError) as error:
            msg = f"{member.__name__} cannot be encoded: {error}"
            raise InvalidEventError(msg) from error
        if self._tags[name] not in data:
            # of a serializer, or of aliases that differ; no client could tell what it is
            msg = (
                f"{member.__name__} cannot be encoded: its JSON lacks "
                f"{self._tags[name].decode()}, by which clients know it"
            )
            raise InvalidEventError(msg)
        # pydantic writes NaN and the infinities as null unless told otherwise. This cheap search
        # of the bytes spares most events the walk through their values.
        if b"null" in data or b"NaN" in data or b"Infinity" in data:
            plain = self._encoders[member].dump_python(model, by_alias=True)
            if path := _non_finite(plain):
                msg = (
                    f"{member.__name__}{path} is not a finite number, which JSON cannot carry; "
                    "use None or a string"
                )
                raise InvalidEventError(msg)
        if len(data) > self.max_event_bytes:
            msg = (
                f"{member.__name__} is {len(data)} bytes long, max_event_bytes is "
                f"{self.max_event_bytes}; publish a reference and let clients fetch the rest, or "
                "raise the limit"
            )
            raise EventTooLargeError(msg)
        return name, data

    def _name(self, model: BaseModel) -> str:
        name = getattr(model, self._attribute[type(model)])
        name = name.value if isinstance(name, Enum) else name
        # pydantic does not check a literal that was assigned to
        if self._member_of.get(name) is not type(model):
            msg = f"{type(model).__name__} cannot be encoded: it is named {name!r}"
            raise InvalidEventError(msg)
        return str(name)

    def body(self, event: object) -> bytes:
        """Validate an event and encode what every session gets of it.

        Raises:
            InvalidEventError: It is not an event of this union.
        """
        name, data = self.encode(event)
        return event_body(data, name if self._is_named_on_wire else None)

    def decode(self, data: bytes) -> T:
        """Return the event that `encode` wrote.

        Raises:
            InvalidEventError: The bytes are not an event of this union.
        """
        try:
            return self._adapter.validate_json(data)
        except ValidationError as error:
            raise InvalidEventError(str(error)) from error


def _adapter(event_type: TypeForm[T]) -> TypeAdapter[T]:
    try:
        return TypeAdapter(event_type)
    except (PydanticUserError, TypeError) as error:
        msg = f"{event_type!r} is not a pydantic union of events ({error}); {_HOW}"
        raise ConfigurationError(msg) from error


def _unwrap(event_type: Any) -> tuple[str | None, Any]:
    """Split a type alias or root model into its name and the union it names."""
    alias_types = tuple(
        alias for alias in (TypeAliasType, getattr(types, "TypeAliasType", None)) if alias
    )
    if isinstance(event_type, alias_types) or hasattr(event_type, "__value__"):
        return event_type.__name__, event_type.__value__
    if isinstance(event_type, type) and issubclass(event_type, RootModel):
        field = event_type.model_fields["root"]
        bare: Any = field.annotation
        if field.discriminator is not None:
            bare = Annotated[bare, field]
        return event_type.__name__, bare
    return None, event_type


def _members(bare: Any) -> tuple[tuple[type[BaseModel], ...], str | None]:
    """List the models of a union, with the discriminator it declares."""
    declared = None
    if get_origin(bare) is Annotated:
        bare, *metadata = get_args(bare)
        for item in metadata:
            found = item.discriminator if isinstance(item, FieldInfo | Discriminator) else None
            if isinstance(found, Discriminator):
                found = found.discriminator
            if found is not None and not isinstance(found, str):
                msg = f"a callable discriminator gives events no name on the wire; {_HOW}"
                raise ConfigurationError(msg)
            declared = found or declared
    return tuple(_flatten(bare)), declared


def _flatten(annotation: Any) -> Iterator[type[BaseModel]]:
    if get_origin(annotation) in {Union, types.UnionType}:
        for argument in get_args(annotation):
            yield from _members(_unwrap(argument)[1])[0]
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif (aliased := _unwrap(annotation)[1]) is not annotation:
        yield from _members(aliased)[0]
    else:
        msg = f"{annotation!r} is not a pydantic model; {_HOW}"
        raise ConfigurationError(msg)


def _common_literal(members: tuple[type[BaseModel], ...]) -> str:
    """Find the one literal field that all members share."""
    shared = [
        name
        for name, field in members[0].model_fields.items()
        if all(name in member.model_fields for member in members)
        and get_origin(field.annotation) is Literal
    ]
    if len(shared) != 1:
        names = ", ".join(member.__name__ for member in members)
        found = f"candidates: {', '.join(shared)}" if shared else "there is none"
        msg = f"{names} need one literal field that names the event ({found}); {_HOW}"
        raise ConfigurationError(msg)
    return shared[0]


def _event_names(
    members: tuple[type[BaseModel], ...], discriminator: str
) -> dict[str, type[BaseModel]]:
    names: dict[str, type[BaseModel]] = {}
    for member in members:
        for name in _literals(member, discriminator):
            if name in names:
                msg = f"{names[name].__name__} and {member.__name__} are both named {name!r}"
                raise ConfigurationError(msg)
            names[name] = member
    return names


def _literals(member: type[BaseModel], discriminator: str) -> Iterator[str]:
    _, field = _field_of(member, discriminator)
    if get_origin(field.annotation) is not Literal:
        msg = (
            f"{member.__name__}.{discriminator} is not a Literal; write "
            f"`{discriminator}: Literal['{_kebab(member.__name__)}'] = '{_kebab(member.__name__)}'`"
        )
        raise ConfigurationError(msg)
    if field.exclude:
        msg = (
            f"{member.__name__}.{discriminator} is excluded from the JSON, in which clients look "
            "for it; take away exclude=True"
        )
        raise ConfigurationError(msg)
    for argument in get_args(field.annotation):
        name = argument.value if isinstance(argument, Enum) else argument
        if not isinstance(name, str):
            msg = f"{member.__name__}.{discriminator} is {name!r}; an event's name is a string"
            raise ConfigurationError(msg)
        if (problem := name_problem(name)) is not None:
            msg = f"{member.__name__} cannot be named {name!r}: it {problem}; choose another name"
            raise ConfigurationError(msg)
        yield name


def _field_of(member: type[BaseModel], discriminator: str) -> tuple[str, FieldInfo]:
    # a discriminator may be given by the name on the wire (alias) or in Python
    for name, field in member.model_fields.items():
        if discriminator in {name, field.alias}:
            return name, field
    msg = (
        f"{member.__name__} has no field {discriminator!r}; write "
        f"`{discriminator}: Literal['{_kebab(member.__name__)}'] = '{_kebab(member.__name__)}'`"
    )
    raise ConfigurationError(msg)


def _name_in_json(name: str, field: FieldInfo) -> str:
    return field.serialization_alias or field.alias or name


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


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
