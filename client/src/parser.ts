/** What a chunk of the stream turned out to hold, in the order it was read. */
export type Frame =
  | {
      readonly type: "event";
      /** The `event:` field, or `"message"`. */
      readonly event: string;
      readonly data: string;
      /** The id in force when the event ended, its own or an earlier one. */
      readonly id: string;
    }
  /** An event that is too large, as soon as that shows; the rest of it is skipped. */
  | { readonly type: "oversize"; readonly id: string }
  | { readonly type: "id"; readonly id: string }
  | { readonly type: "retry"; readonly retry: number }
  | { readonly type: "comment" };

export interface Parser {
  /** Reads the next bytes and returns the frames they complete. */
  push(chunk: Uint8Array): Frame[];
}

const LF = 10;
const CR = 13;

/** Larger than any event of a server that keeps to its own limit, 256 KiB by default. */
export const MAX_EVENT_BYTES = 2 ** 23;

/** For the name of the field, and the fields beside `data`. */
const ROOM = 1024;

/** Ids that a request can send back; the others are ignored, as the standard has it for a NUL. */
const ID = /^[^\0-\x08\x0a-\x1f\x7f]{0,512}$/;

/**
 * Creates an incremental parser of one `text/event-stream` body. It does no I/O; what a body
 * leaves unfinished when it ends is never dispatched, as the standard asks.
 *
 * @param lastEventId - The id in force before the first byte. Default `""`.
 * @param maxEventBytes - Larger events become `oversize` frames. Default 8 MiB.
 */
export function createParser(lastEventId = "", maxEventBytes = MAX_EVENT_BYTES): Parser {
  // decodes across chunks, and turns bad bytes into U+FFFD; a byte order mark is left to us, since
  // Node 24 drops a second one where the first is split between chunks
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let frames: Frame[] = [];
  let line = "";
  let begun = false;
  let afterCr = false;
  let data = "";
  let event = "";
  let id = lastEventId;
  let committed = lastEventId;
  // what the lines of an event hold from its first data on: strings keep alive what they are cut from
  let size = 0;
  let oversize = false;
  // the rest of the line is not kept
  let cut = false;

  const dispatch = () => {
    const idChanged = id !== committed;
    committed = id;
    if (data) {
      frames.push({ type: "event", event: event || "message", data: data.slice(0, -1), id });
    } else if (idChanged) {
      frames.push({ type: "id", id });
    }
    data = event = "";
    oversize = false;
  };

  const field = (name: string, value: string) => {
    if (name === "data") data += oversize ? "" : value + "\n";
    else if (name === "event") event = value;
    else if (name === "id" && ID.test(value)) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) {
      frames.push({ type: "retry", retry: Number(value) });
    }
  };

  const extendLine = (text: string) => {
    if (cut) return;
    line += text;
    if (size + line.length <= maxEventBytes + ROOM) return;
    cut = true;
    if (line[0] !== ":") {
      if (!oversize) frames.push({ type: "oversize", id: (committed = id) });
      oversize = true;
      data = "";
    }
    line = "";
  };

  const endLine = () => {
    const text = line;
    line = "";
    const colon = text.indexOf(":");
    if (cut) cut = false;
    else if (!text) dispatch();
    else if (!colon) frames.push({ type: "comment" });
    else if (colon < 0) field(text, "");
    else field(text.slice(0, colon), text.slice(colon + (text[colon + 1] === " " ? 2 : 1)));
    size = data ? size + text.length : 0;
  };

  return {
    push(chunk) {
      frames = [];
      const text = decoder.decode(chunk, { stream: true });
      let start = !begun && text[0] === "\uFEFF" ? 1 : 0;
      begun ||= text !== "";
      for (let at = start; at < text.length; at++) {
        const code = text.charCodeAt(at);
        if (code === LF && afterCr) {
          // second half of a CRLF, whose CR has already ended the line
          start = at + 1;
        } else if (code === LF || code === CR) {
          extendLine(text.slice(start, at));
          endLine();
          start = at + 1;
        }
        afterCr = code === CR;
      }
      extendLine(text.slice(start));
      return frames;
    },
  };
}
