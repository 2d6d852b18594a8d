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
  | { readonly type: "id"; readonly id: string }
  | { readonly type: "retry"; readonly retry: number }
  | { readonly type: "comment" };

export interface Parser {
  /** Reads the next bytes and returns the frames they complete. */
  push(chunk: Uint8Array): Frame[];
}

const LF = 10;
const CR = 13;

/**
 * Creates an incremental parser of one `text/event-stream` body. It does no I/O; what a body
 * leaves unfinished when it ends is never dispatched, as the standard asks.
 *
 * @param lastEventId - The id in force before the first byte. Default `""`.
 */
export function createParser(lastEventId = ""): Parser {
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

  const dispatch = () => {
    const idChanged = id !== committed;
    committed = id;
    if (data) {
      frames.push({ type: "event", event: event || "message", data: data.slice(0, -1), id });
    } else if (idChanged) {
      frames.push({ type: "id", id });
    }
    data = event = "";
  };

  const field = (name: string, value: string) => {
    if (name === "data") data += value + "\n";
    else if (name === "event") event = value;
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) {
      frames.push({ type: "retry", retry: Number(value) });
    }
  };

  const endLine = (text: string) => {
    const colon = text.indexOf(":");
    if (!text) dispatch();
    else if (!colon) frames.push({ type: "comment" });
    else if (colon < 0) field(text, "");
    else field(text.slice(0, colon), text.slice(colon + (text[colon + 1] === " " ? 2 : 1)));
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
          endLine(line + text.slice(start, at));
          line = "";
          start = at + 1;
        }
        afterCr = code === CR;
      }
      line += text.slice(start);
      return frames;
    },
  };
}
