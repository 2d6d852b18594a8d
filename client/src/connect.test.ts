import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { createClock } from "../test/clock.js";
import { record } from "../test/recorder.js";
import {
  close,
  event,
  open,
  redirect,
  reset,
  serve,
  status,
  stream,
  streamAndEnd,
  typed,
  type Answer,
  type ScriptedServer,
} from "../test/server.js";
import { until } from "../test/until.js";
import { connect } from "./connect.js";
import { StreamError } from "./errors.js";

describe("reading", () => {
  it("delivers events parsed, with id and name", async () => {
    const server = await serve(
      stream(open(), event("c1", { type: "a" }), 'id: c2\nevent: b\ndata: {"type":"b"}\n\n'),
    );
    const { events, metas, connection } = record(server.origin);
    await until(() => expect(events).toEqual([{ type: "a" }, { type: "b" }]));
    expect(metas).toEqual([
      { id: "c1", name: "message" },
      { id: "c2", name: "b" },
    ]);
    expect(connection.lastEventId).toBe("c2");
  });

  it("asks for an event stream that no cache may answer", async () => {
    const server = await serve(stream(open()));
    const { connection } = record(server.origin);
    await until(() => expect(connection.status.state).toBe("open"));
    expect(server.last.headers).toMatchObject({
      accept: "text/event-stream",
      "cache-control": "no-cache",
    });
    expect(server.last.headers).not.toHaveProperty("last-event-id");
  });

  it("keeps control frames to itself, those of a later protocol too", async () => {
    const server = await serve(
      stream(open(), reset("c1", "slow"), "event: stream-later\ndata: {}\n\n", event("c2", 1)),
    );
    const { events } = record(server.origin);
    await until(() => expect(events).toEqual([1]));
  });

  it("makes nothing of comments, nor of a CRLF split between chunks", async () => {
    const server = await serve(stream(open(), "id: c1\r\ndata: 1\r\n\r"));
    const clock = createClock();
    const { events, errors } = record(server.origin, { clock });
    await until(() => expect(events).toEqual([1]));
    const { reads } = clock;
    server.last.response.write("\n: ping\r");
    await until(() => expect(clock.reads).toBeGreaterThan(reads));
    server.last.response.write("\n\r\n:\n\ndata: 2\n\n");
    await until(() => expect(events).toEqual([1, 2]));
    expect(errors).toEqual([]);
  });

  it("reports an event that is not JSON, and goes on", async () => {
    const server = await serve(stream(open(), "id: c1\ndata: {oops\n\n", event("c2", 2)));
    const { events, errors, connection } = record(server.origin);
    await until(() => expect(events).toEqual([2]));
    expect(errors).toMatchObject([{ type: "json", data: "{oops" }]);
    expect(connection.status.state).toBe("open");
    expect(server.visits).toHaveLength(1);
  });

  it("reports what a callback throws as uncaught, and goes on", async () => {
    const uncaught: unknown[] = [];
    vi.stubGlobal("queueMicrotask", (task: () => void) =>
      Promise.resolve().then(task).catch((error) => uncaught.push(error)),
    );
    const server = await serve(stream(open(), event("c1", 1), event("c2", 2)));
    const { events } = record(server.origin, {
      onEvent(event) {
        if (event === 1) throw new Error("the caller's own");
      },
    });
    await until(() => expect(events).toEqual([1, 2]));
    expect(uncaught).toEqual([new Error("the caller's own")]);
  });

  it("is open from the first frame of a server that knows no stream-open", async () => {
    const server = await serve(stream(": hello\n\n"));
    const { connection } = record(server.origin);
    await until(() => expect(connection.status).toEqual({ state: "open", resumed: false }));
  });
});

describe("resuming", () => {
  it("begins after the id it is given", async () => {
    const server = await serve(stream(open({ id: "c5", resumed: true })));
    const { resets, connection } = record(server.origin, { lastEventId: "c5" });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(server.last.headers["last-event-id"]).toBe("c5");
    expect(resets).toEqual([]);
  });

  it("sends the id in the query across origins, where a header would be preflighted", async () => {
    const server = await serve(stream(open({ resumed: true })));
    vi.stubGlobal("location", new URL("https://elsewhere.test/page"));
    record(`${server.origin}/events?a=b`, { lastEventId: "c5" });
    await until(() => expect(server.visits).toHaveLength(1));
    expect(server.last.headers).not.toHaveProperty("last-event-id");
    expect(server.last.url.search).toBe("?a=b&last_event_id=c5");
  });

  it("sends the header to its own origin, however the page's URL goes on", async () => {
    const server = await serve(stream(open({ resumed: true })));
    vi.stubGlobal("location", new URL(`${server.origin}/page?x=y`));
    record("/events", { lastEventId: "c5" });
    await until(() => expect(server.visits).toHaveLength(1));
    expect(server.last.headers["last-event-id"]).toBe("c5");
    expect(server.last.url.pathname + server.last.url.search).toBe("/events");
  });

  it("sends the id the way it is told", async () => {
    const server = await serve(stream(open({ resumed: true })));
    record(server.origin, { lastEventId: "c5", lastEventIdVia: "query" });
    await until(() => expect(server.visits).toHaveLength(1));
    expect(server.last.url.searchParams.get("last_event_id")).toBe("c5");
  });

  it("sends an id that no header can carry in the query", async () => {
    const server = await serve(stream(open({ resumed: true })));
    record(server.origin, { lastEventId: "\u2026", lastEventIdVia: "header" });
    await until(() => expect(server.visits).toHaveLength(1));
    expect(server.last.url.searchParams.get("last_event_id")).toBe("\u2026");
  });
});

describe("resetting", () => {
  it("tells the reason of a stream-reset, and resumes after its id", async () => {
    const server = await serve(
      streamAndEnd(open(), reset("c9", "slow")),
      stream(open({ resumed: true })),
    );
    const { resets } = record(server.origin);
    await until(() => expect(server.visits).toHaveLength(2));
    expect(resets).toEqual(["slow"]);
    expect(server.last.headers["last-event-id"]).toBe("c9");
  });

  it("is told once when a reconnection does not resume and the reason follows", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      stream(open({ id: "d0" }) + reset("d0", "trimmed") + event("d1", 2)),
    );
    const { events, resets } = record(server.origin);
    await until(() => expect(events).toEqual([1, 2]));
    expect(resets).toEqual(["trimmed"]);
  });

  it("is told once, without the reason, when that comes late", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      stream(open({ id: "d0" })),
    );
    const { events, resets } = record(server.origin);
    await until(() => expect(resets).toEqual(["unresumed"]));
    server.last.response.write(reset("d0", "trimmed") + event("d1", 2));
    await until(() => expect(events).toEqual([1, 2]));
    expect(resets).toEqual(["unresumed"]);
    server.last.response.write(reset("d2", "slow"));
    await until(() => expect(resets).toEqual(["unresumed", "slow"]));
  });

  it("is told before the events that follow it", async () => {
    const told: unknown[] = [];
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      stream(open({ id: "d0" }) + event("d1", 2)),
    );
    record(server.origin, {
      onEvent: (event) => told.push(event),
      onReset: (reason) => told.push(reason),
    });
    await until(() => expect(told).toEqual([1, "unresumed", 2]));
  });

  it("is told although the server closes the stream at once", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      stream(open({ id: "d0" }) + close("shutdown", true)),
      stream(open({ id: "d0", resumed: true }), event("d1", 2)),
    );
    const { events, resets } = record(server.origin);
    await until(() => expect(events).toEqual([1, 2]));
    expect(resets).toEqual(["unresumed"]);
  });

  it("is told although a callback reconnects before it", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      stream(open({ id: "d0" })),
      stream(open({ id: "d0", resumed: true }), event("d1", 2)),
    );
    const recorded = record(server.origin, {
      onStatus({ state }) {
        if (state === "open" && server.visits.length === 2) recorded.connection.reconnect();
      },
    });
    await until(() => expect(recorded.events).toEqual([1, 2]));
    expect(recorded.resets).toEqual(["unresumed"]);
  });

  it("is not told on the first open", async () => {
    const server = await serve(status(503), stream(open(), event("c1", 1)));
    const clock = createClock();
    const { events, resets, statuses } = record(server.origin, { clock });
    await until(() => expect(statuses).toHaveLength(1));
    clock.advance(3000);
    await until(() => expect(events).toEqual([1]));
    expect(resets).toEqual([]);
  });

  it("is told when the id it was given is not resumed", async () => {
    const server = await serve(stream(open({ id: "d0" }), event("d1", 1)));
    const { events, resets } = record(server.origin, { lastEventId: "c5" });
    await until(() => expect(events).toEqual([1]));
    expect(resets).toEqual(["unresumed"]);
  });

  it("is told on every reconnection to a server that sends no ids", async () => {
    const server = await serve(
      streamAndEnd("retry: 100\ndata: 1\n\n"),
      stream("data: 2\n\n"),
    );
    const { events, resets } = record(server.origin);
    await until(() => expect(events).toEqual([1, 2]));
    expect(resets).toEqual(["unresumed"]);
  });
});

describe("waiting", () => {
  it("tries again where nobody listens", async () => {
    const clock = createClock();
    const { statuses, errors } = record("http://127.0.0.1:1/", { clock });
    await until(() => expect(statuses).toMatchObject([{ state: "waiting", reason: "network" }]));
    expect(errors).toMatchObject([{ type: "network", cause: expect.any(TypeError) }]);
  });

  it("takes a failing headers function for a failing network", async () => {
    const clock = createClock();
    const server = await serve(stream(open()));
    const headers = vi.fn<() => Promise<HeadersInit>>();
    headers.mockRejectedValueOnce(new Error("no token yet")).mockResolvedValue({ "X-Token": "t" });
    const { statuses, connection } = record(server.origin, { clock, headers });
    await until(() => expect(statuses).toMatchObject([{ state: "waiting", reason: "network" }]));
    clock.advance(3000);
    await until(() => expect(connection.status.state).toBe("open"));
    expect(server.last.headers["x-token"]).toBe("t");
  });
});

it("does not mind that the body of a 401 breaks off", async () => {
  const broken = new ReadableStream({ start: (controller) => controller.error(new Error("gone")) });
  const request = vi.fn<typeof fetch>(fetch);
  request.mockResolvedValueOnce(new Response(broken, { status: 401 }));
  const server = await serve(stream(open()));
  const { connection } = record(server.origin, { fetch: request, headers: () => ({}) });
  await until(() => expect(connection.status.state).toBe("open"));
});

describe("a silent socket", () => {
  it("is given up after three pings", async () => {
    const server = await serve(
      stream(open({ ping: 2 }), event("c1", 1)),
      stream(open({ id: "c1", resumed: true }), event("c2", 2)),
    );
    const clock = createClock();
    const { events, errors, statuses } = record(server.origin, { clock });
    await until(() => expect(events).toEqual([1]));
    clock.advance(5999);
    expect(statuses).toHaveLength(1);
    clock.advance(1);
    expect(statuses.at(-1)).toMatchObject({ state: "waiting", reason: "stall" });
    expect(errors).toMatchObject([{ type: "stall" }]);
    await until(() => expect(server.open).toBe(0));
    clock.advance(3000);
    await until(() => expect(events).toEqual([1, 2]));
    expect(server.last.headers["last-event-id"]).toBe("c1");
  });

  it("is not one while any byte comes", async () => {
    const server = await serve(stream(open({ ping: 2 })));
    const clock = createClock();
    const { connection, statuses } = record(server.origin, { clock });
    await until(() => expect(connection.status.state).toBe("open"));
    for (let ping = 0; ping < 5; ping++) {
      clock.advance(5000);
      const { reads } = clock;
      server.last.response.write(":");
      await until(() => expect(clock.reads).toBeGreaterThan(reads));
    }
    expect(statuses).toHaveLength(1);
  });

  it("is one after 45 s where the server has not told its pings", async () => {
    const server = await serve(stream());
    const clock = createClock();
    const { statuses } = record(server.origin, { clock });
    await until(() => expect(server.visits).toHaveLength(1));
    clock.advance(44_999);
    expect(statuses).toEqual([]);
    clock.advance(1);
    expect(statuses).toMatchObject([{ state: "waiting", reason: "stall" }]);
  });

  it("is none where the server sends no pings", async () => {
    const server = await serve(stream(open({ ping: null })));
    const clock = createClock();
    const { connection, statuses } = record(server.origin, { clock });
    await until(() => expect(connection.status.state).toBe("open"));
    clock.advance(365 * 86_400_000);
    expect(statuses).toHaveLength(1);
  });
});

describe("ending", () => {
  it.each(["ended", "revoked", "expired", "shutdown"])(
    "stops for good at a stream-close that says %s and not to reconnect",
    async (reason) => {
      const server = await serve(stream(open(), event("c1", 1), close(reason, false)));
      const clock = createClock();
      const { connection, events } = record(server.origin, { clock });
      await until(() => expect(connection.status).toEqual({ state: "closed", reason }));
      expect(events).toEqual([1]);
      await until(() => expect(server.open).toBe(0));
      clock.advance(86_400_000);
      expect(server.visits).toHaveLength(1);
    },
  );

  it("stops when closed, while waiting too, and tells so once", async () => {
    const server = await serve(status(503));
    const clock = createClock();
    const recorded = record(server.origin, { clock });
    await until(() => expect(recorded.course).toEqual(["waiting:http"]));
    recorded.connection.close();
    recorded.connection.close();
    recorded.connection.reconnect();
    clock.advance(60_000);
    expect(recorded.course).toEqual(["waiting:http", "closed:caller"]);
    expect(server.visits).toHaveLength(1);
  });

  it("tells so once when closed in the callback that tells of a refusal", async () => {
    const server = await serve(status(404));
    const recorded = record(server.origin, { onError: () => recorded.connection.close() });
    await until(() => expect(recorded.errors).toHaveLength(1));
    expect(recorded.course).toEqual(["closed:caller"]);
  });

  it("stops in a callback, before the rest of what was read", async () => {
    const server = await serve(stream(open() + event("c1", 1) + event("c2", 2)));
    const recorded = record(server.origin, { onEvent: () => recorded.connection.close() });
    await until(() => expect(recorded.events).toEqual([1]));
    await until(() => expect(server.open).toBe(0));
    expect(recorded.events).toEqual([1]);
    expect(recorded.connection.lastEventId).toBe("c1");
  });

  it("stops when its signal is aborted", async () => {
    const server = await serve(stream(open()));
    const controller = new AbortController();
    const { connection } = record(server.origin, { signal: controller.signal });
    await until(() => expect(connection.status.state).toBe("open"));
    controller.abort();
    expect(connection.status).toEqual({ state: "closed", reason: "caller" });
    await until(() => expect(server.open).toBe(0));
  });

  it("never starts when its signal is aborted already", async () => {
    const server = await serve(stream(open()));
    const recorded = record(server.origin, { signal: AbortSignal.abort() });
    await until(() => expect(recorded.course).toEqual(["closed:caller"]));
    const { connection } = recorded;
    connection.reconnect();
    expect(connection.status).toEqual({ state: "closed", reason: "caller" });
    for await (const _ of connection) expect.unreachable();
    expect(server.visits).toEqual([]);
  });
});

describe("authorizing", () => {
  it("can be tried again by hand", async () => {
    const server = await serve(status(401), stream(open(), event("c1", 1)));
    const { connection, events } = record(server.origin);
    await until(() => expect(connection.status.state).toBe("closed"));
    connection.reconnect();
    await until(() => expect(events).toEqual([1]));
  });
});

describe("a redirect", () => {
  const headers = { "X-Api-Key": "KEY", Authorization: "token", Cookie: "session=1" };

  it("takes the caller's headers along within the origin", async () => {
    const server = await serve(redirect("/elsewhere"), stream(open()));
    const { connection } = record(server.origin, { headers, lastEventId: "c0" });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(server.last.url.pathname).toBe("/elsewhere");
    expect(server.last.headers).toEqual(server.visits[0]!.headers);
  });

  it("takes them to no other origin, nor back from there", async () => {
    const answers: Answer[] = [];
    const server = await serve((visit) => answers.shift()!(visit));
    const other = await serve(redirect(`${server.origin}/back`));
    answers.push(redirect(other.origin), stream(open()));
    const { connection } = record(server.origin, { headers: () => headers, lastEventId: "c0" });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(server.visits[0]!.headers).toMatchObject({ "x-api-key": "KEY" });
    for (const visit of [other.last, server.last]) {
      for (const name of ["x-api-key", "authorization", "cookie"]) {
        expect(visit.headers).not.toHaveProperty(name);
      }
      expect(visit.headers).toMatchObject({ accept: "text/event-stream", "last-event-id": "c0" });
    }
  });

  // as browsers follow redirects: not by hand
  const inBrowser: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (init?.redirect !== "manual" || response.status < 300) return response;
    const headers = new Headers();
    return { type: "opaqueredirect", status: 0, headers, body: null, url: "" } as Response;
  };

  const asked = ({ visits }: ScriptedServer) =>
    visits.map(({ url, headers }) => [url.pathname, headers["x-api-key"], headers.authorization]);

  it("shows a browser first where it leads, and takes them along there", async () => {
    const server = await serve(
      redirect("/elsewhere"),
      redirect("/elsewhere"),
      status(401),
      stream(open()),
    );
    const { connection } = record(server.origin, { headers, fetch: inBrowser });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(asked(server)).toEqual([
      ["/", "KEY", "token"],
      ["/", undefined, "token"],
      ["/elsewhere", undefined, "token"],
      ["/elsewhere", "KEY", "token"],
    ]);
  });

  it("is followed by a browser that has nothing to hide from where it leads", async () => {
    const server = await serve(redirect("/a"), redirect("/a"), stream(open()));
    const { connection } = record(server.origin, {
      headers: { Authorization: "token" },
      fetch: inBrowser,
    });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(asked(server)).toEqual([
      ["/", undefined, "token"],
      ["/", undefined, "token"],
      ["/a", undefined, "token"],
    ]);
  });

  it.each([headers, {}])("is refused in a browser where it has no target", async (headers) => {
    const server = await serve(status(301));
    const { connection, errors } = record(server.origin, { headers, fetch: inBrowser });
    await until(() => expect(errors).toMatchObject([{ type: "http", httpStatus: 301 }]));
    expect(connection.status).toEqual({ state: "closed", reason: "refused" });
    expect(server.visits).toHaveLength(2);
  });

  it("is not followed by a browser that is shown it only for what it hides", async () => {
    const server = await serve(redirect("/elsewhere"), status(401));
    const { errors } = record(server.origin, { headers, fetch: inBrowser, clock: createClock() });
    await until(() => expect(errors).toMatchObject([{ type: "network" }]));
    expect(errors[0]!.message).toMatch("cannot follow a redirect");
    expect(server.visits).toHaveLength(2);
  });

  it("does not take them to another origin in a browser", async () => {
    const other = await serve(stream(open()));
    const server = await serve(redirect(other.origin));
    const { connection } = record(server.origin, { headers, fetch: inBrowser });
    await until(() => expect(connection.status.state).toBe("open"));
    expect(other.visits).toHaveLength(1);
    expect(other.last.headers).not.toHaveProperty("x-api-key");
  });
});

it("shows no secrets of its URL in errors", async () => {
  const server = await serve(status(503), typed("text/html"));
  const refused = record(`${server.origin}/a?token=secret#secret`, { clock: createClock() });
  await until(() => expect(refused.errors).toHaveLength(1));
  const closed = record(`${server.origin}/a?token=secret`);
  await until(() => expect(closed.errors).toHaveLength(1));
  const user = record(`${server.origin.replace("//", "//user:secret@")}/a?token=secret`);
  await until(() => expect(user.errors).toHaveLength(1));
  expect([refused, closed, user].map(({ errors }) => errors[0]!.message)).toEqual([
    `${server.origin}/a answered 503`,
    `${server.origin}/a answered with text/html, which is no event stream`,
    expect.stringMatching(`^${server.origin}/a failed: TypeError: .*`),
  ]);
  expect(user.errors[0]!.message).not.toMatch(/user|secret/);
});

describe("a fetch that gives no readable body", () => {
  const named = expect.stringContaining("such as expo/fetch");

  it("is named once, and not tried again", async () => {
    const server = await serve(stream(open()));
    const bodiless: typeof fetch = async (...request) => {
      const { status, headers } = await fetch(...request);
      return { status, headers } as Response;
    };
    const clock = createClock();
    const { connection, errors } = record(server.origin, { fetch: bodiless, clock });
    await until(() => expect(errors).toMatchObject([{ type: "unsupported", message: named }]));
    expect(connection.status).toEqual({ state: "closed", reason: "unsupported" });
    await expect(connection[Symbol.asyncIterator]().next()).rejects.toBe(errors[0]);
    clock.advance(100_000);
    expect(server.visits).toHaveLength(1);
  });

  it("is not asked where it is the platform's own, which may never answer", async () => {
    const server = await serve(stream(open()));
    vi.stubGlobal("Response", class {});
    const { connection, errors } = record(server.origin);
    await until(() => expect(errors).toMatchObject([{ type: "unsupported", message: named }]));
    expect(connection.status.state).toBe("closed");
    expect(server.visits).toEqual([]);
  });
});

describe("reconnecting by hand", () => {
  it("replaces the connection and resumes", async () => {
    const server = await serve(
      stream(open(), event("c1", 1)),
      stream(open({ id: "c1", resumed: true }), event("c2", 2)),
    );
    const recorded = record(server.origin);
    await until(() => expect(recorded.events).toEqual([1]));
    recorded.connection.reconnect();
    await until(() => expect(recorded.events).toEqual([1, 2]));
    expect(recorded.course).toEqual(["open", "connecting", "open"]);
    await until(() => expect(server.open).toBe(1));
  });

  it("ignores the answer to an attempt that it has replaced", async () => {
    const server = await serve(stream(open(), event("c1", 1)));
    let answer = (_: Response) => {};
    // a `fetch` that does not know of the signal
    const request = vi.fn<typeof fetch>(fetch);
    request.mockReturnValueOnce(new Promise((resolve) => (answer = resolve)));
    const recorded = record(server.origin, { fetch: request });
    await until(() => expect(request).toHaveBeenCalled());
    recorded.connection.reconnect();
    await until(() => expect(recorded.events).toEqual([1]));
    answer(new Response(null, { status: 404 }));
    await new Promise(setImmediate);
    expect(recorded.course).toEqual(["open"]);
  });

  it("does not wait for the end of a delay", async () => {
    const server = await serve(status(503, { "Retry-After": "3600" }), stream(open()));
    const { connection } = record(server.origin, { clock: createClock() });
    await until(() => expect(connection.status.state).toBe("waiting"));
    connection.reconnect();
    await until(() => expect(connection.status.state).toBe("open"));
  });
});

describe("for await", () => {
  it("yields events across a reconnection", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1), event("c2", 2)),
      stream(open({ id: "c2", resumed: true }), event("c3", 3)),
    );
    const seen: unknown[] = [];
    for await (const event of connect<number>(server.origin, { share: false })) {
      seen.push(event);
      if (event === 3) break;
    }
    expect(seen).toEqual([1, 2, 3]);
    await until(() => expect(server.open).toBe(0));
  });

  it("ends when the server ends the stream, after what came before", async () => {
    const server = await serve(stream(open() + event("c1", 1) + close("ended", false)));
    const seen: unknown[] = [];
    for await (const event of connect(server.origin, { share: false })) seen.push(event);
    expect(seen).toEqual([1]);
  });

  it("leaves no trace on a signal that outlives it", async () => {
    const server = await serve(status(204));
    const { signal } = new AbortController();
    for await (const _ of connect(server.origin, { share: false, signal }));
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });

  it("ends when its signal is aborted", async () => {
    const server = await serve(stream(open(), event("c1", 1)));
    const controller = new AbortController();
    const { signal } = controller;
    for await (const _ of connect(server.origin, { share: false, signal })) controller.abort();
    expect(signal.aborted).toBe(true);
  });

  it("throws when the server refuses", async () => {
    const server = await serve(status(404));
    const iterator = connect(server.origin, { share: false })[Symbol.asyncIterator]();
    await expect(iterator.next()).rejects.toMatchObject({ type: "http", httpStatus: 404 });
    await expect(iterator.next()).resolves.toEqual({ done: true, value: undefined });
  });

  it("throws when it begins after the refusal", async () => {
    const server = await serve(status(404));
    const { connection } = record(server.origin);
    await until(() => expect(connection.status.state).toBe("closed"));
    await expect(connection[Symbol.asyncIterator]().next()).rejects.toBeInstanceOf(StreamError);
  });

  it("throws a reset in its place, and goes on after it when iterated again", async () => {
    const server = await serve(
      stream(open(), event("c1", 1), reset("c5", "slow"), event("c5", 5), reset("c9", "trimmed")),
    );
    const { connection, resets } = record(server.origin);
    const iterator = connection[Symbol.asyncIterator]();
    await until(() => expect(resets).toHaveLength(2));
    const seen: unknown[] = [];
    const read = async () => {
      for await (const event of { [Symbol.asyncIterator]: () => iterator }) seen.push(event);
    };
    await expect(read()).rejects.toMatchObject({ type: "reset", reason: "slow" });
    const again = async () => {
      for await (const event of connection) seen.push(event);
    };
    await expect(again()).rejects.toMatchObject({ type: "reset", reason: "trimmed" });
    server.last.response.write(event("c10", 10) + close("ended", false));
    await until(() => expect(connection.status.state).toBe("closed"));
    await again();
    expect(seen).toEqual([1, 5, 10]);
  });

  it.each([
    ["json", "data: {\n\n"],
    ["reset", `data: "${"x".repeat(9000)}"\n\n`],
  ])("throws what is in the place of an event: %s", async (type, data) => {
    const server = await serve(stream(open() + data + event("c2", 2)));
    const iterator = record(server.origin, { maxEventBytes: 2000 }).connection[Symbol.asyncIterator]();
    await expect(iterator.next()).rejects.toMatchObject({ type });
    await expect(iterator.next()).resolves.toMatchObject({ value: 2 });
  });

  it("throws rather than leave events out when the loop is far too slow", async () => {
    const burst = Array.from({ length: 1200 }, (_, index) => event(`c${index}`, index)).join("");
    const server = await serve(stream(open() + burst));
    const { connection, events } = record(server.origin);
    const iterator = connection[Symbol.asyncIterator]();
    await until(() => expect(events).toHaveLength(1200));
    await expect(iterator.next()).rejects.toMatchObject({ type: "overflow" });
  });
});
