// Streams below prefixes: without parameters, with several, of one model, told apart by `kind`.
import { channel, connect, type EventOf, type StreamPath } from "fastapi-sse-channels";
import type { paths } from "./prefixes.openapi.js";
import type { NewsEvent } from "./prefixes.hey-api/types.gen.js";

const streams: Record<StreamPath<paths>, true> = {
  "/api/v1/news": true,
  "/api/v1/boards/{board_id}/cursors/{user_id}/events": true,
  "/api/v1/jobs/{job_id}/events": true,
};
Object.keys(streams);

channel<paths>()("/api/v1/news");
channel<paths>()("/api/v1/news", {
  on: {
    headline: ({ title, authors }) => title + authors[0]?.joined?.trim(),
    retraction: ({ reason }) => reason?.trim(),
  },
});
channel<paths>()("/api/v1/news", {
  on: {
    // @ts-expect-error TS18049 may be null
    retraction: ({ reason }) => reason.trim(),
  },
});
// @ts-expect-error TS2345 the prefix is part of the path
channel<paths>()("/news");

const path = { board_id: 1, user_id: "b2c3" };
channel<paths>()("/api/v1/boards/{board_id}/cursors/{user_id}/events", {
  path,
  on: { moved: ({ x, y }) => x + y },
});
channel<paths>()("/api/v1/boards/{board_id}/cursors/{user_id}/events", {
  // @ts-expect-error TS2741 a parameter is missing
  path: { board_id: 1 },
});
channel<paths>()("/api/v1/boards/{board_id}/cursors/{user_id}/events", {
  // @ts-expect-error TS2322 not this type
  path: { ...path, board_id: "one" },
});

channel<paths>()("/api/v1/jobs/{job_id}/events", {
  path: { job_id: "1" },
  onEvent(event) {
    if (event.kind === "started") event.at.trim();
    else event.percent.toFixed();
    // @ts-expect-error TS2367 no such event
    if (event.kind === "failed") return;
  },
});

// both generators describe the same events
declare const news: EventOf<paths, "/api/v1/news">;
news satisfies NewsEvent;
connect<NewsEvent>("/api/v1/news", {
  onEvent(event) {
    if (event.type === "headline") event.title.trim();
    // @ts-expect-error TS2339 not a field of this event
    else event.title.trim();
  },
});
