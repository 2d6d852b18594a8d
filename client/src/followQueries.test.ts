import { QueryClient, QueryObserver } from "@tanstack/query-core";
import { expect, it, onTestFinished, vi } from "vitest";
import { event, open, reset, serve, stream } from "../test/server.js";
import { until } from "../test/until.js";
import { followQueries, type FollowQueriesOptions } from "./followQueries.js";

const queryKey = ["votes"];

/** A query that somebody looks at, and a connection that it follows. */
async function follow(options: Partial<FollowQueriesOptions<number, number>> = {}) {
  const server = await serve(stream(open()));
  const client = new QueryClient();
  const queryFn = vi.fn(async () => 10);
  onTestFinished(new QueryObserver(client, { queryKey, queryFn }).subscribe(() => {}));
  await until(() => expect(client.getQueryData(queryKey)).toBe(10));
  const connection = followQueries<number, number>(client, {
    share: false,
    ...options,
    endpoint: server.origin,
    queryKeys: [queryKey],
  } as FollowQueriesOptions<number, number>);
  onTestFinished(() => connection.close());
  // they were cached before
  await until(() => expect(queryFn).toHaveBeenCalledTimes(2));
  const { response } = server.last;
  return { client, connection, queryFn, response, server };
}

it("invalidates queries after events and resets, and calls the caller's functions as well", async () => {
  const onEvent = vi.fn();
  const onReset = vi.fn();
  const { queryFn, response } = await follow({ onEvent, onReset });
  response.write(event("c1", 1));
  await until(() => expect(queryFn).toHaveBeenCalledTimes(3));
  response.write(reset("c9", "slow"));
  await until(() => expect(queryFn).toHaveBeenCalledTimes(4));
  expect(onEvent.mock.calls).toEqual([[1, { id: "c1", name: "message" }]]);
  expect(onReset.mock.calls).toEqual([["slow"]]);
});

it("takes events into the cache", async () => {
  const { client, queryFn, response } = await follow({ updater: (votes, vote) => votes + vote });
  response.write(event("c1", 1) + event("c2", 2));
  await until(() => expect(client.getQueryData(queryKey)).toBe(13));
  expect(queryFn).toHaveBeenCalledTimes(2);
});

it("leaves nothing stale that waits for its round when it is closed", async () => {
  const onEvent = vi.fn();
  const { connection, queryFn, response, server } = await follow({ onEvent, throttle: 3_600_000 });
  response.write(event("c1", 1));
  await until(() => expect(onEvent).toHaveBeenCalled());
  expect(queryFn).toHaveBeenCalledTimes(2);
  connection.close();
  await until(() => expect(queryFn).toHaveBeenCalledTimes(3));
  await until(() => expect(server.open).toBe(0));
});
