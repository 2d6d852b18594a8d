import { describe, expect, it } from "vitest";
import { createClock } from "../test/clock.js";
import { record, type Recorded } from "../test/recorder.js";
import { event, open, reset, serve, status, stream } from "../test/server.js";
import { until } from "../test/until.js";
import type { ConnectOptions } from "./types.js";

const page = { share: "page" } as const;

describe("equal streams", () => {
  it("share one connection until the last one closes", async () => {
    const server = await serve(stream(open(), event("c1", 1)));
    const clock = createClock();
    const one = record(server.origin, { ...page, clock });
    const two = record(server.origin, { ...page, clock });
    await until(() => expect([one.events, two.events]).toEqual([[1], [1]]));
    expect(server.visits).toHaveLength(1);

    one.connection.close();
    server.last.response.write(event("c2", 2));
    await until(() => expect(two.events).toEqual([1, 2]));
    expect(one.events).toEqual([1]);
    expect(one.connection.status).toEqual({ state: "closed", reason: "caller" });

    two.connection.close();
    clock.advance(249);
    expect(server.open).toBe(1);
    clock.advance(1);
    await until(() => expect(server.open).toBe(0));
  });

  it("outlive the moment between two readers", async () => {
    const server = await serve(stream(open()));
    const clock = createClock();
    record(server.origin, { ...page, clock }).connection.close();
    clock.advance(200);
    const later = record(server.origin, { ...page, clock });
    clock.advance(1000);
    await until(() => expect(later.connection.status.state).toBe("open"));
    expect(server.visits).toHaveLength(1);
  });

  it("tell a latecomer where they stand", async () => {
    const server = await serve(stream(open(), event("c1", 1)));
    const one = record(server.origin, page);
    await until(() => expect(one.events).toEqual([1]));
    const two = record(server.origin, page);
    expect(two.connection.status.state).toBe("open");
    await until(() => expect(two.statuses).toEqual([{ state: "open", resumed: false }]));
    expect(two.events).toEqual([]);
  });

  it("reconnect together", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true }), event("c1", 1)));
    const one = record(server.origin, page);
    const two = record(server.origin, page);
    await until(() => expect(two.connection.status.state).toBe("open"));
    one.connection.reconnect();
    await until(() => expect([one.events, two.events]).toEqual([[1], [1]]));
    expect(server.visits).toHaveLength(2);
  });

  it("begin anew after the server has ended them", async () => {
    const server = await serve(status(204), stream(open(), event("c1", 1)));
    const one = record(server.origin, page);
    await until(() => expect(one.connection.status.state).toBe("closed"));
    const two = record(server.origin, page);
    await until(() => expect(two.events).toEqual([1]));
    expect(one.events).toEqual([]);
  });

  it("are one again when a reader has revived them", async () => {
    const server = await serve(status(401), stream(open()));
    const one = record(server.origin, page);
    await until(() => expect(one.connection.status.state).toBe("closed"));
    one.connection.reconnect();
    await until(() => expect(one.connection.status.state).toBe("open"));
    const two = record(server.origin, page);
    await until(() => expect(two.connection.status.state).toBe("open"));
    expect(server.visits).toHaveLength(2);
  });

  it("leave alone a reader whose signal was aborted before another revived them", async () => {
    const server = await serve(status(401), stream(open(), event("c1", 1)));
    const controller = new AbortController();
    const one = record(server.origin, { ...page, signal: controller.signal });
    const two = record(server.origin, page);
    await until(() => expect(two.connection.status.state).toBe("closed"));
    controller.abort();
    two.connection.reconnect();
    await until(() => expect(two.events).toEqual([1]));
    expect(one.course).toEqual(["closed:unauthorized"]);
    expect(one.events).toEqual([]);
  });

  it("ask the headers of a reader that is still there", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true })));
    const asking = (token: string) =>
      record(server.origin, { ...page, user: "1", headers: async () => ({ Authorization: token }) });
    const one = asking("one");
    const two = asking("two");
    await until(() => expect(two.connection.status.state).toBe("open"));
    one.connection.close();
    two.connection.reconnect();
    await until(() => expect(server.visits).toHaveLength(2));
    expect(server.last.headers.authorization).toBe("two");

    // while it outlives its last reader, too
    two.connection.close();
    const three = asking("three");
    three.connection.reconnect();
    await until(() => expect(server.visits).toHaveLength(3));
    expect(server.last.headers.authorization).toBe("three");
  });

  it("are equal by the address they lead to", async () => {
    const server = await serve(stream(open()));
    record(server.origin, page);
    const two = record(new URL("/", server.origin).href, page);
    await until(() => expect(two.connection.status.state).toBe("open"));
    expect(server.visits).toHaveLength(1);
  });
});

describe("a reader that resumes", () => {
  const replayed = stream(open({ id: "c1", resumed: true }), event("c2", 2), event("c3", 3));
  const resuming = { ...page, lastEventId: "c1" };

  it.each([
    ["while another reads", false],
    ["while the stream outlives its last reader", true],
  ])("gets what follows its id, %s", async (_, leave) => {
    const server = await serve(replayed);
    const clock = createClock();
    const one = record(server.origin, { ...resuming, clock });
    await until(() => expect(one.events).toEqual([2, 3]));
    if (leave) one.connection.close();
    const two = record(server.origin, { ...resuming, clock });
    await until(() => expect(two.events).toEqual([2, 3]));
    expect(one.events).toEqual([2, 3]);
    clock.advance(250);
    await until(() => expect(server.open).toBe(leave ? 1 : 2));
  });

  it.each([
    ["a reset", reset("c9", "trimmed"), "reset"],
    ["an event that is not JSON", "id: c2\ndata: {\n\n", "json"],
  ])("is told, too, where there is %s", async (_, frame, told) => {
    const server = await serve(stream(open({ id: "c1", resumed: true }), frame));
    const tellings = ({ resets, errors }: Recorded) =>
      [...resets.map(() => "reset"), ...errors.map(({ type }) => type)];
    const one = record(server.origin, resuming);
    await until(() => expect(tellings(one)).toEqual([told]));
    const two = record(server.origin, resuming);
    await until(() => expect(tellings(two)).toEqual([told]));
  });

  it("shares a stream that has not told anything yet", async () => {
    const server = await serve(stream(open({ id: "c1", resumed: true })));
    const one = record(server.origin, resuming);
    await until(() => expect(one.connection.status.state).toBe("open"));
    const two = record(server.origin, resuming);
    server.last.response.write(event("c2", 2));
    await until(() => expect([one.events, two.events]).toEqual([[2], [2]]));
    expect(server.visits).toHaveLength(1);
  });
});

describe("different streams", () => {
  const headers = () => ({});

  it.each<[string, ConnectOptions<unknown>, ConnectOptions<unknown>]>([
    ["one is its own", { share: false }, { share: false }],
    ["users", { user: "1" }, { user: "2" }],
    ["a user and none", { user: "1" }, {}],
    ["headers", { headers: { a: "1" } }, { headers: { a: "2" } }],
    ["headers of one user", { user: "1", headers: { a: "1" } }, { user: "1", headers: { a: "2" } }],
    ["headers and none, of one user", { user: "1", headers: { a: "1" } }, { user: "1" }],
    ["a function and none, of one user", { user: "1", headers: () => ({}) }, { user: "1" }],
    ["header functions", { headers: () => ({}) }, { headers: () => ({}) }],
    ["credentials", { credentials: "include" }, {}],
    ["first ids", { lastEventId: "c1" }, {}],
  ])("have a connection each: %s", async (_, first, second) => {
    const server = await serve(stream(open()));
    record(server.origin, { share: "page", ...first } as ConnectOptions<unknown>);
    record(server.origin, { share: "page", ...second } as ConnectOptions<unknown>);
    await until(() => expect(server.visits).toHaveLength(2));
  });

  it.each<[string, ConnectOptions<unknown>, ConnectOptions<unknown>]>([
    ["one function", { headers }, { headers }],
    ["equal headers", { headers: { a: "1" } }, { headers: new Headers({ A: "1" }) }],
    ["functions for one user", { user: "1", headers: () => ({}) }, { user: "1", headers: () => ({}) }],
  ])("are one all the same: %s", async (_, first, second) => {
    const server = await serve(stream(open()));
    const one = record(server.origin, { ...page, ...first } as ConnectOptions<unknown>);
    const two = record(server.origin, { ...page, ...second } as ConnectOptions<unknown>);
    await until(() => {
      expect(one.connection.status.state).toBe("open");
      expect(two.connection.status.state).toBe("open");
    });
    expect(server.visits).toHaveLength(1);
  });
});
