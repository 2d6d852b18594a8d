import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createRandom } from "../test/random.js";
import { createParser, type Frame } from "./parser.js";

/**
 * `wpt`: named after the file of the web platform tests' `eventsource` suite whose input it has,
 * with other words as payload. `own`: what that suite leaves out.
 */
interface Vector {
  readonly name: string;
  readonly origin: "wpt" | "own";
  readonly input?: string;
  readonly base64?: string;
  readonly events: readonly { event: string; data: string; id: string }[];
  readonly retry?: number;
  readonly last_event_id?: string;
}

const vectors: Vector[] = JSON.parse(
  readFileSync(new URL("../test/wpt-vectors.json", import.meta.url), "utf8"),
);

const bytesOf = ({ input, base64 }: Vector): Uint8Array =>
  base64 === undefined ? new TextEncoder().encode(input) : Buffer.from(base64, "base64");

function parse(chunks: Iterable<Uint8Array>) {
  const parser = createParser();
  const frames: Frame[] = [];
  for (const chunk of chunks) frames.push(...parser.push(chunk));
  return {
    events: frames.flatMap((frame) =>
      frame.type === "event" ? [{ event: frame.event, data: frame.data, id: frame.id }] : [],
    ),
    retry: frames.filter((frame) => frame.type === "retry").at(-1)?.retry,
    lastEventId: frames.filter((frame) => "id" in frame).at(-1)?.id ?? "",
  };
}

function* split(bytes: Uint8Array, size: () => number) {
  for (let at = 0; at < bytes.length; ) {
    const end = at + size();
    yield bytes.subarray(at, end);
    at = end;
  }
}

describe.each(vectors)("$origin vector $name", (vector) => {
  const bytes = bytesOf(vector);

  const check = (chunks: Iterable<Uint8Array>) => {
    const { events, retry, lastEventId } = parse(chunks);
    expect(events).toEqual(vector.events);
    expect(retry).toBe(vector.retry);
    if (vector.last_event_id !== undefined) expect(lastEventId).toBe(vector.last_event_id);
  };

  it("reads it whole", () => check([bytes]));

  it("reads it byte by byte", () => check(split(bytes, () => 1)));

  it("reads it split at random", () => {
    const random = createRandom(bytes.length);
    for (let round = 0; round < 50; round++) {
      check(split(bytes, () => Math.floor(random() * 12)));
    }
  });
});

describe("a parser", () => {
  const encode = (text: string) => new TextEncoder().encode(text);

  it("dispatches at a lone CR, without waiting for what may follow it", () => {
    expect(createParser().push(encode("data:x\r\r"))).toHaveLength(1);
  });

  it("goes on with the id it was given", () => {
    expect(createParser("a1").push(encode("data:x\n\n"))).toEqual([
      { type: "event", event: "message", data: "x", id: "a1" },
    ]);
  });

  it("shows comments and blocks that hold an id alone", () => {
    expect(createParser().push(encode(": ping\n\nid:a1\n\nid:a1\n\n"))).toEqual([
      { type: "comment" },
      { type: "id", id: "a1" },
    ]);
  });

  it("reads a large event that comes in many chunks", () => {
    const parser = createParser();
    const chunk = encode("x".repeat(1000));
    parser.push(encode("data:"));
    for (let count = 0; count < 5000; count++) parser.push(chunk);
    const [frame] = parser.push(encode("\n\n"));
    expect(frame?.type === "event" && frame.data.length).toBe(5_000_000);
  });
});

describe("limits of a parser", () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const next = "id: b\ndata: y\n\n";
  const nextEvent = { type: "event", event: "message", data: "y", id: "b" };

  const read = (...chunks: string[]) => {
    const parser = createParser("", 2000);
    return chunks.flatMap((chunk) => parser.push(encode(chunk)));
  };

  it("let an event of that size through, with its other fields", () => {
    const [data, id] = ["x".repeat(2000), "a".repeat(512)];
    expect(read(`id: ${id}\nevent: e\ndata: ${data}\n\n`)).toEqual([
      { type: "event", event: "e", data, id },
    ]);
  });

  it.each([
    ["a long line", "data: " + "x".repeat(4000)],
    ["many lines", "data: xxxxxxx\n".repeat(500)],
    ["many empty lines", "data\n".repeat(4000)],
    ["a long name", "data: x\nevent: " + "e".repeat(4000)],
    ["a long field of another name", "x".repeat(4000)],
    ["comments between its lines", "data: x\n" + ": comment\n".repeat(500) + "data: y"],
  ])("skip an event of %s, and go on after it", (_, large) => {
    const body = `id: a\n${large.trimEnd()}\ndata: the rest\n\n${next}`;
    const expected = [{ type: "oversize", id: "a" }, nextEvent];
    const found = [read(body), read(...body)];
    for (const frames of found) {
      expect(frames.filter(({ type }) => type !== "comment")).toEqual(expected);
    }
  });

  it("show before the event ends, of which no more is kept", () => {
    const parser = createParser("", 2000);
    const chunk = encode("x".repeat(65_536));
    parser.push(encode("id: a\ndata: "));
    expect(parser.push(chunk)).toEqual([{ type: "oversize", id: "a" }]);
    const before = process.memoryUsage().heapUsed;
    for (let count = 0; count < 2000; count++) expect(parser.push(chunk)).toEqual([]);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64e6);
    expect(parser.push(encode("\n\n" + next))).toEqual([nextEvent]);
  });

  it("leave out a long comment, not the event around it", () => {
    const frames = read(`id: b\ndata: y\n:${"x".repeat(4000)}\n\n`);
    expect(frames).toEqual([nextEvent]);
  });

  it("take the id that follows what was skipped", () => {
    expect(read(`data: ${"x".repeat(4000)}\nid: a\n\n`)).toEqual([
      { type: "oversize", id: "" },
      { type: "id", id: "a" },
    ]);
  });

  it.each(["a".repeat(513), "a\0b", "a\x0bb", "\x01", "a\x7f"])("ignore the id %j", (id) => {
    expect(read(`id: a\n\nid: ${id}\ndata: x\n\n`)).toEqual([
      { type: "id", id: "a" },
      { type: "event", event: "message", data: "x", id: "a" },
    ]);
  });
});
