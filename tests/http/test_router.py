"""A route finds its resource, runs dependencies before the first byte, and reports failures."""

import gc
import json
from contextvars import ContextVar
from types import FunctionType
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
)
from pydantic import AfterValidator, BaseModel

from fastapi_sse_channels import (
    Channel,
    ChannelManager,
    ConfigurationError,
    InvalidEventError,
    SSEMiddleware,
    create_sse_router,
)


class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str = ""


def make_manager(**options: Any) -> ChannelManager[Note]:
    return ChannelManager(Note, **{"key_prefix": "note", **options})


def app_with(*routers, **include):
    app = FastAPI()
    for router in routers:
        app.include_router(router, **include)
    return app


async def opens_channel(connect, manager, app, path, resource_id):
    """Whether a path streams the channel of a resource."""
    stream = await connect(app, path)
    await manager.publish(resource_id, Note(text="hello"))
    await stream.until(b'"text":"hello"')
    return True


def snapshot_endpoints():
    """Count what FastAPI keeps for good of every route."""
    gc.collect()
    functions = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    return len([one for one in functions if one.__qualname__.startswith("SnapshotRoute._build")])


class TestPath:
    async def test_single_parameter_is_the_resource_id(self, connect):
        notes = make_manager()
        app = app_with(create_sse_router(notes, "/notes/{note_id}/events"))

        assert await opens_channel(connect, notes, app, "/notes/7/events", "7")

    @pytest.mark.parametrize("path", ["/events", "/users/{user_id}/notes/{note_id}/events"])
    def test_other_number_of_parameters_is_refused_with_the_fix(self, path):
        with pytest.raises(ConfigurationError, match=r"exactly one path parameter.*pass channel="):
            create_sse_router(make_manager(), path)

    def test_callables_are_checked_when_the_router_is_made(self):
        text: Any = "note"
        for option in ("channel", "initial_event", "on_connect", "on_disconnect"):
            with pytest.raises(ConfigurationError, match=f"^{option}='note' cannot be called"):
                create_sse_router(make_manager(), "/notes/{note_id}/events", **{option: text})

    def test_hooks_are_checked_when_the_router_is_made(self):
        hook: Any = lambda: None  # noqa: E731  # it takes no session
        for option in ("on_connect", "on_disconnect"):
            with pytest.raises(ConfigurationError, match=f"^{option} is called with the session"):
                create_sse_router(make_manager(), "/notes/{note_id}/events", **{option: hook})

    @pytest.mark.parametrize(
        ("converter", "value", "resource_id"),
        [("int", "7", "7"), ("path", "a/b", "a/b"), ("uuid", None, None), ("str", "a", "a")],
    )
    async def test_converted_parameter_is_the_resource_id(
        self, connect, converter, value, resource_id
    ):
        notes = make_manager()
        unique = "0e123fb2-6bb5-416c-aa81-c1ddf775bf8c"
        app = app_with(create_sse_router(notes, f"/notes/{{note_id:{converter}}}/events"))

        path = f"/notes/{value or unique}/events"
        assert await opens_channel(connect, notes, app, path, resource_id or unique)

    @pytest.mark.parametrize("path", ["/notes/{note_id}/events", "/notes/{note_id:uuid}/events"])
    async def test_any_spelling_of_a_typed_id_streams_the_channel_of_that_id(self, connect, path):
        notes = make_manager(resource_id_type=UUID)
        unique = UUID("0e123fb2-6bb5-416c-aa81-c1ddf775bf8c")
        app = app_with(create_sse_router(notes, path))

        upper = f"/notes/{str(unique).upper()}/events"
        assert await opens_channel(connect, notes, app, upper, unique)
        assert await opens_channel(connect, notes, app, f"/notes/{unique}/events", unique.hex)

    async def test_id_that_is_not_of_its_type_is_a_client_error(self, connect):
        notes = make_manager(resource_id_type=Annotated[str, AfterValidator(str.strip)])
        app = app_with(
            create_sse_router(notes, "/notes/{note_id}/events"),
            create_sse_router(make_manager(resource_id_type=int), "/numbers/{number}/events"),
        )

        assert (await connect(app, "/numbers/seven/events")).status == 422
        for nameless in ("%20", "x" * 256):
            assert (await connect(app, f"/notes/{nameless}/events")).status == 422

    async def test_prefix_with_parameters_of_its_own(self, connect):
        notes = make_manager()
        seen = []

        async def initial(team: str, note_id: str) -> None:
            seen.append((team, note_id))

        router = create_sse_router(notes, "/notes/{note_id}/events", initial_event=initial)
        app = app_with(router, prefix="/teams/{team}")

        assert await opens_channel(connect, notes, app, "/teams/t/notes/7/events", "7")
        assert seen == [("t", "7")]

    async def test_route_inside_nested_routers_finds_its_resource(self, connect):
        notes = make_manager()
        inner, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/outer/{place}")
        inner.include_router(create_sse_router(notes, "/notes/{note_id}/events"))
        outer.include_router(inner)

        assert await opens_channel(
            connect, notes, app_with(outer), "/outer/x/inner/notes/7/events", "7"
        )

    async def test_router_included_twice_finds_its_resource_at_both_places(self, connect):
        notes = make_manager()
        router = create_sse_router(notes, "/notes/{note_id}/events", initial_event=lambda: None)
        app = FastAPI()
        app.include_router(router, prefix="/v1")
        app.include_router(router, prefix="/v2/{team}")

        assert await opens_channel(connect, notes, app, "/v1/notes/7/events", "7")
        assert await opens_channel(connect, notes, app, "/v2/t/notes/7/events", "7")

    async def test_route_of_a_mounted_application_finds_its_resource(self, connect):
        def no_event(note_id: str) -> None:
            assert note_id == "7"

        notes = make_manager()
        app = FastAPI()
        app.mount(
            "/sub/{team}",
            app_with(create_sse_router(notes, "/notes/{note_id}/events", initial_event=no_event)),
        )

        assert await opens_channel(connect, notes, app, "/sub/x/notes/7/events", "7")

    async def test_route_has_a_name_to_make_urls_of(self):
        app = app_with(create_sse_router(make_manager(), "/notes/{note_id}/events", name="stream"))

        assert app.url_path_for("stream", note_id="7") == "/notes/7/events"


class TestChannelDependency:
    async def test_resource_id_from_several_parameters(self, connect):
        notes = make_manager()

        async def channel(team: str, number: int):
            if number > 9:
                raise HTTPException(404, "no such note")
            return notes.channel(f"{team}/{number}")

        app = app_with(create_sse_router(notes, "/{team}/{number}/events", channel=channel))

        assert await opens_channel(connect, notes, app, "/t/7/events", "t/7")
        assert (await connect(app, "/t/10/events")).status == 404
        assert (await connect(app, "/t/ten/events")).status == 422

    async def test_dependency_that_returns_no_channel_is_named(self, connect):
        def untyped() -> Any:
            return "7"

        notes = make_manager()
        app = app_with(create_sse_router(notes, "/events", channel=untyped))

        stream = await connect(app, "/events")
        with pytest.raises(ConfigurationError, match=r"returned str; return manager\.channel"):
            await stream.until_end()

    async def test_overridden_dependencies_are_honoured(self, connect):
        notes = make_manager()

        def user() -> str:
            raise HTTPException(401)

        def channel(name: Annotated[str, Depends(user)]):
            return notes.channel(name)

        app = app_with(create_sse_router(notes, "/events", channel=channel))
        assert (await connect(app, "/events")).status == 401
        app.dependency_overrides[user] = lambda: "ann"

        assert await opens_channel(connect, notes, app, "/events", "ann")

    async def test_more_dependencies_of_the_route_run(self, connect):
        def refuse():
            raise HTTPException(403)

        app = app_with(
            create_sse_router(
                make_manager(), "/notes/{note_id}/events", dependencies=[Depends(refuse)]
            )
        )

        assert (await connect(app, "/notes/7/events")).status == 403

    async def test_204_stops_an_event_source(self, connect):
        def closed():
            raise HTTPException(204)

        app = app_with(create_sse_router(make_manager(), "/events", channel=closed))
        stream = await connect(app, "/events")

        assert (stream.status, stream.body) == (204, b"")


class TestInjectedResponse:
    """What dependencies set on the `Response` that FastAPI injects."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    async def test_its_cookies_and_headers_are_sent_with_the_stream(self, connect, method):
        def rotate(response: Response):
            response.set_cookie("session", "new")
            response.set_cookie("csrf", "other")

        def readable(response: Response) -> Channel[Note]:
            response.headers["X-Team"] = "red"
            response.headers["Cache-Control"] = "public"
            response.headers["Content-Type"] = "text/plain"
            response.headers["X-Accel-Buffering"] = "yes"
            return manager.channel("1")

        manager = make_manager()
        app = app_with(
            create_sse_router(manager, "/events", channel=readable, dependencies=[Depends(rotate)])
        )

        stream = await connect(app, "/events", method=method)

        sent = [tuple(map(bytes.decode, pair)) for pair in stream.messages[0]["headers"]]
        assert sorted(sent) == [
            ("cache-control", "no-store, no-transform"),
            ("content-type", "text/event-stream; charset=utf-8"),
            ("set-cookie", "csrf=other; Path=/; SameSite=lax"),
            ("set-cookie", "session=new; Path=/; SameSite=lax"),
            ("x-accel-buffering", "no"),
            ("x-team", "red"),
        ]

    async def test_a_status_other_than_200_is_refused_with_the_fix(self, connect):
        def soft(response: Response):
            response.status_code = 204

        app = app_with(
            create_sse_router(make_manager(), "/notes/{note_id}", dependencies=[Depends(soft)])
        )

        stream = await connect(app, "/notes/1")
        with pytest.raises(ConfigurationError, match=r"raise HTTPException\(204\)"):
            await stream.until_end()

    async def test_a_path_parameter_may_have_its_name(self, connect):
        app = app_with(create_sse_router(make_manager(), "/surveys/{response}/events"))

        assert (await connect(app, "/surveys/1/events")).status == 200


class TestLastEventId:
    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            ("last_event_id={0}", [1, 2]),
            ("lastEventId={0}", [1, 2]),
            ("lastEventID={0}", [1, 2]),
            ("Last-Event-ID={0}", [1, 2]),
            # a client adds its own to the URL that a page wrote
            ("last_event_id={0}&lastEventId={1}", [2]),
            ("lastEventId={0}&last_event_id={1}", [2]),
            ("lastEventId={0}&lastEventId={1}", [2]),
            ("last_event_id={1}&lastEventId=", [2]),
        ],
    )
    async def test_query_parameter_resumes_in_each_spelling(self, connect, query, numbers):
        notes = make_manager()
        app = app_with(create_sse_router(notes, "/notes/{note_id}/events"))
        # one stream keeps the channel
        await connect(app, "/notes/7/events")
        ids = [await notes.publish("7", Note(text=str(number))) for number in range(3)]

        stream = await connect(app, f"/notes/7/events?{query.format(*ids)}")

        opened, *events = (json.loads(frame["data"]) for frame in stream.frames)
        assert opened["resumed"]
        assert [int(event["text"]) for event in events] == numbers

    async def test_header_wins_over_each_query_parameter(self, connect):
        notes = make_manager()
        app = app_with(create_sse_router(notes, "/notes/{note_id}/events"))
        await connect(app, "/notes/7/events")
        ids = [await notes.publish("7", Note(text=str(number))) for number in range(3)]

        path = f"/notes/7/events?lastEventId={ids[0]}"
        stream = await connect(app, path, **{"last-event-id": ids[1]})

        assert [json.loads(frame["data"])["text"] for frame in stream.frames[1:]] == ["2"]


class TestHostileIds:
    @pytest.mark.parametrize(
        ("quoted", "resource_id"),
        [
            ("%3A", ":"),
            ("%2A", "*"),
            ("%3F", "?"),
            ("%5Ba%5D", "[a]"),
            ("%25", "%"),
            ("%0D%0A", "\r\n"),
            ("%00", "\0"),
            ("%E2%80%A8", "\u2028"),
            ("e%CC%81", "e\u0301"),
            ("%C3%A9", "\xe9"),
            ("x" * 255, "x" * 255),
        ],
    )
    async def test_id_that_needs_encoding_is_its_own_channel(self, connect, quoted, resource_id):
        notes = make_manager()
        app = app_with(create_sse_router(notes, "/notes/{note_id}/events"))

        assert await opens_channel(connect, notes, app, f"/notes/{quoted}/events", resource_id)

    @pytest.mark.parametrize(
        ("quoted", "status"), [("x" * 256, 422), ("x" * 60_000, 422), ("a%2Fb", 404), ("", 404)]
    )
    async def test_id_that_names_no_channel_is_a_client_error(self, connect, quoted, status):
        app = app_with(create_sse_router(make_manager(), "/notes/{note_id}/events"))

        assert (await connect(app, f"/notes/{quoted}/events")).status == status


class TestInitialEvent:
    async def texts(
        self, connect, initial_event, path="/notes/7/events", *, override=(), **headers
    ):
        app = app_with(
            create_sse_router(
                make_manager(), "/notes/{note_id}/events", initial_event=initial_event
            )
        )
        app.dependency_overrides.update(override)
        stream = await connect(app, path, **headers)
        assert stream.status == 200, stream.body
        return [
            json.loads(frame["data"])["text"] for frame in stream.frames if "event" not in frame
        ]

    async def test_initial_event_may_be_async(self, connect):
        async def initial(note_id: str):
            return Note(text=note_id)

        assert await self.texts(connect, initial) == ["7"]

    async def test_initial_event_may_be_sync(self, connect):
        def initial(note_id: int):
            return Note(text=str(note_id + 1))

        assert await self.texts(connect, initial) == ["8"]

    async def test_initial_events_keep_their_order(self, connect):
        def initial():
            return [Note(text="a"), {"type": "note", "text": "b"}]

        assert await self.texts(connect, initial) == ["a", "b"]

    async def test_initial_event_may_be_none(self, connect):
        assert await self.texts(connect, lambda: None) == []

    async def test_initial_event_may_come_from_a_class(self, connect):
        class Loaded(list[Note]):
            def __init__(self, note_id: str) -> None:
                super().__init__([Note(text=note_id)])

        assert await self.texts(connect, Loaded) == ["7"]

    async def test_initial_event_may_have_any_parameter_of_a_dependency(self, connect):
        trace = []

        async def database():
            trace.append("open")
            yield "db"
            trace.append("close")

        def initial(
            request: Request,
            db: Annotated[str, Depends(database)],
            note_id: str,
            limit: Annotated[int, Query()],
            x_user: Annotated[str, Header()],
        ):
            trace.append("load")
            return Note(text=f"{request.url.path} {db} {note_id} {limit} {x_user}")

        path = "/notes/7/events?limit=3"
        found = await self.texts(connect, initial, path, **{"x-user": "ann"})

        assert found == ["/notes/7/events db 7 3 ann"]
        assert trace == ["open", "load", "close"]

    async def test_dependencies_of_the_initial_event_may_be_overridden(self, connect):
        def database() -> str:
            raise AssertionError

        def initial(db: Annotated[str, Depends(database)]):
            return Note(text=db)

        override = {database: lambda: "fake"}
        assert await self.texts(connect, initial, override=override) == ["fake"]

    async def test_initial_event_may_be_overridden(self, connect):
        def initial():
            raise AssertionError

        override = {initial: lambda: Note(text="fake")}
        assert await self.texts(connect, initial, override=override) == ["fake"]

    async def test_router_has_one_route_for_each_application(self, connect):
        def name() -> str:
            return "real"

        def initial(text: Annotated[str, Depends(name)]):
            return Note(text=text)

        router = create_sse_router(make_manager(), "/notes/{note_id}", initial_event=initial)
        apps = app_with(router), app_with(router)
        apps[1].dependency_overrides[name] = lambda: "fake"
        before = snapshot_endpoints()
        for _ in range(3):
            for app, text in zip(apps, [b'"real"', b'"fake"'], strict=True):
                stream = await connect(app, "/notes/7")
                await stream.until(text)

        assert snapshot_endpoints() - before == 2

    async def test_initial_event_runs_its_background_tasks(self, connect):
        done: list[str] = []

        def initial(tasks: BackgroundTasks):
            tasks.add_task(done.append, "noted")
            return Note(text="a")

        assert await self.texts(connect, initial) == ["a"]
        assert done == ["noted"]

    async def test_initial_event_is_encoded_while_its_dependencies_are_open(self, connect):
        """An ORM can still load lazily."""
        state = []

        def database():
            state.append("open")
            yield
            state.clear()

        class Lazy(dict[str, str]):
            def __getitem__(self, key):
                assert state
                return super().__getitem__(key)

        def initial(_: Annotated[None, Depends(database)]):
            return Lazy(type="note", text="lazy")

        assert await self.texts(connect, initial) == ["lazy"]

    @pytest.mark.parametrize("found", ["note", 7, {"type": "other"}, [None]])
    async def test_initial_event_that_is_no_event_is_an_error(self, connect, found):
        app = app_with(
            create_sse_router(
                make_manager(), "/notes/{note_id}/events", initial_event=lambda: found
            )
        )
        stream = await connect(app, "/notes/7/events")

        with pytest.raises(InvalidEventError):
            await stream.until_end()
        assert stream.status == 500


class TestHead:
    async def test_head_ends_at_once_without_a_session(self, connect):
        notes = make_manager()
        app = app_with(create_sse_router(notes, "/notes/{note_id}/events"))

        stream = await connect(app, "/notes/7/events", method="HEAD")
        await stream.until_end()

        assert (stream.status, stream.body) == (200, b"")
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"

    @pytest.mark.parametrize("place", ["channel", "dependencies", "include"])
    async def test_head_is_refused_where_get_is(self, connect, place):
        def refuse() -> Any:
            raise HTTPException(404)

        options: dict[str, dict[str, Any]] = {
            "channel": {"channel": refuse},
            "dependencies": {"dependencies": [Depends(refuse)]},
        }
        include = {"dependencies": [Depends(refuse)]} if place == "include" else {}
        path = "/notes/{note_id}/events"
        router = create_sse_router(make_manager(), path, **options.get(place, {}))
        app = app_with(router, **include)

        assert (await connect(app, "/notes/7/events", method="HEAD")).status == 404

    async def test_other_methods_are_not_allowed(self, connect):
        app = app_with(create_sse_router(make_manager(), "/notes/{note_id}/events"))

        assert (await connect(app, "/notes/7/events", method="POST")).status == 405


class TestHooks:
    @pytest.mark.parametrize(
        "around", [lambda app: app, SSEMiddleware], ids=["plain", "handed off"]
    )
    async def test_find_what_an_async_dependency_left_in_the_context(self, connect, around):
        user: ContextVar[str] = ContextVar("user")
        found = []

        async def channel(note_id: str, x_user: Annotated[str, Header()]):
            user.set(x_user)
            return notes.channel(note_id)

        def sync(_session):
            found.append(user.get())

        async def not_sync(_session):
            found.append(user.get())

        notes = make_manager()
        options: dict[str, Any] = {"on_connect": sync, "on_disconnect": not_sync}
        router = create_sse_router(notes, "/notes/{note_id}", channel=channel, **options)
        stream = await connect(around(app_with(router)), "/notes/7", **{"x-user": "ann"})
        stream.disconnect()
        await stream.until_end()

        assert found == ["ann", "ann"]
