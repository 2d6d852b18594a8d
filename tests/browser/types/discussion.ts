// What the example application's document lets a page write, and what it does not.
import { channel, connect, type EventOf } from "fastapi-sse-channels";
import type { paths } from "./discussion.openapi.js";
import type { DiscussionEvent } from "./discussion.hey-api/types.gen.js";

type Event = EventOf<paths, "/discussions/{discussion_id}/events">;

const connection = channel<paths>()("/discussions/{discussion_id}/events", {
  path: { discussion_id: "welcome" },
  on: {
    snapshot: ({ comments, viewers }) => comments.map(({ up }) => up + viewers),
    "comment-added": ({ comment }) => comment.text.trim(),
    "votes-changed": ({ comment_id, up, down }) => comment_id + up + down,
    "viewers-changed": ({ viewers }, { id, name }) => id + name + viewers.toFixed(),
  },
  onEvent(event) {
    if (event.type === "snapshot") event.comments.at(-1)?.author.trim();
  },
});

for await (const event of connection) {
  const name: "snapshot" | "comment-added" | "votes-changed" | "viewers-changed" = event.type;
  name.trim();
}

const listener = {
  onEvent(event: Event) {
    switch (event.type) {
      case "snapshot":
        return event.comments.length;
      case "comment-added":
        return event.comment.posted_at;
      case "votes-changed":
        return event.up - event.down;
      case "viewers-changed":
        return event.viewers;
      default:
        // every case is named
        return event satisfies never;
    }
  },
};
connect<Event>("/discussions/welcome/events", listener);

// hey-api's types serve as well
connect<DiscussionEvent>("/discussions/welcome/events", {
  onEvent(event) {
    if (event.type === "comment-added") event.comment.text.trim();
    // @ts-expect-error TS2339 not a field of this event
    if (event.type === "comment-added") event.viewers;
    // @ts-expect-error TS2367 no such event
    if (event.type === "comment-removed") return;
  },
});
connect<DiscussionEvent>("/discussions/welcome/events", listener);

connect<Event>("/discussions/welcome/events", {
  onEvent(event) {
    // @ts-expect-error TS2339 not a field of every event
    event.comment;
    // @ts-expect-error TS2367 no such event
    if (event.type === "comment-removed") return;
    // @ts-expect-error TS2339 not a field of this event
    if (event.type === "votes-changed") event.viewers;
    // @ts-expect-error TS2339 not this type
    if (event.type === "votes-changed") event.up.trim();
  },
});

channel<paths>()("/discussions/{discussion_id}/events", {
  path: { discussion_id: "welcome" },
  on: {
    // @ts-expect-error TS2353 no such event
    "comment-removed": () => {},
  },
});
channel<paths>()("/discussions/{discussion_id}/events", {
  path: { discussion_id: "welcome" },
  on: {
    // @ts-expect-error TS2339 no such field
    "comment-added": ({ coment }) => coment,
  },
});
// @ts-expect-error TS2345 no such path
channel<paths>()("/discussion/{discussion_id}/events", { path: { discussion_id: "welcome" } });
// @ts-expect-error TS2345 not a stream
channel<paths>()("/discussions", {});
// @ts-expect-error TS2554 the path has a parameter
channel<paths>()("/discussions/{discussion_id}/events");
// @ts-expect-error TS2353 of another name
channel<paths>()("/discussions/{discussion_id}/events", { path: { id: "welcome" } });
// @ts-expect-error TS2344 no such path
export type Nothing = EventOf<paths, "/events">;
