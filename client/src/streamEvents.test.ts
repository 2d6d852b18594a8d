import { experimental_streamedQuery as streamedQuery, QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, it } from "vitest";
import { event, open, serve, stream, streamAndEnd } from "../test/server.js";
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
