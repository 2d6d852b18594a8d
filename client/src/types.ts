import type { StreamError } from "./errors.js";

/** An event of a channel whose type was not given: only its discriminator is known. */
export interface AnyEvent {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** What the wire says about an event besides its data. */
export interface EventMeta {
  /** The event's id, `""` where the server sends none. */
  readonly id: string;
  /** The `event:` field, `"message"` where there is none. */
  readonly name: string;
}

/**
 * Why the next attempt is still to come:
 * - `end`: the server ended the response;
 * - `close`: it said so first, and asked the client to come back;
 * - `network`: the request or the body failed;
 * - `http`: a status worth another attempt (408, 425, 429, 5xx);
 * - `stall`: the socket was open but silent;
 * - `hidden`: the page is in the back/forward cache.
 */
export type WaitReason = "end" | "close" | "network" | "http" | "stall" | "hidden";

/**
 * Why there will be no further attempt:
 * - `caller`: `close()`, the `AbortSignal`, or a hook that is not enabled;
 * - `ended`, `revoked`, `expired`, `shutdown`: the server's word in `stream-close` (`ended` also
 *   for a 204);
 * - `unauthorized`: 401 or 403, also after `headers()` was asked again;
 * - `refused`: any other status that no attempt will change;
 * - `content-type`: the answer is no event stream;
 * - `unsupported`: `fetch` gives no body that can be read as it arrives.
 */
export type CloseReason =
  | "caller"
  | "ended"
  | "revoked"
  | "expired"
  | "shutdown"
  | "unauthorized"
  | "refused"
  | "content-type"
  | "unsupported"
  | (string & {});

/** Where a connection stands. */
export type Status =
  /** A request is under way. `again`: it is not the first; the stream was open, or did not open. */
  | { readonly state: "connecting"; readonly again: boolean }
  /** The stream is being read. `resumed`: it goes on exactly where the last one broke off. */
  | { readonly state: "open"; readonly resumed: boolean }
  /** The next attempt starts after `delay` milliseconds (`Infinity`: when the page comes back). */
  | { readonly state: "waiting"; readonly delay: number; readonly reason: WaitReason }
  | { readonly state: "closed"; readonly reason: CloseReason };

/**
 * Why events may be missing. The server's words are `expired`, `trimmed`, `epoch`, `ahead` and
 * `slow`; `unresumed` stands for a reconnection that did not resume and gave no reason, `gap` for
 * events lost between tabs, `too-large` for an event above `maxEventBytes`.
 */
export type ResetReason =
  | "expired"
  | "trimmed"
  | "epoch"
  | "ahead"
  | "slow"
  | "unresumed"
  | "gap"
  | "too-large"
  | (string & {});

/** Time, replaceable in tests. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls back once after `delay` milliseconds. */
  setTimeout(callback: () => void, delay: number): unknown;
  clearTimeout(timer: unknown): void;
}

/** Why a `headers` function is asked. */
export interface HeadersRequest {
  /** The server answered 401 or 403 to the last ones: no cached token will do. */
  readonly rejected: boolean;
}

/** How the stream is requested. */
export interface RequestOptions {
  /**
   * Headers of the request, or a function that is asked before every attempt, and once more after
   * a 401 or 403, then with `{ rejected: true }`. A redirect to another origin does not get them.
   * Default: none.
   */
  readonly headers?:
    | HeadersInit
    | ((request: HeadersRequest) => HeadersInit | Promise<HeadersInit>)
    | undefined;
  /** Passed to `fetch`. Default `"same-origin"`. */
  readonly credentials?: RequestCredentials | undefined;
  /**
   * Resumes after this id from the first attempt on: never joins a shared stream that is past it
   * without a replay or a reset. Default: a fresh stream.
   */
  readonly lastEventId?: string | undefined;
  /**
   * How the last id is sent: as the `Last-Event-ID` header or as `?last_event_id=`. Default
   * `"auto"`: the header, but the query across origins, where the header would need a preflight.
   * An id outside ASCII goes into the query whatever is asked for: `fetch` refuses such a header.
   */
  readonly lastEventIdVia?: "auto" | "header" | "query" | undefined;
  /**
   * The longest data of an event that is read, counted as a string's `length`. A larger one is
   * skipped, and told by `onReset("too-large")` and `onError`. Default 8 MiB.
   */
  readonly maxEventBytes?: number | undefined;
  /** Replaces the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /** Replaces the timers and the clock. */
  readonly clock?: Clock | undefined;
  /** Replaces `Math.random`, the source of jitter. */
  readonly random?: (() => number) | undefined;
}

/** What a stream is opened with: its caller's options, each with its value. */
export interface StreamConfig {
  readonly url: string;
  /** Whom the stream is for, where its caller said so. */
  readonly user: string | undefined;
  readonly headers: RequestOptions["headers"];
  readonly credentials: RequestCredentials;
  readonly lastEventId: string;
  readonly lastEventIdVia: "auto" | "header" | "query";
  /** It takes over from a stream that was open elsewhere. Default `false`. */
  readonly continues?: boolean;
  readonly maxEventBytes: number;
  readonly fetch: typeof fetch;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Where a stream tells what happens to it. */
export interface Listener {
  event(event: unknown, meta: EventMeta): void;
  status(status: Status): void;
  reset(reason: ResetReason): void;
  error(error: StreamError): void;
}

/** A stream that keeps itself alive until it is closed. */
export interface Stream {
  readonly status: Status;
  readonly lastEventId: string;
  reconnect(): void;
  close(): void;
}

/** Opens a stream that goes beyond the page; `tabs` of the `shared` entry is one. */
export type Sharing = (config: StreamConfig, listener: Listener) => Stream;

/** Who shares a stream with whom. */
export type SharingOptions =
  | {
      /**
       * `"page"` (default): equal streams of a page share one connection. `false`: a connection
       * of its own. `tabs`, from the `shared` entry: one connection for all tabs.
       */
      readonly share?: "page" | false | undefined;
      /**
       * Whom the stream is for, such as the id of the signed-in user: streams of different users
       * are never shared. Without it, `headers` given as a function are told apart by identity.
       */
      readonly user?: string | undefined;
    }
  | { readonly share: Sharing; readonly user: string };

/** A caller's callbacks. Exceptions in them are reported, and the stream goes on. */
export interface Callbacks<TEvent> {
  /** Called with each event, parsed from JSON. */
  readonly onEvent?: ((event: TEvent, meta: EventMeta) => void) | undefined;
  /** Called whenever the status changes. */
  readonly onStatus?: ((status: Status) => void) | undefined;
  /** Called when events may be missing: load again what they were about. */
  readonly onReset?: ((reason: ResetReason) => void) | undefined;
  /** Called for each failed attempt and each unreadable event. */
  readonly onError?: ((error: StreamError) => void) | undefined;
}

/** Options of `connect`. */
export type ConnectOptions<TEvent> = Callbacks<TEvent> &
  RequestOptions &
  SharingOptions & {
    /** Closes the connection when aborted. */
    readonly signal?: AbortSignal | undefined;
  };

/**
 * One reader of a stream. Iterating yields the events from then on; leaving the loop closes the
 * connection, and a connection refused by the server ends it with a `StreamError`.
 *
 * Where events may be missing, a loop throws a `StreamError` of type `reset`, and in the place of
 * an event that is not JSON one of type `json`. The connection stays open: iterate over it again to
 * go on with what followed, or close it.
 */
export interface Connection<TEvent> extends AsyncIterable<TEvent> {
  readonly status: Status;
  /** The id to resume after, `""` before the first: of the last event read, also where a loop is behind. */
  readonly lastEventId: string;
  /** Connects again at once, also after the server closed the stream; not after `close()`. */
  reconnect(): void;
  /** Ends this reader; the stream goes on while others share it. */
  close(): void;
}
