"""The event union: checked when it is defined, encoded when it is published."""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    alias_generators,
    computed_field,
    model_serializer,
)
from typing_extensions import TypeAliasType

from fastapi_sse_channels import ConfigurationError, EventTooLargeError, InvalidEventError
from fastapi_sse_channels._core.encoder import EventSchema


class Added(BaseModel):
    type: Literal["added"] = "added"
    text: str = ""
    number: float | None = None
    extra: Any = None


class Removed(BaseModel):
    type: Literal["removed", "purged"] = "removed"
    at: int = 0


Event = Annotated[Added | Removed, Field(discriminator="type")]
NamedEvent = TypeAliasType("NamedEvent", Event)
Bare = TypeAliasType("Bare", Added | Removed)


def schema_of(event_type: Any, **options: Any) -> EventSchema[Any]:
    return EventSchema(event_type, **{"max_event_bytes": 10_000, "event_names": "none", **options})


def _in_field(found: Any) -> Any:
    return Field(discriminator=found)


@pytest.fixture
def schema():
    return schema_of(Event)


class TestDefinition:
    def test_every_name_of_the_union_is_known(self, schema):
        assert schema.discriminator == "type"
        assert schema.names == ("added", "removed", "purged")
        assert schema.name is None

    def test_union_without_a_declared_discriminator_finds_the_common_literal(self):
        assert schema_of(Added | Removed).discriminator == "type"

    def test_single_model_is_a_union_of_one(self):
        assert schema_of(Added).names == ("added",)

    def test_type_alias_names_the_union(self):
        assert schema_of(NamedEvent).name == "NamedEvent"
        assert schema_of(NamedEvent).names == ("added", "removed", "purged")

    def test_alias_inside_an_annotation_is_looked_through(self):
        assert schema_of(Annotated[Bare, Field(discriminator="type")]).names == (
            "added",
            "removed",
            "purged",
        )

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
    def test_type_statement_names_the_union(self):
        namespace = {"Event": Event}
        exec("type DiscussionEvent = Event", namespace)  # noqa: S102  # else no Python 3.11 parses it

        assert schema_of(namespace["DiscussionEvent"]).name == "DiscussionEvent"

    def test_root_model_names_the_union(self):
        class DiscussionEvent(RootModel[Added | Removed]):
            root: Added | Removed = Field(discriminator="type")

        assert schema_of(DiscussionEvent).name == "DiscussionEvent"
        assert schema_of(DiscussionEvent).names == ("added", "removed", "purged")

    def test_nested_unions_are_one(self):
        class Moved(BaseModel):
            type: Literal["moved"] = "moved"

        nested = Annotated[Event | Moved, Field(discriminator="type")]

        assert schema_of(nested).names == ("added", "removed", "purged", "moved")

    def test_enum_literals_give_names(self):
        class Kind(Enum):
            A = "a"

        class A(BaseModel):
            kind: Literal[Kind.A] = Kind.A

        schema = schema_of(A)

        assert schema.names == ("a",)
        assert schema.encode(A()) == ("a", b'{"kind":"a"}')

    def test_member_without_the_discriminator_is_told_what_to_write(self):
        class UserJoined(BaseModel):
            name: str

        with pytest.raises(
            ConfigurationError,
            match=r"UserJoined has no field 'type'; write "
            r"`type: Literal\['user-joined'\] = 'user-joined'`",
        ):
            schema_of(Annotated[Added | UserJoined, Field(discriminator="type")])

    def test_discriminator_that_is_no_literal_is_told_what_to_write(self):
        class UserJoined(BaseModel):
            type: str = "user-joined"

        with pytest.raises(
            ConfigurationError,
            match=r"UserJoined.type is not a Literal; write "
            r"`type: Literal\['user-joined'\] = 'user-joined'`",
        ):
            schema_of(Annotated[Added | UserJoined, Field(discriminator="type")])

    def test_union_without_a_common_literal_is_told_how_to_declare_it(self):
        class Other(BaseModel):
            kind: Literal["other"] = "other"

        with pytest.raises(
            ConfigurationError,
            match=r"Added, Other need one literal field .*there is none"
            r".*declare `Event = Annotated",
        ):
            schema_of(Added | Other)

    def test_two_candidates_are_told_apart_by_declaring_one(self):
        class Two(BaseModel):
            a: Literal["x"] = "x"
            b: Literal["y"] = "y"

        with pytest.raises(ConfigurationError, match=r"candidates: a, b.*Field\(discriminator="):
            schema_of(Two)

    def test_two_members_of_one_name_are_refused(self):
        class Again(BaseModel):
            type: Literal["added"] = "added"

        with pytest.raises(ConfigurationError, match="Added and Again are both named 'added'"):
            schema_of(Added | Again)

    @pytest.mark.parametrize(
        "name", ["error", "open", "message", "stream-open", "stream-", "", "a\nb", "a\rb", "a\0b"]
    )
    def test_name_that_the_wire_does_not_allow_is_refused(self, name):
        class Bad(BaseModel):
            type: Literal[name] = name  # type: ignore[valid-type]  # pyright: ignore[reportInvalidTypeForm]

        with pytest.raises(ConfigurationError, match=r"Bad cannot be named .*choose another name"):
            schema_of(Bad)

    def test_name_that_is_not_written_is_refused(self):
        class Nameless(BaseModel):
            type: Literal["nameless"] = Field("nameless", exclude=True)

        with pytest.raises(ConfigurationError, match=r"Nameless\.type is excluded.*exclude=True"):
            schema_of(Nameless)

    def test_name_that_is_no_string_is_refused(self):
        class Bad(BaseModel):
            type: Literal[1] = 1

        with pytest.raises(
            ConfigurationError, match=r"Bad\.type is 1; an event's name is a string"
        ):
            schema_of(Bad)

    @pytest.mark.parametrize("declare", [lambda found: found, _in_field], ids=["bare", "field"])
    def test_discriminator_object_is_looked_into(self, declare):
        union = Annotated[Added | Removed, declare(Discriminator("type"))]

        assert schema_of(union).discriminator == "type"

    @pytest.mark.parametrize("declare", [lambda found: found, _in_field], ids=["bare", "field"])
    def test_callable_discriminator_is_refused(self, declare):
        tagged = Annotated[
            Annotated[Added, Tag("added")] | Annotated[Removed, Tag("removed")],
            declare(Discriminator(lambda _value: "added")),
        ]

        with pytest.raises(ConfigurationError, match="callable discriminator"):
            schema_of(tagged)

    @pytest.mark.parametrize("event_type", [int, str | None, Added | None, dict[str, int], "Event"])
    def test_what_is_no_model_is_refused(self, event_type):
        with pytest.raises(ConfigurationError, match="not a pydantic model; declare `Event ="):
            schema_of(event_type)


class TestEncode:
    def test_event_is_one_line_of_compact_json_with_its_name(self, schema):
        name, data = schema.encode(Added(text="hi", number=1.5))

        assert name == "added"
        assert data == b'{"type":"added","text":"hi","number":1.5,"extra":null}'

    def test_member_of_two_names_is_named_by_its_value(self, schema):
        assert schema.encode(Removed(type="purged"))[0] == "purged"

    def test_mapping_is_validated_into_a_model(self, schema):
        assert schema.encode({"type": "removed", "at": 3}) == (
            "removed",
            b'{"type":"removed","at":3}',
        )

    def test_aliases_are_written(self):
        class Camel(BaseModel):
            model_config = ConfigDict(
                alias_generator=alias_generators.to_camel, populate_by_name=True
            )
            event_type: Literal["camel"] = "camel"
            comment_count: int

        schema = schema_of(Annotated[Camel, Field()])

        assert schema.encode(Camel(comment_count=1)) == (
            "camel",
            b'{"eventType":"camel","commentCount":1}',
        )
        assert schema.decode(b'{"eventType":"camel","commentCount":1}') == Camel(comment_count=1)

    def test_discriminator_may_be_declared_by_its_alias(self):
        class A(BaseModel):
            type_: Literal["a"] = Field("a", alias="type")

        class B(BaseModel):
            type_: Literal["b"] = Field("b", alias="type")

        schema = schema_of(Annotated[A | B, Field(discriminator="type_")])

        assert schema.encode({"type": "b"}) == ("b", b'{"type":"b"}')

    def test_discriminator_is_called_what_it_is_in_json(self):
        class Camel(BaseModel):
            model_config = ConfigDict(alias_generator=alias_generators.to_camel)
            event_type: Literal["camel"] = "camel"

        class Llama(BaseModel):
            model_config = ConfigDict(alias_generator=alias_generators.to_camel)
            event_type: Literal["llama"] = "llama"

        union = Annotated[Camel | Llama, Field(discriminator="event_type")]

        assert schema_of(union).discriminator == "eventType"
        assert schema_of(Camel | Llama).discriminator == "eventType"

    def test_discriminator_that_pydantic_refuses_is_told_how_to_declare_it(self):
        class A(BaseModel):
            type_: Literal["a"] = Field("a", alias="type")

        class B(BaseModel):
            type_: Literal["b"] = Field("b", alias="type")

        with pytest.raises(ConfigurationError, match=r"(?s)needs a discriminator.*declare `Event"):
            schema_of(Annotated[A | B, Field(discriminator="type")])

    def test_root_model_instance_is_published_as_its_root(self):
        class DiscussionEvent(RootModel[Event]):
            pass

        schema = schema_of(DiscussionEvent)

        assert schema.encode(DiscussionEvent(Removed(at=1))) == schema.encode(Removed(at=1))

    def test_name_is_put_on_the_wire_where_wanted(self):
        data = b'{"type":"removed","at":0}'

        assert schema_of(Event).body(Removed()) == b"data: " + data + b"\n\n"
        assert schema_of(Event, event_names="discriminator").body(Removed()) == (
            b"event: removed\ndata: " + data + b"\n\n"
        )

    @pytest.mark.parametrize(
        "text",
        ["\u2028\u2029\x85\x0b\x0c\ufeff", "a\rb\nc\r\nd", "\0\x1f", "\U0001f4a9", "data: x\n\n:"],
    )
    def test_text_survives_on_one_line(self, schema, text):
        _, data = schema.encode(Added(text=text))

        assert json.loads(data)["text"] == text
        assert not {b"\r", b"\n", b"\0"} & {data[at : at + 1] for at in range(len(data))}

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False))
    def test_every_event_survives_a_round_trip(self, text, number):
        schema = schema_of(Event, max_event_bytes=100_000)
        event = Added(text=text, number=number if abs(number) != float("inf") else None)

        assert schema.decode(schema.encode(event)[1]) == event


class TestRefusal:
    def test_other_model_is_refused_naming_the_union(self, schema):
        class Other(BaseModel):
            type: Literal["added"] = "added"

        with pytest.raises(
            InvalidEventError, match=r"Other is not an event.*Added \| Removed, or a dict"
        ):
            schema.encode(Other())

    def test_subclass_is_refused(self, schema):
        class Sub(Added):
            more: str = "not in the documentation"

        with pytest.raises(InvalidEventError, match="Sub is not an event of this channel"):
            schema.encode(Sub())

    @pytest.mark.parametrize("event", [None, "added", 1, b"{}", ["added"], object(), Added])
    def test_what_is_neither_model_nor_mapping_is_refused(self, schema, event):
        with pytest.raises(InvalidEventError, match="is not an event of this channel"):
            schema.encode(event)

    @pytest.mark.parametrize(
        "event", [{}, {"type": "other"}, {"at": 1}, {"type": "removed", "at": "x"}, {"type": None}]
    )
    def test_mapping_that_does_not_validate_is_refused(self, schema, event):
        with pytest.raises(InvalidEventError):
            schema.encode(event)

    def test_model_mutated_into_a_valid_one_is_encoded_as_it_is_now(self, schema):
        event = Removed()
        event.at = 5

        assert schema.encode(event)[1] == b'{"type":"removed","at":5}'

    @pytest.mark.parametrize("value", [object(), "x", [1]])
    def test_model_mutated_into_an_invalid_one_is_refused(self, schema, value):
        event = Removed()
        event.at = value

        with pytest.raises(InvalidEventError, match="Removed cannot be encoded"):
            schema.encode(event)

    @pytest.mark.parametrize("name", ["removed", "other", 3, None, "a\nb"])
    def test_model_mutated_into_another_name_is_refused(self, schema, name):
        event = Added()
        event.type = name

        with pytest.raises(InvalidEventError, match="Added cannot be encoded: it is named"):
            schema.encode(event)

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_number_that_json_cannot_carry_is_refused_with_its_path(self, schema, number):
        with pytest.raises(InvalidEventError, match=r"Added\.number is not a finite number"):
            schema.encode(Added(number=number))

    @pytest.mark.parametrize(
        ("extra", "path"),
        [
            ([1, [float("nan")]], r"\.extra\[1\]\[0\]"),
            ({"a": {"b": float("inf")}}, r"\.extra\.a\.b"),
            ((float("nan"),), r"\.extra\[0\]"),
            (deque([float("nan")]), r"\.extra\[0\]"),
            ({float("nan")}, r"\.extra\[0\]"),
            (Added(number=float("nan")), r"\.extra\.number"),
        ],
    )
    def test_nested_number_that_json_cannot_carry_is_refused(self, schema, extra, path):
        with pytest.raises(InvalidEventError, match=f"Added{path} is not a finite number"):
            schema.encode(Added(extra=extra))

    def test_number_of_a_dataclass_or_computed_field_is_refused(self):
        @dataclass
        class Point:
            x: float

        class Drawn(BaseModel):
            type: Literal["drawn"] = "drawn"
            point: Point

            @computed_field  # type: ignore[prop-decorator]
            @property
            def double(self) -> float:
                return self.point.x * 1e200

        schema = schema_of(Drawn)

        with pytest.raises(InvalidEventError, match=r"Drawn\.point\.x is not a finite number"):
            schema.encode(Drawn(point=Point(float("nan"))))
        with pytest.raises(InvalidEventError, match=r"Drawn\.double is not a finite number"):
            schema.encode(Drawn(point=Point(1e200)))

    def test_null_and_the_text_nan_are_fine(self, schema):
        schema.encode(Added(text="NaN null Infinity", extra=[None, "NaN"]))

    @pytest.mark.parametrize(
        "event",
        [Added(text="\ud800"), Added(extra={"\udfff": 1}), {"type": "added", "text": "\ud800"}],
    )
    def test_lone_surrogates_are_refused(self, schema, event):
        with pytest.raises(InvalidEventError):
            schema.encode(event)

    @pytest.mark.parametrize("extra", [object(), b"\xff", lambda: None])
    def test_what_json_cannot_carry_is_refused(self, schema, extra):
        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            schema.encode(Added(extra=extra))

    def test_event_that_is_written_without_its_name_is_refused(self):
        class Bare(BaseModel):
            type: Literal["bare"] = "bare"
            inner: dict[str, str] = {"type": "other"}

            @model_serializer
            def without_name(self) -> dict[str, object]:
                return {"inner": self.inner}

        with pytest.raises(InvalidEventError, match=r'Bare .* its JSON lacks "type":"bare"'):
            schema_of(Bare).encode(Bare())

    def test_recursive_value_is_refused(self, schema):
        loop: list[Any] = []
        loop.append(loop)

        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            schema.encode(Added.model_construct(type="added", text="", number=None, extra=loop))

    def test_size_is_bounded_to_the_byte(self):
        schema = schema_of(Event, max_event_bytes=100)
        room = 100 - len(schema.encode(Added())[1])

        assert len(schema.encode(Added(text="x" * room))[1]) == 100
        with pytest.raises(EventTooLargeError, match="Added is 101 bytes long, max_event_bytes is"):
            schema.encode(Added(text="x" * (room + 1)))

    def test_bytes_of_another_version_are_refused(self, schema):
        with pytest.raises(InvalidEventError):
            schema.decode(b'{"type":"renamed"}')

    def test_event_that_refuses_its_own_json_cannot_be_read_back(self):
        class Computed(BaseModel):
            model_config = ConfigDict(extra="forbid")
            type: Literal["computed"] = "computed"

            @computed_field
            def length(self) -> int:
                return 1

        class Renamed(BaseModel):
            type: Literal["renamed"] = "renamed"
            text: str = Field(validation_alias="read", serialization_alias="written")

        schema = schema_of(Annotated[Computed | Renamed, Field(discriminator="type")])
        for event in (Computed(), Renamed.model_validate({"read": "a"})):
            _, data = schema.encode(event)
            with pytest.raises(InvalidEventError):
                schema.decode(data)

    def test_dates_and_decimals_are_written_as_pydantic_writes_them(self, schema):
        moment = datetime(2024, 1, 1, tzinfo=UTC)

        _, data = schema.encode(Added(extra=[moment, Decimal("1.5")]))

        assert json.loads(data)["extra"] == ["2024-01-01T00:00:00Z", "1.5"]
