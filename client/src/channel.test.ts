import { expect, it, vi } from "vitest";
import { event, open, serve, stream } from "../test/server.js";
import { until } from "../test/until.js";
import type { paths } from "../test/openapi.js";
import { channel } from "./channel.js";
import { connect } from "./connect.js";

const discussion = channel<paths>();

it("fills in the path and calls the handler of each event", async () => {
  const server = await serve(
    stream(
      open(),
      event("c1", { type: "comment-added", comment_count: 3 }),
      // a method that every object has, and that fails when it is called like this
      event("c2", { type: "__defineGetter__" }),
      event("c2", null),
      event("c3", { type: "discussion-closed" }),
    ),
  );
  const onEvent = vi.fn();
  const counts: number[] = [];
  const connection = discussion("/discussions/{discussion_id}/events", {
    baseUrl: server.origin,
    path: { discussion_id: "a/b ?" },
    on: { "comment-added": ({ comment_count }) => counts.push(comment_count) },
    onEvent,
  });
  await until(() => expect(onEvent).toHaveBeenCalledTimes(4));
  expect(server.last.url.pathname).toBe("/discussions/a%2Fb%20%3F/events");
  expect(counts).toEqual([3]);
  connection.close();
});

it("needs no options where the path has no parameters", async () => {
  const server = await serve(stream(open()));
  vi.stubGlobal("location", new URL(server.origin));
  const connection = discussion("/news");
  await until(() => expect(connection.status.state).toBe("open"));
  expect(server.last.url.pathname).toBe("/news");
  connection.close();
});

it("rounds a number that JavaScript cannot hold, and keeps it where it is text", async () => {
  const large = "9007199254740993";
  const data = `{"type":"counted","plain":${large},"text":"${large}"}`;
  const server = await serve(stream(open(), `id: c1\ndata: ${data}\n\n`));
  const onEvent = vi.fn();
  const connection = connect(server.origin, { onEvent });
  await until(() => expect(onEvent).toHaveBeenCalledOnce());
  expect(onEvent.mock.calls[0]?.[0]).toEqual({ type: "counted", plain: 2 ** 53, text: large });
  connection.close();
});
