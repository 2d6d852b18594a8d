import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it, vi } from "vitest";
import { createClock } from "../test/clock.js";
import { createPage } from "../test/page.js";
import { record } from "../test/recorder.js";
import { event, open, serve, status, stream } from "../test/server.js";
import { until } from "../test/until.js";

const again = stream(open({ id: "c1", resumed: true }), event("c2", 2));

async function connected() {
  const page = createPage();
  const clock = createClock();
  const server = await serve(stream(open(), event("c1", 1)), again);
  const recorded = record(server.origin, { clock });
  await until(() => expect(recorded.events).toEqual([1]));
  return { page, clock, server, recorded };
}

async function unavailable(headers = {}) {
  const page = createPage();
  const clock = createClock();
  const server = await serve(status(503, headers), again);
  const recorded = record(server.origin, { clock });
  await until(() => expect(recorded.course).toEqual(["waiting:http"]));
  return { page, clock, server, recorded };
}

it("cuts a wait short when the network is back", async () => {
  const { page, recorded } = await unavailable();
  page.online();
  await until(() => expect(recorded.events).toEqual([2]));
});

it("cuts a wait short when the page is looked at", async () => {
  const { page, recorded } = await unavailable();
  page.visibility("visible");
  await until(() => expect(recorded.events).toEqual([2]));
});

it("keeps to Retry-After all the same", async () => {
  const { page, clock, server, recorded } = await unavailable({ "Retry-After": "60" });
  page.online();
  page.visibility("visible");
  clock.advance(59_999);
  expect(server.visits).toHaveLength(1);
  page.online();
  clock.advance(1);
  page.online();
  await until(() => expect(recorded.events).toEqual([2]));
});

it("lets go in the back/forward cache, and resumes on the way back", async () => {
  const { page, clock, server, recorded } = await connected();
  page.hide();
  await until(() => expect(server.open).toBe(0));
  expect(recorded.connection.status).toEqual({ state: "waiting", delay: Infinity, reason: "hidden" });
  clock.advance(86_400_000);
  expect(server.visits).toHaveLength(1);
  page.visibility("visible");
  page.show(true);
  await until(() => expect(recorded.events).toEqual([1, 2]));
  expect(recorded.course.slice(1)).toEqual(["waiting:hidden", "connecting", "open"]);
  expect(server.visits).toHaveLength(2);
  expect(server.last.headers["last-event-id"]).toBe("c1");
  expect(recorded.resets).toEqual([]);
});

it("takes no notice of the first show of a page", async () => {
  const { page, recorded } = await connected();
  page.show(false);
  expect(recorded.course).toEqual(["open"]);
});

it("leaves the page alone once closed, after a garbage collection as well", async () => {
  const page = createPage();
  const request = vi.fn(fetch);
  const server = await serve(stream(open(), event("c1", 1)));
  const recorded = record(server.origin, { fetch: request });
  await until(() => expect(recorded.events).toEqual([1]));
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();

  recorded.connection.close();
  page.online();
  await new Promise(setImmediate);
  page.hide();
  page.show(true);
  await new Promise(setImmediate);
  expect(request).toHaveBeenCalledTimes(1);
  expect(recorded.course).toEqual(["open", "closed:caller"]);
});
