import { render } from "../test/react.js";
import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { renderToString } from "react-dom/server";
import { expect, it, vi } from "vitest";
import { event, open, reset, serve, stream, streamAndEnd } from "../test/server.js";
import { until } from "../test/until.js";
import {
  useSSEQueryInvalidation,
  type UseSSEQueryInvalidationOptions,
} from "./useSSEQueryInvalidation.js";

interface CommentAdded {
  type: "comment-added";
  discussion_id: string;
  comment_count: number;
}

type Options = UseSSEQueryInvalidationOptions<CommentAdded, any>;

const added = (discussion_id: string, comment_count = 1): CommentAdded => ({
  type: "comment-added",
  discussion_id,
  comment_count,
});

/** A component that shows the comments of two discussions and listens to events about them. */
function renderComments(options: Options) {
  const fetches = { "1": vi.fn(async () => ["a"]), "2": vi.fn(async () => ["b"]) };
  const rendered = render((props: Options) => {
    const one = useQuery({ queryKey: ["comments", "1"], queryFn: fetches["1"] });
    const two = useQuery({ queryKey: ["comments", "2"], queryFn: fetches["2"] });
    return { one, two, ...useSSEQueryInvalidation<CommentAdded, any>(props) };
  }, options);
  const loaded = () =>
    until(() => {
      const { connected, one, two } = rendered.result.current;
      expect(connected && one.isSuccess && two.isSuccess).toBe(true);
      expect(rendered.client.isFetching()).toBe(0);
    });
  return { ...rendered, fetches, loaded };
}

const counts = ({ fetches }: ReturnType<typeof renderComments>) => [
  fetches["1"].mock.calls.length,
  fetches["2"].mock.calls.length,
];

it("fetches the listed keys again after an event", async () => {
  const server = await serve(stream(open()));
  const onEvent = vi.fn();
  const comments = renderComments({ endpoint: server.origin, queryKeys: [["comments", "1"]], onEvent });
  await comments.loaded();
  expect(counts(comments)).toEqual([1, 1]);
  server.last.response.write(event("c1", added("1")));
  await until(() => expect(counts(comments)).toEqual([2, 1]));
  expect(onEvent).toHaveBeenCalledWith(added("1"), { id: "c1", name: "message" });
  expect(server.visits).toHaveLength(1);
});

it("fetches the keys that a function of the event returns", async () => {
  const server = await serve(stream(open()));
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: ({ discussion_id }) => [["comments", discussion_id]],
  });
  await comments.loaded();
  server.last.response.write(event("c1", added("2")));
  await until(() => expect(counts(comments)).toEqual([1, 2]));
});

it("takes a key whose first element is an array for one key", async () => {
  const server = await serve(stream(open()));
  const { client, result } = render((props: Options) => useSSEQueryInvalidation(props), {
    endpoint: server.origin,
    queryKeys: [[["nested", "1"], "x"]],
  });
  client.setQueryData([["nested", "1"], "x"], 1);
  client.setQueryData(["nested", "1"], 1);
  await until(() => expect(result.current.connected).toBe(true));
  server.last.response.write(event("c1", added("1")));
  await until(() =>
    expect(client.getQueryState([["nested", "1"], "x"])?.isInvalidated).toBe(true),
  );
  expect(client.getQueryState(["nested", "1"])?.isInvalidated).toBe(false);
});

it("fetches once for events that arrive together", async () => {
  const server = await serve(stream(open()));
  const comments = renderComments({ endpoint: server.origin, queryKeys: [["comments", "1"]] });
  await comments.loaded();
  server.last.response.write(event("c1", added("1")) + event("c2", added("1")));
  await until(() => expect(counts(comments)).toEqual([2, 1]));
});

it("fetches again after a reset", async () => {
  const server = await serve(stream(open()));
  const onReset = vi.fn();
  const comments = renderComments({ endpoint: server.origin, queryKeys: [["comments", "1"]], onReset });
  await comments.loaded();
  server.last.response.write(reset("c9", "slow"));
  await until(() => expect(counts(comments)).toEqual([2, 1]));
  expect(onReset).toHaveBeenCalledWith("slow");
});

it("fetches again after a reconnection that did not resume, not after one that did", async () => {
  const server = await serve(
    stream(open()),
    stream(open({ resumed: true })),
    stream(open({ resumed: false })),
  );
  const comments = renderComments({ endpoint: server.origin, queryKeys: [["comments", "1"]] });
  await comments.loaded();
  server.last.response.end();
  await until(() => expect(comments.result.current.status).toEqual({ state: "open", resumed: true }));
  expect(counts(comments)).toEqual([1, 1]);
  server.last.response.end();
  await until(() => expect(counts(comments)).toEqual([2, 1]));
});

it("fetches again what was cached before it listened, once, and nothing else", async () => {
  const server = await serve(stream(open()), stream(open({ resumed: true })));
  const fetches = vi.fn(async () => "fresh");
  const { client, result } = render(
    (props: Options) => {
      useQuery({ queryKey: ["cached"], queryFn: fetches, staleTime: Infinity });
      useQuery({ queryKey: ["other"], queryFn: fetches, staleTime: Infinity });
      useQuery({ queryKey: ["first"], queryFn: async () => "first", staleTime: Infinity });
      return useSSEQueryInvalidation<CommentAdded, any>(props);
    },
    { endpoint: server.origin, queryKeys: [["cached"], ["first"]] },
    (client) => {
      client.setQueryData(["cached"], "old", { updatedAt: Date.now() - 60_000 });
      client.setQueryData(["other"], "old", { updatedAt: Date.now() - 60_000 });
    },
  );
  await until(() => expect(client.getQueryData(["cached"])).toBe("fresh"));
  server.last.response.end();
  await until(() => expect(result.current.status).toEqual({ state: "open", resumed: true }));
  expect(fetches).toHaveBeenCalledTimes(1);
  expect(client.getQueryData(["other"])).toBe("old");
  expect(client.getQueryState(["first"])?.dataUpdateCount).toBe(1);
});

it("fetches again what it missed while another component held the stream", async () => {
  const server = await serve(stream(open()));
  const fetches = vi.fn(async () => fetches.mock.calls.length);
  const options: Options = { endpoint: server.origin, queryKeys: [["shown"]] };
  const holder = render((props: Options) => useSSEQueryInvalidation(props), {
    ...options,
    queryKeys: [],
  });
  const { result, rerender } = render(
    ({ enabled }: { enabled: boolean }) => {
      useSSEQueryInvalidation<any>({ ...options, enabled });
      return useQuery({ queryKey: ["shown"], queryFn: fetches, staleTime: Infinity }).data;
    },
    { enabled: true },
  );
  await until(() => expect(result.current).toBe(1));
  await until(() => expect(holder.result.current.connected).toBe(true));
  rerender({ enabled: false });
  const onEvent = vi.fn();
  holder.rerender({ ...options, queryKeys: [], onEvent });
  server.last.response.write(event("c1", added("1")));
  await until(() => expect(onEvent).toHaveBeenCalled());
  expect(result.current).toBe(1);
  rerender({ enabled: true });
  await until(() => expect(result.current).toBe(2));
  expect(server.visits).toHaveLength(1);
});

it("fetches again what was cached before it listened with other headers", async () => {
  const server = await serve(stream(open()));
  const fetches = vi.fn(async () => fetches.mock.calls.length);
  const { client, result, rerender } = render(
    (tenant: string) => {
      useSSEQueryInvalidation<any>({
        endpoint: server.origin,
        headers: { "X-Tenant": tenant },
        queryKeys: [["shown"]],
      });
      return useQuery({ queryKey: ["shown"], queryFn: fetches, staleTime: Infinity }).data;
    },
    "1" as string,
  );
  await until(() => expect(result.current).toBe(1));
  await until(() => expect(server.open).toBe(1));
  const { dataUpdatedAt } = client.getQueryState(["shown"])!;
  await until(() => expect(Date.now()).toBeGreaterThan(dataUpdatedAt));
  rerender("2");
  await until(() => expect(result.current).toBe(2));
  expect(server.visits).toHaveLength(2);
});

it("fetches everything after a reset when a function cannot say what", async () => {
  const server = await serve(
    streamAndEnd(open(), event("c1", added("1"))),
    stream(open({ resumed: false })),
  );
  const comments = renderComments({ endpoint: server.origin, queryKeys: () => [] });
  await comments.loaded();
  await until(() => expect(counts(comments)).toEqual([2, 2]));
});

it("fetches everything where no reset is told of a stream that began anew", async () => {
  const server = await serve(streamAndEnd(open()), stream(open({ resumed: false })));
  const onReset = vi.fn();
  const comments = renderComments({ endpoint: server.origin, queryKeys: () => [], onReset });
  await comments.loaded();
  await until(() => expect(counts(comments)).toEqual([2, 2]));
  expect(onReset).not.toHaveBeenCalled();
});

it("tells its caller of the status", async () => {
  const server = await serve(stream(open()));
  const onStatus = vi.fn();
  renderComments({ endpoint: server.origin, queryKeys: () => [], onStatus });
  await until(() => expect(onStatus).toHaveBeenCalledWith({ state: "open", resumed: false }));
});

it("fetches the reset's own keys where it has some", async () => {
  const server = await serve(stream(open()));
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: () => [],
    resetKeys: [["comments", "2"]],
  });
  await comments.loaded();
  server.last.response.write(reset("c9", "slow"));
  await until(() => expect(counts(comments)).toEqual([1, 2]));
});

it("takes a payload into the cache, without a request", async () => {
  const server = await serve(stream(open()));
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: ({ discussion_id }) => [["comments", discussion_id]],
    updater: (data: string[], { comment_count }) => [...data, `#${comment_count}`],
  });
  await comments.loaded();
  server.last.response.write(event("c1", added("1", 2)) + event("c2", added("1", 3)));
  await until(() => expect(comments.result.current.one.data).toEqual(["a", "#2", "#3"]));
  expect(counts(comments)).toEqual([1, 1]);
});

it("fetches what the updater cannot write, and what is not in the cache", async () => {
  const server = await serve(stream(open()));
  const updater = vi.fn(() => undefined);
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: [["comments", "1"], ["comments"]],
    updater,
  });
  await comments.loaded();
  server.last.response.write(event("c1", added("1")));
  await until(() => expect(counts(comments)).toEqual([2, 2]));
  expect(updater).toHaveBeenCalledTimes(1);
});

it("fetches what the updater fails to write, and goes on with the other keys", async () => {
  const uncaught: unknown[] = [];
  const { queueMicrotask: queue } = globalThis;
  vi.stubGlobal("queueMicrotask", (task: () => void) =>
    queue(() => {
      try {
        task();
      } catch (error) {
        uncaught.push(error);
      }
    }),
  );
  const server = await serve(stream(open()));
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: [["comments", "1"], ["comments", "2"]],
    updater() {
      throw new Error("the caller's own");
    },
  });
  await comments.loaded();
  server.last.response.write(event("c1", added("1")));
  await until(() => expect(counts(comments)).toEqual([2, 2]));
  expect(uncaught).toEqual(Array(2).fill(new Error("the caller's own")));
});

it("waits for the throttle between two rounds, and loses none", async () => {
  const server = await serve(stream(open()));
  const comments = renderComments({
    endpoint: server.origin,
    queryKeys: ({ discussion_id }) => [["comments", discussion_id]],
    throttle: 60_000,
  });
  await comments.loaded();
  const { client } = comments;
  server.last.response.write(event("c1", added("1")));
  await until(() => expect(counts(comments)).toEqual([2, 1]));
  const onEvent = vi.fn();
  comments.rerender({
    endpoint: server.origin,
    queryKeys: ({ discussion_id }) => [["comments", discussion_id]],
    throttle: 60_000,
    onEvent,
  });
  server.last.response.write(event("c2", added("2")));
  await until(() => expect(onEvent).toHaveBeenCalled());
  expect(counts(comments)).toEqual([2, 1]);
  comments.unmount();
  await until(() => expect(client.getQueryState(["comments", "2"])?.isInvalidated).toBe(true));
});

it("does nothing on the server", async () => {
  const server = await serve(stream(open()));
  const client = new QueryClient();
  const Page = () => {
    const { connected } = useSSEQueryInvalidation({ endpoint: server.origin, queryKeys: [["a"]] });
    return <p>{String(connected)}</p>;
  };
  const page = (
    <QueryClientProvider client={client}>
      <Page />
    </QueryClientProvider>
  );
  expect(renderToString(page)).toBe("<p>false</p>");
  expect(server.visits).toEqual([]);
});
