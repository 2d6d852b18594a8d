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
