import { beforeEach, describe, expect, it, vi } from "vitest";
import { createClock } from "../test/clock.js";
import { createLocks } from "../test/locks.js";
import { createPage } from "../test/page.js";
import { record as recordInPage } from "../test/recorder.js";
import { close, event, open, reset, serve, status, stream } from "../test/server.js";
import { until } from "../test/until.js";
import { connect } from "./connect.js";
import { tabs } from "./tabs.js";
import type { ConnectOptions, Sharing } from "./types.js";

/** Each call is another tab: a sharing function of its own is never shared within the page. */
function record(url: string, options: ConnectOptions<any> = {}) {
  const tab: Sharing = (config, listener) => tabs(config, listener);
  return recordInPage(url, { user: "ada", ...options, share: tab } as ConnectOptions<any>);
}

beforeEach(createLocks);

describe("tabs of one user", () => {
  it("share one connection", async () => {
    const server = await serve(stream(open()));
    const all = [1, 2, 3, 4].map(() => record(server.origin));
    await until(() => {
      for (const { connection } of all) expect(connection.status.state).toBe("open");
    });
    server.last.response.write(event("c1", { type: "a" }));
    await until(() => {
      for (const { events } of all) expect(events).toEqual([{ type: "a" }]);
    });
    for (const { metas, connection } of all) {
      expect(metas).toEqual([{ id: "c1", name: "message" }]);
      expect(connection.lastEventId).toBe("c1");
    }
    expect(server.visits).toHaveLength(1);
  });

  it("go on in another tab when the leading one closes, after the last event", async () => {
    const server = await serve(
      stream(open(), event("c1", 1)),
      stream(open({ id: "c1", resumed: true }), event("c2", 2)),
    );
    const [one, two, three] = [record(server.origin), record(server.origin), record(server.origin)];
    await until(() => expect([two.events, three.events]).toEqual([[1], [1]]));
    one.connection.close();
    await until(() => expect([two.events, three.events]).toEqual([[1, 2], [1, 2]]));
    expect(server.visits).toHaveLength(2);
    expect(server.last.headers["last-event-id"]).toBe("c1");
    expect([two.resets, three.resets]).toEqual([[], []]);
    expect(two.statuses).toContainEqual({ state: "connecting", again: true });
    expect(three.course).not.toContain("closed:caller");
  });

  it("are all told of a reset", async () => {
    const server = await serve(stream(open()));
    const [one, two] = [record(server.origin), record(server.origin)];
    await until(() => expect(two.connection.status.state).toBe("open"));
    server.last.response.write(reset("c9", "slow"));
    await until(() => expect([one.resets, two.resets]).toEqual([["slow"], ["slow"]]));
    expect(two.connection.lastEventId).toBe("c9");
  });

  it("get what follows the id they ask for, or a reset, also from a tab of the same page", async () => {
    const server = await serve(stream(open({ id: "c1", resumed: true }), event("c2", 2), event("c3", 3)));
    const options = { share: tabs, user: "ada" };
    const one = recordInPage(server.origin, { ...options, lastEventId: "c1" });
    await until(() => expect(one.events).toEqual([2, 3]));
    const two = recordInPage(server.origin, { ...options, lastEventId: "c1" });
    await until(() => expect(two.events).toEqual([2, 3]));
    const three = recordInPage(server.origin, { ...options, lastEventId: "c0" });
    await until(() => expect(three.resets).toEqual(["gap"]));
    expect(server.visits).toHaveLength(1);
  });

  it("are told of no reset when the first initial event was lost", async () => {
    const server = await serve(
      stream(open({ id: "c0~" })),
      stream(open({ id: "c3~" }), event("c3", 3)),
    );
    const [one, two] = [record(server.origin), record(server.origin)];
    await until(() => expect(two.connection.status.state).toBe("open"));
    server.last.response.end();
    await until(() => expect([one.events, two.events]).toEqual([[3], [3]]));
    expect([one.resets, two.resets]).toEqual([[], []]);
    expect(two.connection.lastEventId).toBe("c3");
  });

  it("are all told events that share an id", async () => {
    const server = await serve(stream(open({ id: "c0~" })));
    const [one, two] = [record(server.origin), record(server.origin)];
    await until(() => expect(two.connection.status.state).toBe("open"));
    server.last.response.write("data: 1\n\ndata: 2\n\ndata: 3\n\n" + event("c0", 4));
    await until(() => expect(one.events).toEqual([1, 2, 3, 4]));
    await until(() => expect(two.events).toEqual([1, 2, 3, 4]));
    expect(two.resets).toEqual([]);
  });

  it("are all closed when the server ends the stream", async () => {
    const server = await serve(stream(open()));
    const [one, two] = [record(server.origin), record(server.origin)];
    await until(() => expect(two.connection.status.state).toBe("open"));
    server.last.response.write(close("ended", false));
    await until(() => {
      expect(one.connection.status).toEqual({ state: "closed", reason: "ended" });
      expect(two.connection.status).toEqual({ state: "closed", reason: "ended" });
    });
    expect(server.visits).toHaveLength(1);
  });

  it("are connected anew by one that is opened after the end", async () => {
    const server = await serve(stream(open(), close("ended", false)), stream(open(), event("c1", 1)));
    const one = record(server.origin);
    await until(() => expect(one.connection.status.state).toBe("closed"));
    const two = record(server.origin);
    await until(() => expect(two.events).toEqual([1]));
    expect(one.course).toEqual(["open", "closed:ended"]);
  });

  it("reconnect through the leading one", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true }), event("c1", 1)));
    const [one, two] = [record(server.origin), record(server.origin)];
    await until(() => expect(two.connection.status.state).toBe("open"));
    two.connection.reconnect();
    await until(() => expect([one.events, two.events]).toEqual([[1], [1]]));
    expect(server.visits).toHaveLength(2);
  });

  it("all throw in their loops when the server refuses", async () => {
    const server = await serve(status(401));
    const all = [record(server.origin), record(server.origin)];
    for (const { connection } of all) {
      const next = connection[Symbol.asyncIterator]().next();
      await expect(next).rejects.toMatchObject({ type: "http" });
    }
    expect(server.visits).toHaveLength(1);
  });

  it("can be revived after a refusal", async () => {
    const page = createPage();
    const server = await serve(status(401), stream(open(), event("c1", 1)));
    const one = record(server.origin);
    await until(() => expect(one.connection.status.state).toBe("closed"));
    one.connection.reconnect();
    await until(() => expect(one.events).toEqual([1]));

    // and gives the lead away as before
    page.hide();
    const two = record(server.origin);
    await until(() => expect(two.events).toEqual([1]));
  });
});

describe("tabs of two users", () => {
  it("have a connection each", async () => {
    const server = await serve(stream(open()));
    record(server.origin, { user: "ada" });
    record(server.origin, { user: "bob" });
    await until(() => expect(server.visits).toHaveLength(2));
  });

  it("have one with each of its headers, though the user is the same", async () => {
    const server = await serve(stream(open()));
    const tenants = ["1", "1", "2"].map((tenant) =>
      record(server.origin, { headers: { "X-Tenant": tenant } }),
    );
    await until(() => {
      for (const { connection } of tenants) expect(connection.status.state).toBe("open");
    });
    expect(server.visits.map(({ headers }) => headers["x-tenant"]).sort()).toEqual(["1", "2"]);
  });

  it("are impossible without a user", () => {
    const options = { share: tabs } as unknown as ConnectOptions<unknown>;
    expect(() => connect("http://server.test/", options)).toThrow(TypeError);
  });
});

describe("a following tab", () => {
  const name = (url: string) =>
    "fastapi-sse-channels " + JSON.stringify([url, "same-origin", "ada", []]);

  /** A tab that follows a leader played by the test. */
  async function following() {
    const url = "http://leader.test/";
    await new Promise<void>((granted) => {
      const { signal } = new AbortController();
      void navigator.locks.request(name(url), { signal }, () => {
        granted();
        return new Promise(() => {});
      });
    });
    const channel = new BroadcastChannel(name(url));
    const heard: unknown[] = [];
    channel.onmessage = ({ data }: MessageEvent) => heard.push(data);
    const tab = record(url);
    await until(() => expect(heard).toContainEqual({ kind: "hello", id: "" }));
    const told = (id: string, after: string) => ({
      kind: "event",
      event: id,
      meta: { id, name: "message" },
      after,
    });
    const tell = (id: string, after: string) => channel.postMessage(told(id, after));
    const welcome = (id: string, ...missed: unknown[]) =>
      channel.postMessage({ kind: "welcome", status: { state: "open", resumed: true }, id, missed });
    const greeted = (count: number, id: string) =>
      until(() => expect(heard.slice(-count)).toEqual(Array(count).fill({ kind: "hello", id })));
    const stop = () => channel.close();
    return { tab, channel, heard, told, tell, welcome, greeted, stop };
  }

  it("drops what it was told before", async () => {
    const { tab, tell, stop } = await following();
    tell("c1", "c0");
    tell("c2", "c1");
    tell("c2", "c1");
    tell("c3", "c2");
    await until(() => expect(tab.events).toEqual(["c1", "c2", "c3"]));
    expect(tab.resets).toEqual([]);
    stop();
  });

  it("tells a gap", async () => {
    const { tab, tell, stop } = await following();
    tell("c1", "c0");
    tell("c3", "c2");
    await until(() => expect(tab.events).toEqual(["c1", "c3"]));
    expect(tab.resets).toEqual(["gap"]);
    stop();
  });

  it("wakes the leader when it is looked at", async () => {
    const page = createPage();
    const { heard, stop } = await following();
    const { length } = heard;
    page.visibility("hidden");
    // the leader's own page hears of the network
    page.online();
    page.visibility("visible");
    page.hide();
    page.show(true);
    const told = [{ kind: "wake" }, { kind: "hello", id: "" }];
    await until(() => expect(heard.slice(length)).toEqual(told));
    stop();
  });

  describe("that comes back from the back/forward cache", () => {
    /** It has heard c1, and greets again. */
    async function returning() {
      const page = createPage();
      const leader = await following();
      leader.tell("c1", "c0");
      await until(() => expect(leader.tab.events).toEqual(["c1"]));
      page.hide();
      expect(leader.tab.connection.status).toMatchObject({ state: "waiting", reason: "hidden" });
      page.show(true);
      await leader.greeted(1, "c1");
      return leader;
    }

    it("is told what it missed", async () => {
      const { tab, told, tell, welcome, stop } = await returning();
      welcome("c3", told("c2", "c1"), told("c3", "c2"));
      tell("c4", "c3");
      await until(() => expect(tab.events).toEqual(["c1", "c2", "c3", "c4"]));
      expect(tab.resets).toEqual([]);
      expect(tab.connection.status.state).toBe("open");
      stop();
    });

    it("is told it in order, though an event comes before the answer", async () => {
      const { tab, told, tell, welcome, stop } = await returning();
      tell("c3", "c2");
      welcome("c3", told("c2", "c1"), told("c3", "c2"));
      await until(() => expect(tab.events).toEqual(["c1", "c2", "c3"]));
      expect(tab.resets).toEqual([]);
      stop();
    });

    it("tells a gap where the leader does not remember", async () => {
      const { tab, welcome, stop } = await returning();
      welcome("c2");
      await until(() => expect(tab.resets).toEqual(["gap"]));
      expect(tab.events).toEqual(["c1"]);
      expect(tab.connection.lastEventId).toBe("c2");
      stop();
    });

    it("tells a gap no sooner than the leader is connected", async () => {
      const { tab, channel, welcome, greeted, stop } = await returning();
      channel.postMessage({ kind: "welcome", status: { state: "connecting", again: false }, id: "", missed: [] });
      await until(() => expect(tab.connection.status.state).toBe("connecting"));
      expect(tab.resets).toEqual([]);
      const opened = { state: "open", resumed: false };
      channel.postMessage({ kind: "status", status: opened, id: "c9", after: "" });
      await greeted(2, "c1");
      welcome("c9");
      await until(() => expect(tab.resets).toEqual(["gap"]));
      expect(tab.connection.lastEventId).toBe("c9");
      stop();
    });

    it("tells no gap when nothing happened meanwhile", async () => {
      const { tab, tell, welcome, stop } = await returning();
      welcome("c1");
      tell("c2", "c1");
      await until(() => expect(tab.events).toEqual(["c1", "c2"]));
      expect(tab.resets).toEqual([]);
      stop();
    });

    it("greets a new leader again", async () => {
      const { tab, channel, told, welcome, greeted, stop } = await returning();
      channel.postMessage({ kind: "status", status: { state: "open", resumed: true }, id: "c2" });
      await greeted(2, "c1");
      welcome("c2", told("c2", "c1"));
      await until(() => expect(tab.events).toEqual(["c1", "c2"]));
      expect(tab.resets).toEqual([]);
      stop();
    });

    it("tells a reset in place of what it missed", async () => {
      const { tab, channel, told, tell, welcome, stop } = await returning();
      channel.postMessage({ kind: "reset", reason: "slow", id: "d0" });
      tell("d1", "d0");
      welcome("d1", told("c2", "c1"), told("d1", "d0"));
      await until(() => expect(tab.events).toEqual(["c1", "d1"]));
      expect(tab.resets).toEqual(["slow"]);
      stop();
    });
  });
});

describe("a leading tab", () => {
  /** Says something in the name of another tab. */
  function say(server: { origin: string }, message: unknown) {
    const shared = [`${server.origin}/`, "same-origin", "ada", []];
    const channel = new BroadcastChannel("fastapi-sse-channels " + JSON.stringify(shared));
    channel.postMessage(message);
    channel.close();
  }

  it("comes back at once when another is looked at", async () => {
    const server = await serve(status(503), stream(open(), event("c1", 1)));
    const one = record(server.origin, { clock: createClock() });
    await until(() => expect(one.course).toContain("waiting:http"));
    say(server, { kind: "wake" });
    await until(() => expect(one.events).toEqual([1]));
  });

  it("leaves an open stream alone when another is looked at", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true })));
    const one = record(server.origin);
    await until(() => expect(one.course).toEqual(["open"]));
    say(server, { kind: "wake" });
    await answers(server, "");
    expect(one.course).toEqual(["open"]);
  });

  /** Greets in the name of other tabs, and tells what they are answered. */
  async function answers(server: { origin: string }, ...ids: string[]): Promise<any[]> {
    const shared = [`${server.origin}/`, "same-origin", "ada", []];
    const name = "fastapi-sse-channels " + JSON.stringify(shared);
    const channel = new BroadcastChannel(name);
    const heard: any[] = [];
    channel.onmessage = ({ data }: MessageEvent) => heard.push(data);
    for (const id of ids) channel.postMessage({ kind: "hello", id });
    await until(() => expect(heard).toHaveLength(ids.length));
    channel.close();
    return heard;
  }

  it("tells what followed the last event of a tab that greets, as far as it remembers", async () => {
    const server = await serve(
      stream(open(), ...Array.from({ length: 200 }, (_, n) => event(`c${n + 1}`, n + 1))),
    );
    const one = record(server.origin);
    await until(() => expect(one.events).toHaveLength(200));
    const heard = await answers(server, "c197", "c200", "c10", "");
    expect(heard.map(({ kind, id }) => `${kind} ${id}`)).toEqual(Array(4).fill("welcome c200"));
    expect(heard.map(({ missed }) => missed.map(({ event }: any) => event))).toEqual([
      [198, 199, 200],
      [],
      [],
      [],
    ]);
  });

  it("tells nothing to a tab that may know some of the events of its id", async () => {
    const server = await serve(
      stream(open(), event("c1", 1) + "data: 2\n\n" + event("c2", 3) + event("c3", 4)),
    );
    const one = record(server.origin);
    await until(() => expect(one.events).toEqual([1, 2, 3, 4]));
    const heard = await answers(server, "c1", "c2");
    expect(heard.map(({ missed }) => missed.map(({ event }: any) => event))).toEqual([[], [4]]);
  });
});

it("gives the lead away while the page is in the back/forward cache", async () => {
  const page = createPage();
  const server = await serve(stream(open(), event("c1", 1)), stream(open({ resumed: true })));
  const one = record(server.origin);
  await until(() => expect(one.events).toEqual([1]));
  page.hide();
  await until(() => expect(server.open).toBe(0));
  expect(one.course).toEqual(["open", "waiting:hidden"]);
  page.show(true);
  await until(() => expect(server.visits).toHaveLength(2));
  expect(server.last.headers["last-event-id"]).toBe("c1");
});

it("is a connection for each page where the browser has no Web Locks", async () => {
  vi.stubGlobal("navigator", {});
  const server = await serve(stream(open(), event("c1", 1)));
  const [one, two] = [record(server.origin), record(server.origin)];
  await until(() => expect([one.events, two.events]).toEqual([[1], [1]]));
  expect(server.visits).toHaveLength(2);
});
