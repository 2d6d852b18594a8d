import { experimental_streamedQuery as streamedQuery, QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it } from "vitest";
import { event, open, reset, serve, stream, streamAndEnd } from "../test/server.js";
import { until } from "../test/until.js";
import { streamEvents } from "./streamEvents.js";

it("feeds a streamed query until nobody uses it", async () => {
  const server = await serve(
    streamAndEnd(open(), event("c1", 1)),
    stream(open({ id: "c1", resumed: true }), event("c2", 2)),
  );
  const client = new QueryClient();
  const observer = new QueryObserver(client, {
    queryKey: ["events"],
    queryFn: streamedQuery({ streamFn: streamEvents<number>(server.origin) }),
  });
  const leave = observer.subscribe(() => {});
  await until(() => expect(client.getQueryData(["events"])).toEqual([1, 2]));
  leave();
  await until(() => expect(server.open).toBe(0));
});

it("fails a streamed query upon a reset, and starts a new stream in its retry", async () => {
  const server = await serve(stream(open(), event("c1", 1), reset("c9", "slow")), stream(open(), event("c9", 9)));
  const client = new QueryClient();
  const failures: unknown[] = [];
  const observer = new QueryObserver(client, {
    queryKey: ["events"],
    queryFn: streamedQuery({ streamFn: streamEvents<number>(server.origin), refetchMode: "append" }),
    retry: (_, error) => failures.push(error) < 2,
    retryDelay: 0,
  });
  const leave = observer.subscribe(() => {});
  await until(() => expect(client.getQueryData(["events"])).toEqual([1, 9]));
  expect(failures).toMatchObject([{ type: "reset", reason: "slow" }]);
  expect(server.open).toBe(1);
  leave();
});
