"""Events become bytes, and events again."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    alias_generators,
    computed_field,
    model_serializer,
)

from fastapi_sse_channels import EventTooLargeError, InvalidEventError
from fastapi_sse_channels._core.encoder import Encoder, decode
from fastapi_sse_channels._core.union import EventUnion


class Added(BaseModel):
    type: Literal["added"] = "added"
    text: str = ""
    number: float | None = None
    extra: Any = None


class Removed(BaseModel):
    type: Literal["removed", "purged"] = "removed"
    at: int = 0


Event = Annotated[Added | Removed, Field(discriminator="type")]


def encoder_of(event_type: Any, *, max_event_bytes: int = 10_000, **options: Any) -> Encoder:
    return Encoder(EventUnion(event_type), max_event_bytes=max_event_bytes, **options)


@pytest.fixture
def encoder():
    return encoder_of(Event)


class TestEncode:
    def test_event_is_one_line_of_compact_json_with_its_name(self, encoder):
        name, data = encoder.encode(Added(text="hi", number=1.5))

        assert name == "added"
        assert data == b'{"type":"added","text":"hi","number":1.5,"extra":null}'

    def test_mapping_is_validated_into_a_model(self, encoder):
        assert encoder.encode({"type": "removed", "at": 3}) == (
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

        name, data = encoder_of(Annotated[Camel, Field()]).encode(Camel(comment_count=1))

        assert (name, data) == ("camel", b'{"eventType":"camel","commentCount":1}')
        assert decode(EventUnion(Camel), data) == Camel(comment_count=1)

    def test_discriminator_may_be_declared_by_its_alias(self):
        class A(BaseModel):
            type_: Literal["a"] = Field("a", alias="type")

        class B(BaseModel):
            type_: Literal["b"] = Field("b", alias="type")

        encoder = encoder_of(Annotated[A | B, Field(discriminator="type_")])

        assert encoder.encode({"type": "b"}) == ("b", b'{"type":"b"}')

    def test_root_model_instance_is_published_as_its_root(self):
        class DiscussionEvent(RootModel[Event]):
            pass

        encoder = encoder_of(DiscussionEvent)

        assert encoder.encode(DiscussionEvent(Removed(at=1))) == encoder.encode(Removed(at=1))

    def test_name_is_put_on_the_wire_where_wanted(self):
        data = b'{"type":"removed","at":0}'

        assert encoder_of(Event).body(Removed()) == b"data: " + data + b"\n\n"
        assert encoder_of(Event, event_names="discriminator").body(Removed()) == (
            b"event: removed\ndata: " + data + b"\n\n"
        )

    @pytest.mark.parametrize(
        "text",
        ["\u2028\u2029\x85\x0b\x0c\ufeff", "a\rb\nc\r\nd", "\0\x1f", "\U0001f4a9", "data: x\n\n:"],
    )
    def test_text_survives_on_one_line(self, encoder, text):
        _, data = encoder.encode(Added(text=text))

        assert json.loads(data)["text"] == text
        assert not {b"\r", b"\n", b"\0"} & {data[at : at + 1] for at in range(len(data))}

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False))
    def test_every_event_survives_a_round_trip(self, text, number):
        encoder = encoder_of(Event, max_event_bytes=100_000)
        event = Added(text=text, number=number if abs(number) != float("inf") else None)

        assert decode(EventUnion(Event), encoder.encode(event)[1]) == event


class TestRefusal:
    def test_other_model_is_refused_naming_the_union(self, encoder):
        class Other(BaseModel):
            type: Literal["added"] = "added"

        with pytest.raises(
            InvalidEventError, match=r"Other is not an event.*Added \| Removed, or a dict"
        ):
            encoder.encode(Other())

    def test_subclass_is_refused(self, encoder):
        class Sub(Added):
            more: str = "not in the documentation"

        with pytest.raises(InvalidEventError, match="Sub is not an event of this channel"):
            encoder.encode(Sub())

    @pytest.mark.parametrize("event", [None, "added", 1, b"{}", ["added"], object(), Added])
    def test_what_is_neither_model_nor_mapping_is_refused(self, encoder, event):
        with pytest.raises(InvalidEventError, match="is not an event of this channel"):
            encoder.encode(event)

    @pytest.mark.parametrize(
        "event", [{}, {"type": "other"}, {"at": 1}, {"type": "removed", "at": "x"}, {"type": None}]
    )
    def test_mapping_that_does_not_validate_is_refused(self, encoder, event):
        with pytest.raises(InvalidEventError):
            encoder.encode(event)

    def test_model_mutated_into_a_valid_one_is_encoded_as_it_is_now(self, encoder):
        event = Removed()
        event.at = 5

        assert encoder.encode(event)[1] == b'{"type":"removed","at":5}'

    @pytest.mark.parametrize("value", [object(), "x", [1]])
    def test_model_mutated_into_an_invalid_one_is_refused(self, encoder, value):
        event = Removed()
        event.at = value

        with pytest.raises(InvalidEventError, match="Removed cannot be encoded"):
            encoder.encode(event)

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_number_that_json_cannot_carry_is_refused_with_its_path(self, encoder, number):
        with pytest.raises(InvalidEventError, match=r"Added\.number is not a finite number"):
            encoder.encode(Added(number=number))

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
    def test_nested_number_that_json_cannot_carry_is_refused(self, encoder, extra, path):
        with pytest.raises(InvalidEventError, match=f"Added{path} is not a finite number"):
            encoder.encode(Added(extra=extra))

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

        encoder = encoder_of(Drawn)

        with pytest.raises(InvalidEventError, match=r"Drawn\.point\.x is not a finite number"):
            encoder.encode(Drawn(point=Point(float("nan"))))
        with pytest.raises(InvalidEventError, match=r"Drawn\.double is not a finite number"):
            encoder.encode(Drawn(point=Point(1e200)))

    def test_null_and_the_text_nan_are_fine(self, encoder):
        encoder.encode(Added(text="NaN null Infinity", extra=[None, "NaN"]))

    @pytest.mark.parametrize(
        "event",
        [Added(text="\ud800"), Added(extra={"\udfff": 1}), {"type": "added", "text": "\ud800"}],
    )
    def test_lone_surrogates_are_refused(self, encoder, event):
        with pytest.raises(InvalidEventError):
            encoder.encode(event)

    @pytest.mark.parametrize("extra", [object(), b"\xff", lambda: None])
    def test_what_json_cannot_carry_is_refused(self, encoder, extra):
        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            encoder.encode(Added(extra=extra))

    def test_event_that_is_written_without_its_name_is_refused(self):
        class Bare(BaseModel):
            type: Literal["bare"] = "bare"
            inner: dict[str, str] = {"type": "other"}

            @model_serializer
            def without_name(self) -> dict[str, object]:
                return {"inner": self.inner}

        with pytest.raises(InvalidEventError, match=r'Bare .* its JSON lacks "type":"bare"'):
            encoder_of(Bare).encode(Bare())

    def test_recursive_value_is_refused(self, encoder):
        loop: list[Any] = []
        loop.append(loop)

        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            encoder.encode(Added.model_construct(type="added", text="", number=None, extra=loop))

    def test_size_is_bounded_to_the_byte(self):
        encoder = encoder_of(Event, max_event_bytes=100)
        room = 100 - len(encoder.encode(Added())[1])

        assert len(encoder.encode(Added(text="x" * room))[1]) == 100
        with pytest.raises(EventTooLargeError, match="Added is 101 bytes long, max_event_bytes is"):
            encoder.encode(Added(text="x" * (room + 1)))

    def test_bytes_of_another_version_are_refused(self):
        with pytest.raises(InvalidEventError):
            decode(EventUnion(Event), b'{"type":"renamed"}')

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

        union = EventUnion(Annotated[Computed | Renamed, Field(discriminator="type")])
        encoder = Encoder(union, max_event_bytes=1_000)
        for event in (Computed(), Renamed.model_validate({"read": "a"})):
            _, data = encoder.encode(event)
            with pytest.raises(InvalidEventError):
                decode(union, data)

    def test_dates_and_decimals_are_written_as_pydantic_writes_them(self, encoder):
        moment = datetime(2024, 1, 1, tzinfo=UTC)

        _, data = encoder.encode(Added(extra=[moment, Decimal("1.5")]))

        assert json.loads(data)["extra"] == ["2024-01-01T00:00:00Z", "1.5"]
