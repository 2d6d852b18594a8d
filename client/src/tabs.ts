import { knownHeaders } from "./headers.js";
import { watchPage } from "./page.js";
import { openStream, type OwnStream } from "./stream.js";
import type { EventMeta, Listener, ResetReason, Status, Stream, StreamConfig } from "./types.js";

type Message =
  /** `id`: where the tab is. */
  | { readonly kind: "hello"; readonly id: string }
  | { readonly kind: "reconnect" }
  /** The tab is looked at, and so may be the only one whose page is told so. */
  | { readonly kind: "wake" }
  /** A change of the leader's status. `id`: where the leader is, `after`: where it was before. */
  | { readonly kind: "status"; readonly status: Status; readonly id: string; readonly after: string }
  /** Answers a `hello`. `missed`: what follows its id, as far as the leader remembers. */
  | {
      readonly kind: "welcome";
      readonly status: Status;
      readonly id: string;
      readonly missed: readonly Told[];
    }
  | { readonly kind: "reset"; readonly reason: ResetReason; readonly id: string }
  | Told;

interface Told {
  readonly kind: "event";
  readonly event: unknown;
  readonly meta: EventMeta;
  /** The id before this event, so that a tab notices what it missed. */
  readonly after: string;
}

/**
 * How long the lead is kept after the end of a stream, in milliseconds: the other tabs must hear
 * of the end before one of them could take the lead and connect again.
 */
const FAREWELL = 250;

/**
 * How many events a tab remembers, to drop what both an old and a new leader told, and to tell what
 * a tab missed that comes back from the back/forward cache.
 */
const REMEMBERED = 128;

/**
 * Shares a stream among all tabs of the browser: `connect(url, { share: tabs, user })`. The tab
 * that gets the Web Lock leads: it holds the connection and broadcasts what it reads. The browser
 * hands the lock on when that tab goes, and the next leader resumes after the last id it saw.
 * Errors are reported in the leading tab only.
 *
 * Where the browser has no Web Locks or no BroadcastChannel, each page has its own connection.
 */
export function tabs(config: StreamConfig, listener: Listener): Stream {
  const { navigator, BroadcastChannel } = globalThis;
  if (!navigator?.locks || !BroadcastChannel) return openStream(config, listener);

  const { url, credentials, user, headers } = config;
  const equal = JSON.stringify([url, credentials, user, knownHeaders(headers)]);
  const name = `fastapi-sse-channels ${equal}`;
  const told = new Map<string, Told>();
  let status: Status = { state: "connecting", again: false };
  let lastEventId = config.lastEventId;
  // whether this tab waits to be told what it missed
  let behind = false;
  // whether the last event had the id of the one before it, as initial events have: from that id
  // nobody can tell which of them a tab knows
  let repeated = false;
  let channel: BroadcastChannel | undefined;
  let candidacy: AbortController | undefined;
  let leading: OwnStream | undefined;
  let resign: (() => void) | undefined;
  let unwatch: (() => void) | undefined;

  const post = (message: Message) => channel?.postMessage(message);

  const setStatus = (next: Status) => {
    if (JSON.stringify(status) === JSON.stringify(next)) return;
    status = next;
    if (next.state === "closed") {
      unwatch?.();
      unwatch = undefined;
      leave(FAREWELL);
    }
    listener.status(next);
  };

  const deliver = (message: Told) => {
    const { event, meta, after } = message;
    lastEventId = meta.id;
    if (meta.id && meta.id !== after) {
      told.set(meta.id, repeated ? { ...message, after: "" } : message);
      if (told.size > REMEMBERED) told.delete(told.keys().next().value!);
    }
    repeated = meta.id === after;
    listener.event(event, meta);
  };

  const reset = (reason: ResetReason, id: string) => {
    behind = false;
    lastEventId = id;
    listener.reset(reason);
  };

  const greet = () => post({ kind: "hello", id: lastEventId });

  const followEvent = (message: Told) => {
    const { meta, after } = message;
    if (meta.id !== after && told.has(meta.id)) return;
    if (lastEventId && lastEventId !== after) reset("gap", after);
    deliver(message);
  };

  const follow = (message: Message) => {
    if (message.kind === "event") {
      // an event from before the answer to the greeting is part of that answer
      if (!behind) followEvent(message);
    } else if (message.kind === "reset") {
      reset(message.reason, message.id);
    } else if (message.kind === "status") {
      setStatus(message.status);
      // a new leader has not heard the greeting
      if (behind) greet();
      if (!lastEventId || lastEventId === message.after) lastEventId = message.id;
    } else if (message.kind === "welcome") {
      const { id, missed } = message;
      setStatus(message.status);
      if (behind) {
        missed.forEach(followEvent);
        behind = lastEventId !== id && !told.has(id);
        // not before the leader is connected: what is loaded upon a gap would be older than its
        // stream, with a hole between the two
        if (behind && message.status.state === "open") reset("gap", id);
      }
      lastEventId ||= id;
    }
  };

  const answer = (message: Message) => {
    if (message.kind === "hello") {
      const events = [...told.values()];
      const first = events.findIndex(({ after }) => after && after === message.id);
      const missed = first < 0 ? [] : events.slice(first);
      post({ kind: "welcome", status, id: lastEventId, missed });
    } else if (message.kind === "reconnect") leading?.reconnect();
    else if (message.kind === "wake") leading?.wake(false);
  };

  const lead = () => {
    const stream: OwnStream = openStream(
      { ...config, lastEventId, continues: status.state === "open" },
      {
        event(event, meta) {
          const message: Told = { kind: "event", event, meta, after: lastEventId };
          post(message);
          deliver(message);
        },
        status(next) {
          // its last word on leaving is not for the other tabs
          if (leading !== stream) return;
          const after = lastEventId;
          lastEventId = stream.lastEventId;
          post({ kind: "status", status: next, id: lastEventId, after });
          setStatus(next);
        },
        reset(reason) {
          post({ kind: "reset", reason, id: stream.lastEventId });
          reset(reason, stream.lastEventId);
        },
        error: listener.error,
      },
    );
    leading = stream;
    behind = false;
    // the one it follows may have been further along, or closed for good
    if (status.state !== "connecting") setStatus({ state: "connecting", again: true });
  };

  const enter = () => {
    const { signal } = (candidacy = new AbortController());
    channel = new BroadcastChannel(name);
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (leading) answer(data);
      else follow(data);
    };
    behind = lastEventId !== "";
    greet();
    unwatch ??= watchPage({ wake, hide, show: enter });
    navigator.locks
      .request(name, { signal }, () => {
        if (signal.aborted) return;
        lead();
        return new Promise<void>((resolve) => {
          // a callback may have made it leave again
          if (signal.aborted) resolve();
          else resign = resolve;
        });
      })
      // rejects when this tab leaves before its turn
      .catch(() => {});
  };

  const leave = (delay = 0) => {
    const [stream, line, release] = [leading, channel, resign];
    leading = channel = resign = undefined;
    stream?.close();
    candidacy?.abort();
    if (line) line.onmessage = null;
    const part = () => {
      release?.();
      line?.close();
    };
    if (delay && line) config.clock.setTimeout(part, delay);
    else part();
  };

  // of a network that is back all pages are told, the leader's as well
  const wake = (online: boolean) => {
    if (!online && !leading) post({ kind: "wake" });
  };

  // a page that holds a lock, or hears broadcasts, is kept out of the back/forward cache
  const hide = () => {
    leave();
    setStatus({ state: "waiting", delay: Infinity, reason: "hidden" });
  };

  enter();

  return {
    get status() {
      return status;
    },
    get lastEventId() {
      return lastEventId;
    },
    reconnect() {
      if (leading) leading.reconnect();
      else if (status.state === "closed") enter();
      else post({ kind: "reconnect" });
    },
    close() {
      leave();
      setStatus({ state: "closed", reason: "caller" });
    },
  };
}
