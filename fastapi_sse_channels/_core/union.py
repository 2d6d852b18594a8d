"""Reads a union of events: its models, the field that tells them apart, and their names."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, PydanticUserError, RootModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType, TypeForm

from .._errors import ConfigurationError, InvalidEventError
from .wire import name_problem

T = TypeVar("T")

_ALIASES = tuple({TypeAliasType, getattr(typing, "TypeAliasType", TypeAliasType)})
_UNIONS = {Union, types.UnionType}
_HOW = (
    "declare `Event = Annotated[A | B, Field(discriminator='type')]`, where every member is a "
    "pydantic model with a field such as `type: Literal['a'] = 'a'`"
)


class EventUnion(Generic[T]):
    """A checked union of pydantic models told apart by a literal field.

    Attributes:
        event_type: What the user declared.
        name: The name the union was declared with, if it has one (`type X = …`, `RootModel`).
        members: The models.
        discriminator: The field whose literal names an event, as it is called in JSON.
        names: Every event name of the union.
    """

    def __init__(self, event_type: TypeForm[T]) -> None:
        """Check the declaration.

        Args:
            event_type: A pydantic model, or an annotated union of them.

        Raises:
            ConfigurationError: A member cannot be told apart, or has a name that the wire
                does not allow.
        """
        self.event_type = event_type
        self.name, _ = _unwrap(event_type)
        self.members, declared = _read(event_type)
        discriminator = declared or _common_literal(self.members)
        self._member_of = _event_names(self.members, discriminator)
        self.names = tuple(self._member_of)
        self._adapter: TypeAdapter[T] = _adapter(event_type)
        fields = {member: _field_of(member, discriminator) for member in self.members}
        self._attribute = {member: name for member, (name, _) in fields.items()}
        self.discriminator = _name_in_json(*fields[self.members[0]])

    @cached_property
    def adapter(self) -> TypeAdapter[T]:
        """Validates any of its events.

        Raises:
            ConfigurationError: See `check_defined`.
        """
        self.check_defined()
        return self._adapter

    def check_defined(self) -> None:
        """Refuse models that refer to what is still not defined, which a declaration allows.

        Raises:
            ConfigurationError: Names the model and what it lacks.
        """
        for member in self.members:
            try:
                # what they refer to is in their module, not in this one
                member.model_rebuild(_types_namespace={})
            except PydanticUndefinedAnnotation as error:
                msg = (
                    f"{member.__name__}, or a model that it holds, refers to {error.name!r}, which "
                    f"is not defined; define or import it in {member.__module__}, at run time too "
                    "(not under TYPE_CHECKING)"
                )
                raise ConfigurationError(msg) from error
            except (PydanticUserError, TypeError) as error:
                raise _refusal(member, error) from error
        try:
            self._adapter.rebuild(_types_namespace={})
        except (PydanticUserError, TypeError) as error:
            raise _refusal(self.event_type, error) from error

    def name_of(self, event: BaseModel) -> str:
        """Return the name of an event.

        Args:
            event: One of the union's models.

        Raises:
            InvalidEventError: The event was given a name that its model does not have.
        """
        member = type(event)
        try:
            name = getattr(event, self._attribute[member])
        except Exception as error:  # the row of a database, which loads it now
            msg = (
                f"{member.__name__} cannot be encoded: its {self.discriminator!r} cannot be read "
                f"({error}); refresh the row before it is published"
            )
            raise InvalidEventError(msg) from error
        name = name.value if isinstance(name, Enum) else name
        # pydantic does not check what is assigned to a literal field
        if not isinstance(name, str) or self._member_of.get(name) is not member:
            msg = f"{member.__name__} cannot be encoded: it is named {name!r}"
            raise InvalidEventError(msg)
        return name


def _adapter(event_type: TypeForm[T]) -> TypeAdapter[T]:
    try:
        return TypeAdapter(event_type)
    except (PydanticUserError, TypeError) as error:
        raise _refusal(event_type, error) from error


def _refusal(event_type: object, error: Exception) -> ConfigurationError:
    msg = f"{event_type!r} is not a pydantic union of events ({error}); {_HOW}"
    return ConfigurationError(msg)


def _unwrap(annotation: Any) -> tuple[str | None, Any]:
    """Split a type alias, new type or root model into the name it gives and what it stands for."""
    origin = get_origin(annotation)
    alias = annotation if origin is None else origin
    if isinstance(alias, _ALIASES):
        given = dict(zip(alias.__parameters__, get_args(annotation), strict=False))
        shown = [one.__name__ if isinstance(one, type) else repr(one) for one in given.values()]
        name = f"{alias.__name__}[{', '.join(shown)}]" if shown else alias.__name__
        return name, _filled_in(alias.__value__, given)
    if isinstance(annotation, NewType):
        return None, annotation.__supertype__
    if isinstance(annotation, type) and issubclass(annotation, RootModel):
        field = annotation.model_fields["root"]
        bare: Any = field.annotation
        if field.discriminator is not None:
            bare = Annotated[bare, field]
        return annotation.__name__, bare
    return None, annotation


def _filled_in(annotation: Any, given: Mapping[Any, Any]) -> Any:
    """Replace the type parameters of an alias, in the models of a union too, as pydantic does."""
    if isinstance(annotation, TypeVar):
        return given.get(annotation, annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        bare, *metadata = get_args(annotation)
        return Annotated[_filled_in(bare, given), *metadata]
    if origin in _UNIONS:
        return Union[tuple(_filled_in(argument, given) for argument in get_args(annotation))]  # noqa: UP007  # of any number
    parameters = _parameters(annotation)
    if not parameters:
        return annotation
    return annotation[tuple(given.get(parameter, parameter) for parameter in parameters)]


def _parameters(annotation: Any) -> tuple[Any, ...]:
    """List the type parameters that are still open."""
    parameters: tuple[Any, ...] = ()
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        parameters = annotation.__pydantic_generic_metadata__["parameters"]
    elif get_origin(annotation) is not None:
        parameters = annotation.__parameters__
    return parameters


def _read(annotation: Any) -> tuple[tuple[type[BaseModel], ...], str | None]:
    """List the models of a union, with the discriminator it declares."""
    if (bare := _unwrap(annotation)[1]) is not annotation:
        return _read(bare)
    if get_origin(annotation) is Annotated:
        bare, *metadata = get_args(annotation)
        members, inner = _read(bare)
        declared = [found for item in metadata if (found := _declared(item)) is not None]
        return members, declared[-1] if declared else inner
    if get_origin(annotation) in _UNIONS:
        parts = [_read(argument) for argument in get_args(annotation)]
        common = {declared for _, declared in parts if declared is not None}
        members = tuple(dict.fromkeys(member for members, _ in parts for member in members))
        return members, common.pop() if len(common) == 1 else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,), None
    msg = f"{annotation!r} is not a pydantic model; {_HOW}"
    raise ConfigurationError(msg)


def _declared(metadata: object) -> str | None:
    """Return the discriminator that an annotation declares."""
    found = metadata.discriminator if isinstance(metadata, FieldInfo | Discriminator) else None
    if isinstance(found, Discriminator):
        found = found.discriminator
    if found is None or isinstance(found, str):
        return found
    msg = f"a callable discriminator gives events no name on the wire; {_HOW}"
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
                msg = (
                    f"{names[name].__name__} and {member.__name__} are both named {name!r}; each "
                    "model needs a name of its own, such as "
                    f"`{discriminator}: Literal['{_kebab(member.__name__)}']`, in nested unions too"
                )
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
    # users declare a discriminator by its Python name or by its alias
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
