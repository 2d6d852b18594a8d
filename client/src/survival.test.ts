/**
 * What a stream survives, what ends it, and how long it waits: one row for each case, played by a
 * real server. Time stands still until a wait is over, and jitter is in the middle of its range, so
 * that a wait is three quarters of its upper bound. What StrictMode, tabs and a real browser add is in
 * the tests of the hooks and of tabs, and in those of the whole project.
 */
import { describe, expect, it, onTestFinished } from "vitest";
import { createClock, type ManualClock } from "../test/clock.js";
import { createPage, type FakePage } from "../test/page.js";
import {
  close,
  event,
  open,
  redirect,
  reset,
  serve,
  status,
  stream,
  streamAndDrop,
  streamAndEnd,
  typed,
  type Answer,
  type ScriptedServer,
  type Visit,
} from "../test/server.js";
import { until } from "../test/until.js";
import { connect } from "./connect.js";
import type { ConnectOptions, HeadersRequest, Status } from "./types.js";

interface World {
  readonly page: FakePage;
  readonly clock: ManualClock;
  readonly server: ScriptedServer;
}
type Happening = (world: World) => void | Promise<void>;

interface Row {
  /** What the server answers, one request after the other; the last answer again and again. */
  readonly server: [Answer, ...Answer[]];
  readonly options?: ConnectOptions<unknown>;
  /**
   * All that the caller is told, in its order: statuses, `error …`, `reset …`, and events as they
   * are. After `waiting 100 (end)` the next request comes when 75 ms are over, and not before; after
   * `closed` none ever comes. A function is what happens to the page at that moment.
   */
  readonly told: readonly (string | number | readonly unknown[] | Happening)[];
  /** The last event id of each request, `""` where it had none. */
  readonly asked: readonly string[];
}

const DAY = 86_400_000;

const one = event("c1", 1);
const away = redirect("/elsewhere");
const large = "x".repeat(4000);
const resumed = stream(open({ id: "c1", resumed: true }), event("c2", 2));

/** A function that has another token whenever it is asked. */
const tokens = () => {
  let count = 0;
  return async () => ({ Authorization: `Bearer ${++count}` });
};

const each = <T extends string | number>(values: readonly T[], row: (value: T) => [string, Row]) =>
  Object.fromEntries(values.map(row));

const rows: Record<string, Row> = {
  // -- the response ends ---------------------------------------------------------------------
  "a clean end": {
    server: [streamAndEnd(open(), one), resumed],
    told: ["open", 1, "waiting 100 (end)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a clean end in the middle of an event": {
    server: [streamAndEnd(open(), one, "id: c2\ndata: 2\n"), resumed],
    told: ["open", 1, "waiting 100 (end)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a clean end without a byte, again and again": {
    server: [streamAndEnd(), streamAndEnd(), streamAndEnd(), stream(open(), one)],
    told: [
      "waiting 2500 (end)",
      "connecting",
      "waiting 3750 (end)",
      "connecting",
      "waiting 7500 (end)",
      "connecting",
      "open",
      1,
    ],
    asked: ["", "", "", ""],
  },
  "a drop": {
    server: [streamAndDrop(open(), one), resumed],
    told: ["open", 1, "error network", "waiting 100 (network)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a drop, 503, 503, a stream": {
    server: [streamAndDrop(open(), one), status(503), status(503), resumed],
    told: [
      "open",
      1,
      "error network",
      "waiting 100 (network)",
      "connecting",
      "error http",
      "waiting 150 (http)",
      "connecting",
      "error http",
      "waiting 300 (http)",
      "connecting",
      "open, resumed",
      2,
    ],
    asked: ["", "c1", "c1", "c1"],
  },
  "a stream-close that asks to come back later": {
    server: [stream(open(), one, close("shutdown", true, 4000)), resumed],
    told: ["open", 1, "waiting 4000 (close)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a stream-close that says not to come back": {
    server: [stream(open(), one, close("revoked", false))],
    told: ["open", 1, "closed (revoked)"],
    asked: [""],
  },
  "a server that has lost its history": {
    server: [
      streamAndEnd(open(), one),
      stream(open({ id: "d0" }) + reset("d0", "epoch") + event("d1", 9)),
    ],
    told: ["open", 1, "waiting 100 (end)", "connecting", "open", "reset epoch", 9],
    asked: ["", "c1"],
  },

  // -- the initial event is lost -------------------------------------------------------------
  "an end before the initial event, twice": {
    server: [
      streamAndEnd(open({ id: "c0~" })),
      streamAndEnd(open({ id: "c3~" })),
      stream(open({ id: "c5~" }), event("c5", "state")),
    ],
    told: [
      "open",
      "waiting 100 (end)",
      "connecting",
      "open",
      "waiting 100 (end)",
      "connecting",
      "open",
      "state",
    ],
    asked: ["", "c0~", "c3~"],
  },
  "an end before the initial event that follows a reset": {
    server: [
      streamAndEnd(open(), one),
      streamAndEnd(open({ id: "d0~" }) + reset("d0~", "epoch")),
      stream(open({ id: "d2~" }), event("d2", "state")),
    ],
    told: [
      "open",
      1,
      "waiting 100 (end)",
      "connecting",
      "open",
      "reset epoch",
      "waiting 100 (end)",
      "connecting",
      "open",
      "state",
    ],
    asked: ["", "c1", "d0~"],
  },
  "a reset without a reason, an end, and a reset of the next stream": {
    server: [
      streamAndEnd(open(), one),
      streamAndEnd(open({ id: "d0" })),
      stream(open({ id: "e0" }) + reset("e0", "epoch") + event("e1", 9)),
    ],
    told: [
      "open",
      1,
      "waiting 100 (end)",
      "connecting",
      "open",
      "reset unresumed",
      "waiting 100 (end)",
      "connecting",
      "open",
      "reset epoch",
      9,
    ],
    asked: ["", "c1", "d0"],
  },
  "an end before the initial event that follows a reset in mid-stream": {
    server: [
      streamAndEnd(open(), one, reset("c9~", "slow")),
      stream(open({ id: "c9~" }), event("c9", "state")),
    ],
    told: ["open", 1, "reset slow", "waiting 100 (end)", "connecting", "open", "state"],
    asked: ["", "c9~"],
  },
  "an end between two initial events": {
    server: [
      streamAndEnd(open({ id: "c0~" }), "data: 1\n\n"),
      stream(open({ id: "c0~" }), "data: 1\n\n", event("c0", 2)),
    ],
    told: ["open", 1, "waiting 100 (end)", "connecting", "open", "reset unresumed", 1, 2],
    asked: ["", "c0~"],
  },
  ...each(["a resumed stream", "a stream with a ping"], (first) => [
    `an end of ${first}, and none that resumes`,
    {
      server: [
        streamAndEnd(first === "a resumed stream" ? open({ resumed: true }) : `${open()}:\n\n`),
        stream(open({ id: "d0" }), event("d1", 1)),
      ],
      options: first === "a resumed stream" ? { lastEventId: "c0" } : {},
      told: [
        first === "a resumed stream" ? "open, resumed" : "open",
        "waiting 100 (end)",
        "connecting",
        "open",
        "reset unresumed",
        1,
      ],
      asked: [first === "a resumed stream" ? "c0" : "", "c0"],
    },
  ]),

  // -- the server answers something else -----------------------------------------------------
  "503 for ever": {
    server: [status(503)],
    told: [2500, 3750, 7500, 15_000, 22_500, 22_500, 22_500, 22_500]
      .flatMap((delay) => ["connecting", "error http", `waiting ${delay} (http)`])
      // the first attempt is not told: it is where every connection starts
      .slice(1),
    asked: Array(8).fill(""),
  },
  ...each([408, 425, 429, 500, 502, 504], (code) => [
    `${code}, a stream`,
    {
      server: [status(code), stream(open(), one)],
      told: ["error http", "waiting 2500 (http)", "connecting", "open", 1],
      asked: ["", ""],
    },
  ]),
  "Retry-After in seconds, spread upwards": {
    server: [status(503, { "Retry-After": "20" }), stream(open(), one)],
    told: ["error http", "waiting 25000 (http)", "connecting", "open", 1],
    asked: ["", ""],
  },
  "Retry-After as a date": {
    // twenty seconds from now: the clock stands at a thousand
    server: [status(429, { "Retry-After": new Date(1_020_000).toUTCString() }), stream(open(), one)],
    told: ["error http", "waiting 25000 (http)", "connecting", "open", 1],
    asked: ["", ""],
  },
  "Retry-After of less than the back-off": {
    server: [status(503, { "Retry-After": "1" }), stream(open(), one)],
    told: ["error http", "waiting 2500 (http)", "connecting", "open", 1],
    asked: ["", ""],
  },
  "204": { server: [status(204)], told: ["closed (ended)"], asked: [""] },
  ...each([205, 210, 299, 400, 404, 410, 422], (code) => [
    `${code} with a body like a stream`,
    { server: [status(code)], told: ["error http", "closed (refused)"], asked: [""] },
  ]),
  ...each([401, 403], (code) => [
    `${code} where headers never change`,
    {
      server: [status(code)],
      options: { headers: { Authorization: "Bearer 0" } },
      told: ["error http", "closed (unauthorized)"],
      asked: [""],
    },
  ]),
  ...each([401, 403], (code) => [
    `${code}, a stream for the next token`,
    {
      server: [status(code), stream(open(), one)],
      options: { headers: tokens() },
      told: ["open", 1],
      asked: ["", ""],
    },
  ]),
  ...each([401, 403], (code) => [
    `${code}, and again for the next token`,
    {
      server: [status(code)],
      options: { headers: tokens() },
      told: ["error http", "closed (unauthorized)"],
      asked: ["", ""],
    },
  ]),
  "a token that expires under an open stream": {
    server: [streamAndEnd(open(), one), status(401), resumed],
    options: { headers: tokens() },
    told: ["open", 1, "waiting 100 (end)", "connecting", "open, resumed", 2],
    asked: ["", "c1", "c1"],
  },
  ...each(
    [
      "text/html",
      "application/json",
      "text/x-bogus",
      "x bogus",
      "text/event-streams",
      "text/plain; text/event-stream",
    ],
    (type) => [
      `200 of ${type} with a body like a stream`,
      {
        server: [typed(type, one)],
        told: ["error content-type", "closed (content-type)"],
        asked: [""],
      },
    ],
  ),
  "a redirect to a page to sign in": {
    server: [redirect("/sign-in"), typed("text/html", one)],
    told: ["error content-type", "closed (content-type)"],
    asked: ["", ""],
  },
  "a redirect to the stream": {
    server: [redirect("/elsewhere"), stream(open(), one)],
    told: ["open", 1],
    asked: ["", ""],
  },
  "redirects that lead nowhere": {
    server: [away, away, away, away, away, away, stream(open(), one)],
    told: ["error network", "waiting 2500 (network)", "connecting", "open", 1],
    asked: ["", "", "", "", "", "", ""],
  },
  "a redirect without a target": {
    server: [status(301)],
    told: ["error http", "closed (refused)"],
    asked: [""],
  },
  "a redirect with an empty target": {
    server: [redirect("")],
    told: ["error http", "closed (refused)"],
    asked: [""],
  },
  ...each(["data:text/event-stream,data:1%0A%0A", "file:///", "http://["], (location) => [
    `a redirect to ${location}`,
    {
      server: [redirect(location), stream(open(), one)],
      told: ["error network", "waiting 2500 (network)", "connecting", "open", 1],
      asked: ["", ""],
    },
  ]),
  ...each(["text/event-stream;", "Text/Event-Stream;charset=windows-1252"], (type) => [
    `a stream of ${type}`,
    {
      server: [typed(type, open(), event("c1", ["ok\u2026"]))],
      told: ["open", ["ok\u2026"], "waiting 100 (end)"],
      asked: [""],
    },
  ]),

  // -- how long it waits ---------------------------------------------------------------------
  "retry, in force from then on": {
    server: [streamAndEnd("retry: 800\n\n", one), status(503), stream(one)],
    told: [
      "open",
      1,
      "waiting 800 (end)",
      "connecting",
      "error http",
      "waiting 1200 (http)",
      "connecting",
      "open, resumed",
      1,
    ],
    asked: ["", "c1", "c1"],
  },
  "a retry that would be a busy loop": {
    server: [streamAndEnd("retry: 0\n\n", one), resumed],
    told: ["open", 1, "waiting 100 (end)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "failures, ended by an event that comes with the response": {
    server: [status(503), status(503), streamAndEnd(one)],
    told: [
      "error http",
      "waiting 2500 (http)",
      "connecting",
      "error http",
      "waiting 3750 (http)",
      "connecting",
      "open",
      1,
      "waiting 2500 (end)",
    ],
    asked: ["", "", ""],
  },
  "failures, ended by stream-open": {
    server: [status(503), status(503), streamAndEnd(open({ retry: 400 }))],
    told: [
      "error http",
      "waiting 2500 (http)",
      "connecting",
      "error http",
      "waiting 3750 (http)",
      "connecting",
      "open",
      "waiting 400 (end)",
    ],
    asked: ["", "", ""],
  },
  "failures, not ended by a response of nothing": {
    server: [status(503), streamAndEnd(), status(503)],
    told: [
      "error http",
      "waiting 2500 (http)",
      "connecting",
      "waiting 3750 (end)",
      "connecting",
      "error http",
      "waiting 7500 (http)",
    ],
    asked: ["", "", ""],
  },

  // -- what the body holds -------------------------------------------------------------------
  "comments after an id": {
    server: [stream(open(), one, ": ping\n\n:\n\n:\r\n\r\n", event("c2", 2))],
    told: ["open", 1, 2],
    asked: [""],
  },
  "an event of many lines": {
    server: [stream(open(), 'data: [\ndata: 1,\ndata:  "a\\nb"\ndata: ]\n\n')],
    told: ["open", [1, "a\nb"]],
    asked: [""],
  },
  "control frames of a later protocol": {
    server: [stream(open(), "event: stream-later\ndata: no JSON\n\n", one)],
    told: ["open", 1],
    asked: [""],
  },
  "an event that is no JSON": {
    server: [stream(open(), "id: c1\ndata: {oops\n\n", event("c2", 2))],
    told: ["open", "error json", 2],
    asked: [""],
  },
  "an event that is too large": {
    server: [streamAndEnd(open(), one, event("c2", large), event("c3", 3)), resumed],
    options: { maxEventBytes: 2000 },
    told: [
      "open",
      1,
      "error too-large",
      "reset too-large",
      3,
      "waiting 100 (end)",
      "connecting",
      "open, resumed",
      2,
    ],
    asked: ["", "c3"],
  },
  "an event that is too large and never ends": {
    server: [streamAndDrop(open(), one, event("c2", large).trimEnd()), resumed],
    options: { maxEventBytes: 2000 },
    told: [
      "open",
      1,
      "error too-large",
      "reset too-large",
      "error network",
      "waiting 100 (network)",
      "connecting",
      "open, resumed",
      2,
    ],
    asked: ["", "c2"],
  },
  "an event that is too large, first after a stream that did not resume": {
    server: [streamAndEnd(open(), one), stream(open({ id: "d0" }) + event("d1", large))],
    options: { maxEventBytes: 2000 },
    told: [
      "open",
      1,
      "waiting 100 (end)",
      "connecting",
      "open",
      "error too-large",
      "reset too-large",
    ],
    asked: ["", "c1"],
  },
  ...each(["control characters", "a length"], (what) => [
    `an id of ${what} that no request can carry`,
    {
      server: [
        streamAndEnd(open(), one, event(what === "a length" ? "x".repeat(2e6) : "a\x01b", 2)),
        resumed,
      ],
      told: ["open", 1, 2, "waiting 100 (end)", "connecting", "open, resumed", 2],
      asked: ["", "c1"],
    },
  ]),
  "an id without an event": {
    server: [streamAndEnd(open(), "id: c1\n\n"), resumed],
    told: ["open", "waiting 100 (end)", "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "an id that no header can carry": {
    server: [
      streamAndEnd("id: \u2026\nretry: 200\ndata: 1\n\n"),
      streamAndEnd("data: 2\n\n"),
      stream("data: 3\n\n"),
    ],
    told: [
      "open",
      1,
      "waiting 200 (end)",
      "connecting",
      "open, resumed",
      2,
      "waiting 200 (end)",
      "connecting",
      "open, resumed",
      3,
    ],
    asked: ["", "\u2026", "\u2026"],
  },

  // -- the network and the page --------------------------------------------------------------
  "a socket that is silent for three pings": {
    server: [stream(open({ ping: 2 }), one), resumed],
    told: [
      "open",
      1,
      ({ clock }) => clock.advance(6000),
      "error stall",
      "waiting 100 (stall)",
      "connecting",
      "open, resumed",
      2,
    ],
    asked: ["", "c1"],
  },
  "a response that never begins": {
    server: [() => {}, stream(open(), one)],
    told: [
      ({ clock }) => clock.advance(45_000),
      "error stall",
      "waiting 2500 (stall)",
      "connecting",
      "open",
      1,
    ],
    asked: ["", ""],
  },
  ...each(["no pings", "quick pings"], (pings) => [
    `a response that never begins, after a stream with ${pings}`,
    {
      server: [streamAndEnd(open({ ping: pings === "no pings" ? null : 0.1 }), one), () => {}, resumed],
      told: [
        "open",
        1,
        "waiting 100 (end)",
        "connecting",
        ({ server }) => until(() => expect(server.visits).toHaveLength(2)),
        ({ clock }) => clock.advance(44_999),
        ({ clock }) => clock.advance(1),
        "error stall",
        "waiting 150 (stall)",
        "connecting",
        "open, resumed",
        2,
      ],
      asked: ["", "c1", "c1"],
    },
  ]),
  ...each(["-1", "0", '"x"'], (ping) => [
    `a ping interval of ${ping}, which says nothing`,
    {
      server: [stream(`event: stream-open\ndata: {"ping_interval":${ping}}\n\n`, one)],
      told: [
        "open",
        1,
        ({ clock }) => clock.advance(44_999),
        ({ clock }) => clock.advance(1),
        "error stall",
        "waiting 2500 (stall)",
      ],
      asked: [""],
    },
  ]),
  "a network that is back": {
    server: [stream(open(), one), resumed],
    told: ["open", 1, ({ page }) => page.online(), "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a page that is hidden": {
    server: [stream(open(), one), resumed],
    told: [
      "open",
      1,
      ({ page, clock }) => {
        page.visibility("hidden");
        clock.advance(40_000);
      },
    ],
    asked: [""],
  },
  "a look at a page that missed a ping": {
    server: [stream(open(), one), resumed],
    told: ["open", 1, lookAfter(23_000), "connecting", "open, resumed", 2],
    asked: ["", "c1"],
  },
  "a look at a page that missed nothing": {
    server: [stream(open(), one), resumed],
    told: ["open", 1, lookAfter(22_000)],
    asked: [""],
  },
  "the back/forward cache": {
    server: [stream(open(), one), resumed],
    told: [
      "open",
      1,
      ({ page }) => page.hide(),
      "waiting Infinity (hidden)",
      ({ page, clock }) => {
        clock.advance(DAY);
        page.show(true);
      },
      "connecting",
      "open, resumed",
      2,
    ],
    asked: ["", "c1"],
  },
};

describe("a stream meets", () => {
  it.each(Object.entries(rows))("%s", async (_, { server: answers, options, told, asked }) => {
    const page = createPage();
    const clock = createClock();
    const server = await serve(...answers);
    const said = follow(server.origin, { clock, random: () => 0.5, ...options });
    const expected = told.filter((item) => typeof item !== "function");
    let count = 0;

    await until(() => expect(server.visits).not.toEqual([]));
    for (const item of told) {
      if (typeof item === "function") {
        await item({ page, clock, server });
        continue;
      }
      count++;
      await until(() => expect(said.slice(0, count)).toEqual(expected.slice(0, count)));
      const wait = /^waiting (\d+)/.exec(String(item));
      if (!wait || count === expected.length) continue;
      clock.advance(Number(wait[1]) - 1);
      expect(said).toHaveLength(count);
      clock.advance(1);
    }

    if (/^closed/.test(String(expected.at(-1)))) {
      page.online();
      page.visibility("visible");
      page.show(true);
      clock.advance(DAY);
    }
    // nothing is left on the way: a request would have been seen by the server
    await until(() => expect(server.visits.map(lastEventId)).toEqual(asked));
    expect(said).toEqual(expected);
  });
});

it("comes back at a moment of its own where the server does not give one", async () => {
  const server = await serve(status(503));
  const clients = Array.from({ length: 60 }, () => follow(server.origin, { clock: createClock() }));
  await until(() => {
    for (const said of clients) expect(said).toHaveLength(2);
  });
  const delays = clients.map((said) => Number(/^waiting (.*) \(http\)$/.exec(String(said[1]))![1]));
  expect(Math.min(...delays)).toBeGreaterThanOrEqual(2000);
  expect(Math.max(...delays)).toBeLessThan(3000);
  expect(new Set(delays).size).toBe(60);
});

it.each([false, "page"] as const)("tells headers why they are asked, shared: %s", async (share) => {
  const server = await serve(streamAndEnd(open(), one), status(401), resumed);
  const headers = ({ rejected }: HeadersRequest) => ({ Authorization: rejected ? "new" : "cached" });
  const said = follow(server.origin, { share, headers });
  await until(() => expect(said).toContain(2));
  const sent = server.visits.map(({ headers }) => headers.authorization);
  expect(sent).toEqual(["cached", "cached", "new"]);
});

it("sends a new token with each request", async () => {
  const server = await serve(streamAndEnd(open(), one), status(401), resumed);
  const said = follow(server.origin, { headers: tokens() });
  await until(() => expect(said).toContain(2));
  expect(server.visits.map(({ headers }) => headers.authorization)).toEqual([
    "Bearer 1",
    "Bearer 2",
    "Bearer 3",
  ]);
});

/** Connects until the test ends, and collects what it is told. */
function follow(url: string, options: ConnectOptions<unknown>): unknown[] {
  const said: unknown[] = [];
  const connection = connect<unknown>(url, {
    share: false,
    ...options,
    onEvent: (event) => said.push(event),
    onStatus: (status) => said.push(inWords(status)),
    onReset: (reason) => said.push(`reset ${reason}`),
    onError: ({ type }) => said.push(`error ${type}`),
  });
  onTestFinished(() => connection.close());
  return said;
}

function inWords(status: Status): string {
  switch (status.state) {
    case "connecting":
      return "connecting";
    case "open":
      return status.resumed ? "open, resumed" : "open";
    case "waiting":
      return `waiting ${status.delay} (${status.reason})`;
    case "closed":
      return `closed (${status.reason})`;
  }
}

function lastEventId({ headers, url }: Visit): string {
  return String(headers["last-event-id"] ?? url.searchParams.get("last_event_id") ?? "");
}

function lookAfter(milliseconds: number): Happening {
  return ({ page, clock }) => {
    page.visibility("hidden");
    clock.advance(milliseconds);
    page.visibility("visible");
  };
}
