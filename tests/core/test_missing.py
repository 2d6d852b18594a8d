"""Events that lack a field are refused: JSON would lack it without a word."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field
from sqlalchemy import Column, String
from sqlmodel import Field as ColumnField
from sqlmodel import Relationship, Session, SQLModel, create_engine

from fastapi_sse_channels import InvalidEventError
from fastapi_sse_channels._core.encoder import Encoder
from fastapi_sse_channels._core.union import EventUnion


class Team(SQLModel, table=True):
    id: int | None = ColumnField(default=None, primary_key=True)
    heroes: list["Hero"] = Relationship(back_populates="team")


class Hero(SQLModel, table=True):
    id: int | None = ColumnField(default=None, primary_key=True)
    type: Literal["hero"] = ColumnField("hero", sa_column=Column(String))
    name: str
    team_id: int | None = ColumnField(default=None, foreign_key="team.id")
    team: Team | None = Relationship(back_populates="heroes")


@dataclass(slots=True)
class Listed:
    heroes: list[Hero]


class Changed(BaseModel):
    type: Literal["changed"] = "changed"
    heroes: dict[str, Listed] = {}
    hero: Hero | None = None


def encoder_of(event_type: Any) -> Encoder:
    return Encoder(EventUnion(event_type), max_event_bytes=10_000)


@pytest.fixture
def session():
    engine = create_engine("sqlite://")
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def committed(session):
    """A row without fields, until it is refreshed or one of them is read."""
    hero = Hero(type="hero", name="Ann", team=Team())
    session.add(hero)
    session.commit()
    assert "name" not in hero.__dict__
    return hero


def test_row_is_encoded_with_its_fields_whether_it_was_refreshed_or_not(session, committed):
    encoder = encoder_of(Hero)
    assert b'"name":"Ann"' in encoder.encode(committed)[1]

    session.commit()
    session.refresh(committed)

    assert b'"name":"Ann"' in encoder.encode(committed)[1]


def test_row_that_can_no_longer_be_loaded_is_refused(session, committed):
    session.close()

    with pytest.raises(InvalidEventError, match=r"Hero .*'type' cannot be read .* refresh the row"):
        encoder_of(Hero).encode(committed)


def test_row_inside_of_an_event_is_refused_until_it_is_refreshed(session, committed):
    encoder = encoder_of(Changed)
    for event, path in (
        (Changed.model_construct(hero=committed), "hero"),
        (Changed(heroes={"a": Listed([committed])}), r"heroes\.a\.heroes\[0\]"),
    ):
        session.commit()
        with pytest.raises(
            InvalidEventError, match=rf"^Changed\.{path}\.id has no value; .* refresh the rows"
        ):
            encoder.encode(event)

        session.refresh(committed)
        assert committed.team is not None
        assert b'"name":"Ann"' in encoder.encode(event)[1]


def test_model_that_was_made_without_a_field_is_refused():
    class Note(BaseModel):
        type: Literal["note"] = "note"
        text: str
        secret: str = Field(default="", exclude=True)

    encoder = encoder_of(Note)

    with pytest.raises(InvalidEventError, match=r"Note\.text has no value"):
        encoder.encode(Note.model_construct())
    whole = Note(text="hello")
    del whole.secret
    assert encoder.encode(whole)[1] == b'{"type":"note","text":"hello"}'
