// Compiled, never run.
import type { components, paths } from "../test/openapi.js";
import { channel, type EventOf, type StreamPath } from "./channel.js";
import { connect } from "./connect.js";
import { tabs } from "./tabs.js";
import type { Connection } from "./types.js";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const assert = <_T extends true>() => {};

type DiscussionEvent = components["schemas"]["DiscussionEvent"];
const events = "/discussions/{discussion_id}/events";
const path = { discussion_id: "42" };

assert<Equal<EventOf<paths, typeof events>, DiscussionEvent>>();
assert<Equal<EventOf<paths, "/health">, never>>();
assert<Equal<StreamPath<paths>, typeof events | "/news">>();

const open = channel<paths>();
const connection = open(events, {
  path,
  on: {
    "comment-added": (event) => assert<Equal<typeof event, components["schemas"]["CommentAdded"]>>(),
    "discussion-closed": (event) => assert<Equal<typeof event.type, "discussion-closed">>(),
  },
  onEvent(event) {
    assert<Equal<typeof event, DiscussionEvent>>();
    if (event.type === "comment-added") event.comment_count.toFixed();
    // @ts-expect-error: the other member has no such field
    else event.comment_count;
  },
});
assert<Equal<typeof connection, Connection<DiscussionEvent>>>();
for await (const event of connection) assert<Equal<typeof event, DiscussionEvent>>();

open("/news");
open("/news", { on: { headline: (event) => event.title, retraction: (event) => event.of } });

// @ts-expect-error: no such event
open(events, { path, on: { "comment-removed": () => {} } });
// @ts-expect-error: no such field
open(events, { path, on: { "comment-added": (event) => event.comments } });
// @ts-expect-error: the field of another event
open("/news", { on: { headline: (event) => event.of } });
// @ts-expect-error: no such path
open("/discussions/{discussion_id}/event", { path });
// @ts-expect-error: a path that is no stream
open("/health");
// @ts-expect-error: a path without a GET
open("/discussions/{discussion_id}/comments", { path });
// @ts-expect-error: a missing parameter
open(events, { path: {} });
// @ts-expect-error: all parameters missing
open(events, {});
// @ts-expect-error: no options at all
open(events);
// @ts-expect-error: a wrong parameter
open(events, { path: { discussion: "42" } });
// @ts-expect-error: a parameter of the wrong type
open(events, { path: { discussion_id: 42 } });
// @ts-expect-error: a parameter where there is none
open("/news", { path });

connect<DiscussionEvent>("/x", { share: tabs, user: "ada" });
connect<DiscussionEvent>("/x", { user: "ada" });
// @ts-expect-error: sharing across tabs needs a user
connect<DiscussionEvent>("/x", { share: tabs });
// @ts-expect-error: no such event
connect<DiscussionEvent>("/x", { onEvent: (event) => event.type === "comment-removed" });
connect("/x", { onEvent: (event) => event.type.toUpperCase() + String(event.anything) });

const { status } = connection;
// @ts-expect-error: only a waiting connection has a delay
status.delay;
if (status.state === "waiting") status.delay.toFixed();
