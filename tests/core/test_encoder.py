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
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
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
    def test_encode_returns_the_name_and_one_line_of_compact_json(self, encoder):
        name, data = encoder.encode(Added(text="hi", number=1.5))

        assert name == "added"
        assert data == b'{"type":"added","text":"hi","number":1.5,"extra":null}'

    def test_encode_validates_a_mapping_into_a_model(self, encoder):
        assert encoder.encode({"type": "removed", "at": 3}) == (
            "removed",
            b'{"type":"removed","at":3}',
        )

    def test_number_that_javascript_would_round_may_go_out_as_text_and_come_back(self):
        class Counted(BaseModel):
            type: Literal["counted"] = "counted"
            plain: int
            text: Annotated[int, PlainSerializer(str, return_type=str)]

        union = EventUnion(Counted)
        event = Counted(plain=2**53 + 1, text=2**53 + 1)

        _, data = encoder_of(Counted).encode(event)

        assert json.loads(data, parse_int=float) == {
            "type": "counted",
            "plain": 2.0**53,
            "text": "9007199254740993",
        }
        assert decode(union, data) == event

    def test_encode_writes_aliases(self):
        class Camel(BaseModel):
            model_config = ConfigDict(
                alias_generator=alias_generators.to_camel, populate_by_name=True
            )
            event_type: Literal["camel"] = "camel"
            comment_count: int

        name, data = encoder_of(Annotated[Camel, Field()]).encode(Camel(comment_count=1))

        assert (name, data) == ("camel", b'{"eventType":"camel","commentCount":1}')
        assert decode(EventUnion(Camel), data) == Camel(comment_count=1)

    def test_encode_finds_a_discriminator_with_an_alias(self):
        class A(BaseModel):
            type_: Literal["a"] = Field("a", alias="type")

        class B(BaseModel):
            type_: Literal["b"] = Field("b", alias="type")

        encoder = encoder_of(Annotated[A | B, Field(discriminator="type_")])

        assert encoder.encode({"type": "b"}) == ("b", b'{"type":"b"}')

    def test_encode_unwraps_a_root_model(self):
        class DiscussionEvent(RootModel[Event]):
            pass

        encoder = encoder_of(DiscussionEvent)

        assert encoder.encode(DiscussionEvent(Removed(at=1))) == encoder.encode(Removed(at=1))

    def test_body_names_the_event_only_on_request(self):
        data = b'{"type":"removed","at":0}'

        assert encoder_of(Event).body(Removed()) == b"data: " + data + b"\n\n"
        assert encoder_of(Event, event_names="discriminator").body(Removed()) == (
            b"event: removed\ndata: " + data + b"\n\n"
        )

    @pytest.mark.parametrize(
        "text",
        ["\u2028\u2029\x85\x0b\x0c\ufeff", "a\rb\nc\r\nd", "\0\x1f", "\U0001f4a9", "data: x\n\n:"],
    )
    def test_encode_keeps_any_text_on_one_line(self, encoder, text):
        _, data = encoder.encode(Added(text=text))

        assert json.loads(data)["text"] == text
        assert not {b"\r", b"\n", b"\0"} & {data[at : at + 1] for at in range(len(data))}

    @given(st.text(st.characters(exclude_categories=["Cs"])), st.floats(allow_nan=False))
    def test_decode_returns_the_event_encoded(self, text, number):
        encoder = encoder_of(Event, max_event_bytes=100_000)
        event = Added(text=text, number=number if abs(number) != float("inf") else None)

        assert decode(EventUnion(Event), encoder.encode(event)[1]) == event


class TestRefusal:
    def test_encode_refuses_other_models_and_names_the_union(self, encoder):
        class Other(BaseModel):
            type: Literal["added"] = "added"

        with pytest.raises(
            InvalidEventError, match=r"Other is not an event.*Added \| Removed, or a dict"
        ):
            encoder.encode(Other())

    def test_encode_refuses_subclasses(self, encoder):
        class Sub(Added):
            more: str = "not in the documentation"

        with pytest.raises(InvalidEventError, match="Sub is not an event of this channel"):
            encoder.encode(Sub())

    def test_error_tells_apart_two_classes_of_one_name(self, encoder):
        twin = type("Added", (BaseModel,), {"__module__": "src.events", "__qualname__": "Added"})

        with pytest.raises(
            InvalidEventError,
            match=r"^Added of the module src\.events is not the Added .* that of .*test_encoder; "
            r".* import it under one name",
        ):
            encoder.encode(twin())

    def test_error_names_a_default_that_pydantic_does_not_check_and_how_to_mend_it(self):
        class Priced(BaseModel):
            type: Literal["priced"] = "priced"
            price: Decimal = 0  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]

        with pytest.raises(InvalidEventError, match=r"(?s)'price'.*validate_default=True"):
            encoder_of(Priced).encode(Priced())

    def test_encode_refuses_what_a_validator_makes_of_a_mapping(self):
        class Other(BaseModel):
            type: Literal["added"] = "added"

        replaced = Annotated[Event, AfterValidator(lambda _event: Other())]

        with pytest.raises(InvalidEventError, match="Other is not an event of this channel"):
            encoder_of(replaced).encode({"type": "added"})

    @pytest.mark.parametrize("event", [None, "added", 1, b"{}", ["added"], object(), Added])
    def test_encode_refuses_other_objects(self, encoder, event):
        with pytest.raises(InvalidEventError, match="is not an event of this channel"):
            encoder.encode(event)

    @pytest.mark.parametrize(
        "event", [{}, {"type": "other"}, {"at": 1}, {"type": "removed", "at": "x"}, {"type": None}]
    )
    def test_encode_refuses_invalid_mappings(self, encoder, event):
        with pytest.raises(InvalidEventError):
            encoder.encode(event)

    def test_encode_writes_the_current_values_of_a_model(self, encoder):
        event = Removed()
        event.at = 5

        assert encoder.encode(event)[1] == b'{"type":"removed","at":5}'

    @pytest.mark.parametrize("value", [object(), "x", [1]])
    def test_encode_refuses_models_mutated_into_invalid_ones(self, encoder, value):
        event = Removed()
        event.at = value

        with pytest.raises(InvalidEventError, match="Removed cannot be encoded"):
            encoder.encode(event)

    @pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
    def test_encode_refuses_non_finite_numbers_with_their_path(self, encoder, number):
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
    def test_encode_refuses_nested_non_finite_numbers(self, encoder, extra, path):
        with pytest.raises(InvalidEventError, match=f"Added{path} is not a finite number"):
            encoder.encode(Added(extra=extra))

    def test_encode_refuses_non_finite_numbers_of_dataclasses_and_computed_fields(self):
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

    def test_encode_accepts_null_and_the_text_nan(self, encoder):
        encoder.encode(Added(text="NaN null Infinity", extra=[None, "NaN"]))

    @pytest.mark.parametrize(
        "event",
        [Added(text="\ud800"), Added(extra={"\udfff": 1}), {"type": "added", "text": "\ud800"}],
    )
    def test_encode_refuses_lone_surrogates(self, encoder, event):
        with pytest.raises(InvalidEventError):
            encoder.encode(event)

    @pytest.mark.parametrize("extra", [object(), b"\xff", lambda: None])
    def test_encode_refuses_values_without_a_json_form(self, encoder, extra):
        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            encoder.encode(Added(extra=extra))

    def test_encode_refuses_json_that_lacks_the_name(self):
        class Bare(BaseModel):
            type: Literal["bare"] = "bare"
            inner: dict[str, str] = {"type": "other"}

            @model_serializer
            def without_name(self) -> dict[str, object]:
                return {"inner": self.inner}

        with pytest.raises(InvalidEventError, match=r'Bare .* its JSON lacks "type":"bare"'):
            encoder_of(Bare).encode(Bare())

    def test_encode_refuses_recursive_values(self, encoder):
        loop: list[Any] = []
        loop.append(loop)

        with pytest.raises(InvalidEventError, match="Added cannot be encoded"):
            encoder.encode(Added.model_construct(type="added", text="", number=None, extra=loop))

    def test_encode_bounds_the_size_to_the_byte(self):
        encoder = encoder_of(Event, max_event_bytes=100)
        room = 100 - len(encoder.encode(Added())[1])

        assert len(encoder.encode(Added(text="x" * room))[1]) == 100
        with pytest.raises(EventTooLargeError, match="Added is 101 bytes long, max_event_bytes is"):
            encoder.encode(Added(text="x" * (room + 1)))

    def test_decode_refuses_bytes_of_another_version(self):
        with pytest.raises(InvalidEventError):
            decode(EventUnion(Event), b'{"type":"renamed"}')

    def test_decode_refuses_json_that_its_own_model_refuses(self):
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

    def test_encode_writes_dates_and_decimals_as_pydantic_does(self, encoder):
        moment = datetime(2024, 1, 1, tzinfo=UTC)

        _, data = encoder.encode(Added(extra=[moment, Decimal("1.5")]))

        assert json.loads(data)["extra"] == ["2024-01-01T00:00:00Z", "1.5"]
