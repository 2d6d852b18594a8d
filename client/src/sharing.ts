import { knownHeaders } from "./headers.js";
import { openStream } from "./stream.js";
import type { Listener, Sharing, SharingOptions, Stream, StreamConfig } from "./types.js";

export type Share = NonNullable<SharingOptions["share"]>;

/** A reader's hold on a stream. */
export interface Lease {
  readonly stream: Stream;
  release(): void;
}

interface Shared {
  readonly stream: Stream;
  /** Its readers, with the headers of each: functions, or all equal. */
  readonly listeners: Map<Listener, StreamConfig["headers"]>;
  linger?: unknown;
  /** Whether there was something to read, which a reader who joins now does not get. */
  begun?: boolean;
}

/**
 * How long a stream outlives its last reader, in milliseconds: components that mount twice, or
 * follow one another, then keep one connection.
 */
const LINGER = 250;

const streams = new Map<string, Shared>();

/** Joins the page's stream of this configuration, or opens it. */
export function joinStream(config: StreamConfig, share: Share, listener: Listener): Lease {
  if (!share) {
    const stream = openStream(config, listener);
    return { stream, release: stream.close };
  }
  const open: Sharing = share === "page" ? openStream : share;
  const key = keyOf(config, open);
  let shared = streams.get(key);
  // who asks for a beginning must get it: not the rest of a stream that has gone on
  if (!shared || (config.lastEventId && shared.begun)) shared = openShared(config, key, open);
  shared.listeners.set(listener, config.headers);
  config.clock.clearTimeout(shared.linger);
  const joined = shared;
  return {
    stream: joined.stream,
    release() {
      if (!joined.listeners.delete(listener) || joined.listeners.size) return;
      joined.linger = config.clock.setTimeout(() => {
        forget(key, joined);
        joined.stream.close();
      }, LINGER);
    },
  };
}

function openShared(config: StreamConfig, key: string, open: Sharing): Shared {
  const listeners: Shared["listeners"] = new Map();
  // copied, so that a reader who joins from a callback does not get that call as well
  const tell = (call: (listener: Listener) => void) => [...listeners.keys()].forEach(call);
  // a function is that of a reader who is still there: who has left may know an old token only
  let { headers } = config;
  if (typeof headers === "function") {
    const first = headers;
    headers = (request) => (([...listeners.values()].at(-1) as typeof first) ?? first)(request);
  }
  const stream = open({ ...config, headers }, {
    event(event, meta) {
      shared.begun = true;
      tell((listener) => listener.event(event, meta));
    },
    reset(reason) {
      shared.begun = true;
      tell((listener) => listener.reset(reason));
    },
    error(error) {
      shared.begun ||= error.type === "json";
      tell((listener) => listener.error(error));
    },
    status(status) {
      // whoever connects after the end starts anew, unless a reader has revived this one
      if (status.state === "closed") forget(key, shared);
      else if (!streams.has(key)) streams.set(key, shared);
      tell((listener) => listener.status(status));
    },
  });
  const shared: Shared = { stream, listeners };
  streams.set(key, shared);
  return shared;
}

function forget(key: string, shared: Shared): void {
  if (streams.get(key) === shared) streams.delete(key);
}

function keyOf(config: StreamConfig, open: Sharing): string {
  const { fetch, clock, random, user, headers, continues: _, ...plain } = config;
  const functions: object[] = [open, fetch, clock, random];
  // whom a function asks for is only known where the caller says so
  if (typeof headers === "function" && user === undefined) functions.push(headers);
  return JSON.stringify([plain, user, knownHeaders(headers), functions.map(identity)]);
}

const identities = new WeakMap<object, number>();
let count = 0;

function identity(value: object): number {
  let id = identities.get(value);
  if (!id) identities.set(value, (id = ++count));
  return id;
}
