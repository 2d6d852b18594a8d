"""The OpenAPI document, as client generators read it."""

from enum import StrEnum
from typing import Annotated, Generic, Literal
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI, Header, Security
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType, TypeVar

from fastapi_sse_channels import ChannelManager, create_client_router, create_sse_router


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int


class DiscussionClosed(BaseModel):
    type: Literal["discussion-closed"] = "discussion-closed"


DiscussionEvent = Annotated[CommentAdded | DiscussionClosed, Field(discriminator="type")]
NamedEvent = TypeAliasType("NamedEvent", DiscussionEvent)
T = TypeVar("T")


class Created(BaseModel, Generic[T]):
    type: Literal["created"] = "created"
    item: T


Crud = TypeAliasType("Crud", Created[T], type_params=(T,))
PATH = "/discussions/{discussion_id}/events"
UNION = {
    "oneOf": [
        {"$ref": "#/components/schemas/CommentAdded"},
        {"$ref": "#/components/schemas/DiscussionClosed"},
    ],
    "discriminator": {
        "propertyName": "type",
        "mapping": {
            "comment-added": "#/components/schemas/CommentAdded",
            "discussion-closed": "#/components/schemas/DiscussionClosed",
        },
    },
}


@pytest.fixture
def discussions():
    return ChannelManager(DiscussionEvent, key_prefix="discussion", key_suffix="comments")


@pytest.fixture
def router(discussions):
    return create_sse_router(discussions, PATH)


def document(*included):
    app = FastAPI()
    for router, options in included:
        app.include_router(router, **options)
    return app.openapi()


def content(spec, path=PATH):
    return spec["paths"][path]["get"]["responses"]["200"]["content"]


def test_stream_documents_the_union_as_a_named_discriminated_component(router):
    spec = document((router, {}))

    assert content(spec) == {
        "text/event-stream": {"schema": {"$ref": "#/components/schemas/Discussion-CommentsEvent"}}
    }
    union = spec["components"]["schemas"]["Discussion-CommentsEvent"]
    assert {name: union[name] for name in UNION} == UNION
    assert "type" not in union
    assert {"CommentAdded", "DiscussionClosed"} <= set(spec["components"]["schemas"])


def test_prefix_changes_the_path_only(router):
    spec = document((router, {"prefix": "/api/{tenant}"}))

    assert content(spec, f"/api/{{tenant}}{PATH}") == content(document((router, {})))


def test_versioned_double_inclusion_keeps_one_component(router):
    spec = document((router, {"prefix": "/v1"}), (router, {"prefix": "/v2"}))

    assert content(spec, f"/v1{PATH}") == content(spec, f"/v2{PATH}")
    assert spec["components"]["schemas"].keys() == (
        document((router, {}))["components"]["schemas"].keys()
    )
    ids = [spec["paths"][f"/v{version}{PATH}"]["get"]["operationId"] for version in (1, 2)]
    assert len(set(ids)) == 2


def test_declared_name_is_the_components_name():
    manager = ChannelManager(NamedEvent, key_prefix="discussion")

    spec = document((create_sse_router(manager, PATH), {}))

    assert content(spec)["text/event-stream"]["schema"]["$ref"].endswith("/NamedEvent")


def test_given_name_is_the_components_name_where_another_is_declared():
    manager = ChannelManager(NamedEvent, key_prefix="discussion", name="Given")

    spec = document((create_sse_router(manager, PATH), {}))

    assert content(spec)["text/event-stream"]["schema"]["$ref"].endswith("/Given")


def test_names_that_are_made_of_keys_leave_those_of_models_and_each_other_alone():
    class DiscussionEventsEvent(BaseModel):
        """Named as a manager of discussions might name its union."""

    class Event(BaseModel):
        """As one without letters might."""

    app = FastAPI()
    for prefix in ("discussion", "обсуждение", "заметка", "discussion.", "Discussion"):
        for suffix in ("events", "события"):
            manager = ChannelManager(DiscussionEvent, key_prefix=prefix, key_suffix=suffix)
            app.include_router(create_sse_router(manager, f"/{prefix}/{{id}}/{suffix}"))

    @app.get("/models")
    async def models() -> tuple[DiscussionEventsEvent, Event] | None:
        """Return the user's models."""

    schemas = set(app.openapi()["components"]["schemas"])
    assert {"DiscussionEventsEvent", "Event", "Discussion-EventsEvent"} <= schemas
    assert not [name for name in schemas if "__" in name]
    assert len([name for name in schemas if "Event-" in name]) == 9


def test_unions_of_a_generic_alias_are_told_apart_by_what_it_is_given():
    numbers = ChannelManager(Crud[int], key_prefix="number")
    texts = ChannelManager(Crud[str], key_prefix="text")

    spec = document(
        (create_sse_router(numbers, "/0/{id}"), {}), (create_sse_router(texts, "/1/{id}"), {})
    )

    names = [content(spec, f"/{i}/{{id}}")["text/event-stream"]["schema"]["$ref"] for i in (0, 1)]
    assert [name.rpartition("/")[2] for name in names] == ["Crud_int_", "Crud_str_"]
    assert spec["paths"]["/0/{id}"]["get"]["summary"] == "Stream Crud[int]"
    assert spec["paths"]["/0/{id}"]["get"]["operationId"].startswith("stream_crud_int_")


def test_single_model_is_documented_too():
    manager = ChannelManager(CommentAdded, key_prefix="comment")

    spec = document((create_sse_router(manager, PATH), {}))

    name = content(spec)["text/event-stream"]["schema"]["$ref"].rpartition("/")[2]
    assert name in spec["components"]["schemas"]


class Thread(BaseModel):
    type: Literal["thread"] = "thread"
    replies: list["Thread"] = []


def test_recursive_single_model_is_documented():
    manager = ChannelManager(Thread, key_prefix="thread", key_suffix="replies")

    spec = document((create_sse_router(manager, PATH), {}))

    reference = content(spec)["text/event-stream"]["schema"]["$ref"]
    assert reference == "#/components/schemas/Thread-RepliesEvent"
    assert spec["components"]["schemas"]["Thread"]["properties"]["replies"]["items"] == {
        "$ref": "#/components/schemas/Thread"
    }


def test_managers_of_one_union_have_components_of_their_own(discussions):
    votes = ChannelManager(DiscussionEvent, key_prefix="vote")

    spec = document(
        (create_sse_router(discussions, PATH), {}), (create_sse_router(votes, "/votes/{id}"), {})
    )

    assert {"Discussion-CommentsEvent", "Vote-EventsEvent"} <= set(spec["components"]["schemas"])


def test_head_is_not_documented(router):
    assert list(document((router, {}))["paths"][PATH]) == ["get"]


def test_parameters_are_the_resource_id_and_last_event_id(router):
    parameters = document((router, {}))["paths"][PATH]["get"]["parameters"]

    assert [(found["in"], found["name"], found["required"]) for found in parameters] == [
        ("path", "discussion_id", True),
        ("query", "last_event_id", False),
        ("header", "Last-Event-ID", False),
    ]


def test_type_of_the_resource_id_is_that_of_the_path_parameter():
    manager = ChannelManager(DiscussionEvent, key_prefix="discussion", resource_id_type=UUID)

    [parameter, *_] = document((create_sse_router(manager, PATH), {}))["paths"][PATH]["get"][
        "parameters"
    ]

    assert (parameter["schema"]["type"], parameter["schema"]["format"]) == ("string", "uuid")


class Order(StrEnum):
    """Which of the events that came before are shown first."""

    NEWEST = "newest"
    OLDEST = "oldest"


def test_initial_event_adds_its_parameters_and_security(discussions):
    def initial(
        team: str,
        discussion_id: int,
        order: Order,
        x_tenant: Annotated[str, Header()],
        _: Annotated[str, Security(OAuth2PasswordBearer("token"))],
    ) -> None:
        """Return nothing."""

    router = create_sse_router(discussions, PATH, initial_event=initial)
    spec = document((router, {"prefix": "/{team}"}))

    operation = spec["paths"][f"/{{team}}{PATH}"]["get"]
    assert [(found["in"], found["name"]) for found in operation["parameters"]] == [
        ("path", "discussion_id"),
        ("path", "team"),
        ("query", "last_event_id"),
        ("query", "order"),
        ("header", "Last-Event-ID"),
        ("header", "x-tenant"),
    ]
    assert operation["security"] == [{"OAuth2PasswordBearer": []}]
    assert "OAuth2PasswordBearer" in spec["components"]["securitySchemes"]
    assert "Order" in spec["components"]["schemas"]


def test_description_lists_the_events_and_how_to_try_them(router):
    description = document((router, {}))["paths"][PATH]["get"]["description"]

    assert "- `comment-added`\n- `discussion-closed`" in description
    assert "curl -N" in description


def test_responses_and_tags_are_added(discussions):
    router = create_sse_router(
        discussions, PATH, tags=["live"], responses={404: {"description": "No such discussion"}}
    )

    operation = document((router, {}))["paths"][PATH]["get"]

    assert operation["tags"] == ["live"]
    assert set(operation["responses"]) == {"200", "404", "422", "503"}


def test_application_may_name_operations_after_tags(discussions):
    app = FastAPI(generate_unique_id_function=lambda route: f"{route.tags[0]}-{route.name}")
    app.include_router(
        create_sse_router(discussions, PATH, tags=["live"], initial_event=lambda: None)
    )
    app.include_router(create_client_router())

    operation = app.openapi()["paths"][PATH]["get"]

    assert operation["operationId"] == "live-stream_discussion_comments_event"


def test_publisher_dependency_adds_nothing(discussions):
    app = FastAPI()

    @app.post("/discussions")
    async def publish(publisher: Annotated[object, Depends(discussions.publisher)]) -> None:
        """Publish."""

    assert "parameters" not in app.openapi()["paths"]["/discussions"]["post"]
