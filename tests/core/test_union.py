"""Unions of events that work, and what the errors say about those that do not."""

from __future__ import annotations

import sys
from enum import Enum
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, NewType, Union

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, Tag, alias_generators
from typing_extensions import TypeAliasType, TypeVar

from fastapi_sse_channels import ConfigurationError, InvalidEventError
from fastapi_sse_channels._core.union import EventUnion


class Added(BaseModel):
    type: Literal["added"] = "added"


class Removed(BaseModel):
    type: Literal["removed", "purged"] = "removed"


Event = Annotated[Added | Removed, Field(discriminator="type")]
NamedEvent = TypeAliasType("NamedEvent", Event)
Bare = TypeAliasType("Bare", Added | Removed)


T = TypeVar("T")


class User(BaseModel):
    name: str


class Created(BaseModel, Generic[T]):
    type: Literal["created"] = "created"
    item: T


class Updated(BaseModel, Generic[T]):
    type: Literal["updated"] = "updated"
    item: T


TOLD_APART = Field(discriminator="type")
Crud = TypeAliasType("Crud", Annotated[Created[T] | Updated[T], TOLD_APART], type_params=(T,))
Users = TypeAliasType("Users", Crud[User])
More = TypeAliasType("More", Annotated[Crud[T] | Added, TOLD_APART], type_params=(T,))
Wrapped = TypeAliasType("Wrapped", Annotated[T, "wrapped"], type_params=(T,))


class Versioned(BaseModel):
    type: Literal["versioned"] = "versioned"
    version: Literal["2"] = "2"


Inner = TypeAliasType("Inner", Annotated[Versioned, TOLD_APART])


def union_of(event_type: Any) -> EventUnion[Any]:
    return EventUnion(event_type)


def _in_field(found: Any) -> Any:
    return Field(discriminator=found)


class TestDefinition:
    def test_union_knows_its_members_and_names(self):
        union = union_of(Event)

        assert union.members == (Added, Removed)
        assert union.discriminator == "type"
        assert union.names == ("added", "removed", "purged")
        assert union.name is None

    def test_union_finds_the_common_literal_as_discriminator(self):
        assert union_of(Added | Removed).discriminator == "type"

    def test_single_model_is_a_union_of_one(self):
        assert union_of(Added).names == ("added",)

    def test_type_alias_names_the_union(self):
        assert union_of(NamedEvent).name == "NamedEvent"
        assert union_of(NamedEvent).names == ("added", "removed", "purged")

    def test_union_sees_through_aliases_in_annotations(self):
        assert union_of(Annotated[Bare, Field(discriminator="type")]).names == (
            "added",
            "removed",
            "purged",
        )

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
    def test_type_statement_names_the_union(self):
        namespace = {"Event": Event}
        exec("type DiscussionEvent = Event", namespace)  # noqa: S102  # else no Python 3.11 parses it

        assert union_of(namespace["DiscussionEvent"]).name == "DiscussionEvent"

    def test_root_model_names_the_union(self):
        class DiscussionEvent(RootModel[Added | Removed]):
            root: Added | Removed = Field(discriminator="type")

        assert union_of(DiscussionEvent).name == "DiscussionEvent"
        assert union_of(DiscussionEvent).names == ("added", "removed", "purged")

    def test_union_flattens_nested_unions(self):
        class Moved(BaseModel):
            type: Literal["moved"] = "moved"

        nested = Annotated[Event | Moved, Field(discriminator="type")]

        assert union_of(nested).names == ("added", "removed", "purged", "moved")

    @pytest.mark.parametrize(
        "event_type",
        [
            Crud[User],
            Wrapped[Crud[User]],
            Users,
            More[User],
            Annotated[Crud[User], "no discriminator"],
            RootModel[Crud[User]],
            Annotated[RootModel[Crud[User]] | Added, TOLD_APART],
            Annotated[Created[User] | Updated[list[User]] | Added, TOLD_APART],
            NewType("NewEvent", Created[User]),
        ],
        ids=repr,
    )
    def test_union_of_generic_models_reads_what_pydantic_validates(self, event_type):
        union = union_of(event_type)

        event: Any = union.adapter.validate_python({"type": "created", "item": {"name": "Ann"}})
        while isinstance(event, RootModel):
            event = event.root
        assert type(event) is Created[User]
        assert type(event) in union.members
        assert union.name_of(event) == "created"

    def test_alias_without_its_parameters_is_a_union_of_models_that_hold_anything(self):
        assert union_of(Crud).members == (Created, Updated)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
    def test_type_statement_with_parameters_is_read_with_what_they_are_given(self):
        namespace: dict[str, Any] = {"Created": Created, "Updated": Updated}
        exec("type Crud[T] = Created[T] | Updated[list[T]]", namespace)  # noqa: S102  # as above

        assert union_of(namespace["Crud"][User]).members == (Created[User], Updated[list[User]])

    def test_discriminator_of_an_inner_union_holds_for_an_outer_one_that_declares_none(self):
        assert union_of(Inner | Versioned).discriminator == "type"
        assert union_of(Annotated[Inner, "no discriminator"]).discriminator == "type"

    def test_enum_literals_name_events(self):
        class Kind(Enum):
            A = "a"

        class A(BaseModel):
            kind: Literal[Kind.A] = Kind.A

        assert union_of(A).names == ("a",)
        assert union_of(A).name_of(A()) == "a"

    def test_error_says_how_to_add_a_missing_discriminator(self):
        class UserJoined(BaseModel):
            name: str

        with pytest.raises(
            ConfigurationError,
            match=r"UserJoined has no field 'type'; write "
            r"`type: Literal\['user-joined'\] = 'user-joined'`",
        ):
            union_of(Annotated[Added | UserJoined, Field(discriminator="type")])

    def test_error_says_how_to_make_a_discriminator_literal(self):
        class UserJoined(BaseModel):
            type: str = "user-joined"

        with pytest.raises(
            ConfigurationError,
            match=r"UserJoined.type is not a Literal; write "
            r"`type: Literal\['user-joined'\] = 'user-joined'`",
        ):
            union_of(Annotated[Added | UserJoined, Field(discriminator="type")])

    def test_error_says_how_to_declare_a_union(self):
        class Other(BaseModel):
            kind: Literal["other"] = "other"

        with pytest.raises(
            ConfigurationError,
            match=r"Added, Other need one literal field .*there is none"
            r".*declare `Event = Annotated",
        ):
            union_of(Added | Other)

    def test_error_lists_the_candidates_for_a_discriminator(self):
        class Two(BaseModel):
            a: Literal["x"] = "x"
            b: Literal["y"] = "y"

        with pytest.raises(ConfigurationError, match=r"candidates: a, b.*Field\(discriminator="):
            union_of(Two)

    def test_union_refuses_two_members_of_one_name(self):
        class Again(BaseModel):
            type: Literal["added"] = "added"

        with pytest.raises(
            ConfigurationError,
            match=r"Added and Again are both named 'added'.*`type: Literal\['again'\]`",
        ):
            union_of(Added | Again)

    def test_union_refuses_nested_unions_whose_models_share_a_name(self):
        class Black(BaseModel):
            type: Literal["cat"] = "cat"
            color: Literal["black"] = "black"

        class White(BaseModel):
            type: Literal["cat"] = "cat"
            color: Literal["white"] = "white"

        cat = Annotated[Black | White, Field(discriminator="color")]

        with pytest.raises(ConfigurationError, match=r"both named 'cat'.*in nested unions too"):
            union_of(Annotated[cat | Added, TOLD_APART])

    @pytest.mark.parametrize(
        "name", ["error", "open", "message", "stream-open", "stream-", "", "a\nb", "a\rb", "a\0b"]
    )
    def test_union_refuses_names_that_the_wire_does_not_allow(self, name):
        class Bad(BaseModel):
            type: Literal[name] = name  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]

        with pytest.raises(ConfigurationError, match=r"Bad cannot be named .*choose another name"):
            union_of(Bad)

    def test_union_refuses_an_excluded_discriminator(self):
        class Nameless(BaseModel):
            type: Literal["nameless"] = Field("nameless", exclude=True)

        with pytest.raises(ConfigurationError, match=r"Nameless\.type is excluded.*exclude=True"):
            union_of(Nameless)

    def test_union_refuses_names_that_are_not_strings(self):
        class Bad(BaseModel):
            type: Literal[1] = 1

        with pytest.raises(
            ConfigurationError, match=r"Bad\.type is 1; an event's name is a string"
        ):
            union_of(Bad)

    @pytest.mark.parametrize("declare", [lambda found: found, _in_field], ids=["bare", "field"])
    def test_union_reads_discriminator_objects(self, declare):
        union = Annotated[Added | Removed, declare(Discriminator("type"))]

        assert union_of(union).discriminator == "type"

    @pytest.mark.parametrize("declare", [lambda found: found, _in_field], ids=["bare", "field"])
    def test_union_refuses_callable_discriminators(self, declare):
        tagged = Annotated[
            Annotated[Added, Tag("added")] | Annotated[Removed, Tag("removed")],
            declare(Discriminator(lambda _value: "added")),
        ]

        with pytest.raises(ConfigurationError, match="callable discriminator"):
            union_of(tagged)

    @pytest.mark.parametrize("event_type", [int, str | None, Added | None, dict[str, int], "Event"])
    def test_union_refuses_types_that_are_not_models(self, event_type):
        with pytest.raises(ConfigurationError, match="not a pydantic model; declare `Event ="):
            union_of(event_type)

    def test_discriminator_has_its_name_in_json(self):
        class Camel(BaseModel):
            model_config = ConfigDict(alias_generator=alias_generators.to_camel)
            event_type: Literal["camel"] = "camel"

        class Llama(BaseModel):
            model_config = ConfigDict(alias_generator=alias_generators.to_camel)
            event_type: Literal["llama"] = "llama"

        union = Annotated[Camel | Llama, Field(discriminator="event_type")]

        assert union_of(union).discriminator == "eventType"
        assert union_of(Camel | Llama).discriminator == "eventType"

    def test_error_says_how_to_declare_a_discriminator_that_pydantic_refuses(self):
        class A(BaseModel):
            type_: Literal["a"] = Field("a", alias="type")

        class B(BaseModel):
            type_: Literal["b"] = Field("b", alias="type")

        with pytest.raises(ConfigurationError, match=r"(?s)needs a discriminator.*declare `Event"):
            union_of(Annotated[A | B, Field(discriminator="type")])


EVENTS = """
from typing import Literal
from pydantic import BaseModel

class Held(BaseModel):
    item: "Item"

class Placed(BaseModel):
    type: Literal["placed"] = "placed"
    held: Held

class Emptied(BaseModel):
    type: Literal["emptied"] = "emptied"
"""


@pytest.fixture
def events(monkeypatch):
    """A module whose models refer to one that it does not define so far."""
    module: Any = ModuleType("shop_events")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(EVENTS, module.__dict__)  # noqa: S102  # a model looks for others in its own module
    return module


class TestCheckDefined:
    @pytest.mark.parametrize("others", [(), ("Emptied",)], ids=["alone", "in a union"])
    def test_error_names_the_model_and_what_is_not_defined(self, events, others):
        union = union_of(Union[tuple(getattr(events, name) for name in ("Placed", *others))])  # noqa: UP007  # of any number

        for read in (union.check_defined, lambda: union.adapter):
            with pytest.raises(
                ConfigurationError,
                match=r"^Placed, or a model that it holds, refers to 'Item', which is not defined; "
                r"define or import it in shop_events",
            ):
                read()

    def test_what_is_defined_after_the_union_is_found(self, events):
        union = union_of(events.Placed | events.Emptied)
        events.Item = Added

        union.check_defined()

        placed = union.adapter.validate_python({"type": "placed", "held": {"item": {}}})
        assert placed.held.item == Added()

    def test_names_of_this_library_are_not_those_of_the_users_module(self, events):
        exec(EVENTS.replace("Item", "EventUnion"), events.__dict__)  # noqa: S102  # as above

        with pytest.raises(ConfigurationError, match="refers to 'EventUnion', which is not"):
            union_of(events.Placed).check_defined()

    def test_what_pydantic_refuses_only_then_is_refused_too(self, events):
        union = union_of(events.Placed)
        events.Item = type("Item", (), {})

        with pytest.raises(ConfigurationError, match="is not a pydantic union of events"):
            union.check_defined()


class TestNameOf:
    def test_name_of_a_member_with_two_names_is_its_value(self):
        assert union_of(Event).name_of(Removed(type="purged")) == "purged"

    @pytest.mark.parametrize("name", ["removed", "other", 3, None, "a\nb", ["added"]])
    def test_name_of_refuses_names_of_other_models(self, name):
        event = Added()
        event.type = name

        with pytest.raises(InvalidEventError, match="Added cannot be encoded: it is named"):
            union_of(Event).name_of(event)
