import { StreamError, type StreamErrorType } from "./errors.js";
import { MAX_EVENT_BYTES } from "./parser.js";
import { createQueue, type Queue } from "./queue.js";
import { checkReadable } from "./request.js";
import { joinStream, type Lease, type Share } from "./sharing.js";
import type {
  AnyEvent,
  Clock,
  Connection,
  ConnectOptions,
  Listener,
  RequestOptions,
  SharingOptions,
  Status,
  StreamConfig,
} from "./types.js";

/**
 * Connects to a channel and stays connected: across restarts, lost networks, silent sockets and
 * sleeping tabs it resumes after the last event it has seen.
 *
 * @param url - The stream's URL, relative to the page.
 * @param options - See `ConnectOptions`; all are optional.
 * @typeParam TEvent - The channel's event union. It is not checked at run time.
 */
export function connect<TEvent = AnyEvent>(
  url: string | URL,
  options: ConnectOptions<TEvent> = {},
): Connection<TEvent> {
  const config = resolve(url, options);
  const share = shareOf(options);
  const { onEvent, onStatus, onReset, onError, signal } = options;
  const queues = new Set<Queue<TEvent>>();
  const interrupted = new Set<Queue<TEvent>>();
  let told: Status | undefined;
  let failure: StreamError | undefined;
  let closed = false;

  const listener: Listener = {
    event(event, meta) {
      if (closed) return;
      safely(() => onEvent?.(event as TEvent, meta));
      push(event as TEvent);
    },
    status(status) {
      if (closed && (status.state !== "closed" || told?.state === "closed")) return;
      if (status.state === "closed") {
        endQueues(status.reason);
        // a signal may outlive many streams, and must not collect those that have ended
        signal?.removeEventListener("abort", close);
      } else {
        if (signal?.aborted) return close();
        signal?.addEventListener("abort", close);
      }
      told = status;
      safely(() => onStatus?.(status));
    },
    reset(reason) {
      if (closed) return;
      safely(() => onReset?.(reason));
      const message = `events may be missing (${reason}): load their subject again, and iterate on`;
      push(new StreamError("reset", message, { reason }));
    },
    error(error) {
      failure = error;
      if (closed) return;
      safely(() => onError?.(error));
      if (error.type === "json") push(error);
    },
  };

  const push = (item: TEvent | StreamError) => queues.forEach((queue) => queue.push(item));

  const failureOf = (reason: string) => {
    const type = FAILURES.get(reason);
    // a tab that follows is not told the error
    return type && (failure ?? new StreamError(type, `${config.url} is closed: ${reason}`));
  };

  const endQueues = (reason: string) => {
    for (const queue of queues) queue.end(failureOf(reason));
    queues.clear();
  };

  const close = () => {
    if (closed) return;
    closed = true;
    lease?.release();
    if (told?.state !== "closed") listener.status(CLOSED);
  };

  let lease: Lease | undefined;
  if (signal?.aborted) {
    closed = true;
    queueMicrotask(() => listener.status(CLOSED));
  } else {
    lease = joinStream(config, share, listener);
    signal?.addEventListener("abort", close);
    // who joins a stream that is under way is told where it stands
    queueMicrotask(() => {
      const { status } = lease!.stream;
      const isNew = status.state === "connecting" && !status.again;
      if (!closed && !told && !isNew) listener.status(status);
    });
  }

  return {
    get status() {
      return closed ? (told ?? CLOSED) : lease!.stream.status;
    },
    get lastEventId() {
      return lease?.stream.lastEventId ?? config.lastEventId;
    },
    reconnect() {
      if (!closed) lease!.stream.reconnect();
    },
    close,
    [Symbol.asyncIterator]() {
      // goes on where a loop was left by an error in the place of an event
      for (const queue of interrupted) return queue;
      const queue = createQueue<TEvent>(close, interrupted);
      const { status } = this;
      if (status.state === "closed") queue.end(failureOf(status.reason));
      else queues.add(queue);
      return queue;
    },
  };
}

const CLOSED: Status = { state: "closed", reason: "caller" };

/** Ends that a `for await` loop must not take for the end of the events. */
const FAILURES = new Map<string, StreamErrorType>([
  ["unauthorized", "http"],
  ["refused", "http"],
  ["content-type", "content-type"],
  ["unsupported", "unsupported"],
]);

const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, delay) => setTimeout(callback, delay),
  clearTimeout: (timer) => clearTimeout(timer as number),
};

// looked up at each call, so that a polyfill or a wrapper installed later counts
const systemFetch: typeof fetch = (input, init) => {
  // before the request: what cannot read a body as it arrives may wait for its end, for ever
  checkReadable(new Response(""));
  return fetch(input, init);
};

function resolve(url: string | URL, options: RequestOptions & SharingOptions): StreamConfig {
  return {
    url: new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href).href,
    user: options.user,
    headers: options.headers,
    credentials: options.credentials ?? "same-origin",
    lastEventId: options.lastEventId ?? "",
    lastEventIdVia: options.lastEventIdVia ?? "auto",
    maxEventBytes: options.maxEventBytes ?? MAX_EVENT_BYTES,
    fetch: options.fetch ?? systemFetch,
    clock: options.clock ?? systemClock,
    random: options.random ?? Math.random,
  };
}

function shareOf({ share = "page", user }: SharingOptions): Share {
  if (typeof share === "function" && !user) {
    throw new TypeError("sharing across tabs needs `user`: no tab may read another login's stream");
  }
  return share;
}

/** Calls a function of the caller's; what it throws is reported as uncaught. */
export function safely(callback: () => void): void {
  try {
    callback();
  } catch (error) {
    // as the browser does for its own events: reported, without harm to the others
    queueMicrotask(() => {
      throw error;
    });
  }
}
