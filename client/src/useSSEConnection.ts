import { useCallback, useEffect, useRef, useState, type RefObject } from "react";
import { connect } from "./connect.js";
import { knownHeaders } from "./headers.js";
import type {
  AnyEvent,
  Callbacks,
  Connection,
  HeadersRequest,
  RequestOptions,
  SharingOptions,
  Status,
} from "./types.js";

/**
 * Options of `useSSEConnection`. Functions may be written in place: the latest one is called.
 * Changed `headers` open another connection, as a changed `endpoint` does; pass a token that
 * changes during a stream through a function.
 */
export type UseSSEConnectionOptions<TEvent> = Pick<
  Callbacks<TEvent>,
  "onEvent" | "onStatus" | "onReset" | "onError"
> &
  RequestOptions &
  SharingOptions & {
    /** The stream's URL, relative to the page. Another one is another connection. */
    readonly endpoint: string;
    /** Called when the stream opens and when it breaks off; each `true` is followed by a `false`. */
    readonly onConnectionChange?: ((connected: boolean) => void) | undefined;
    /** Whether to connect. Default `true`. */
    readonly enabled?: boolean | undefined;
  };

/** What the hooks return. */
export interface SSEConnection {
  /** Whether the stream is open. */
  readonly connected: boolean;
  /**
   * Whether the stream was open, or could not be opened, and is to come back: what a banner should
   * tell. Before the first connection, and on the server, neither this nor `connected` is true.
   */
  readonly reconnecting: boolean;
  readonly status: Status;
  /** Connects again at once. */
  readonly reconnect: () => void;
}

const CONNECTING: Status = { state: "connecting", again: false };
const DISABLED: Status = { state: "closed", reason: "caller" };

/**
 * Connects while the component is mounted. Does nothing on the server.
 *
 * Components with equal `endpoint` and options share one connection; one that joins an open
 * stream gets the events that follow, not those before.
 */
export function useSSEConnection<TEvent = AnyEvent>(
  options: UseSSEConnectionOptions<TEvent>,
): SSEConnection {
  const { endpoint, enabled = true } = options;
  const initial = enabled ? CONNECTING : DISABLED;
  const [status, setStatus] = useState(initial);
  const latest = useLatest(options);
  const connection = useRef<Connection<TEvent>>(null);
  // one function for the component's life: it reads the latest token, and a second mount finds
  // the connection of the first
  const [askHeaders] = useState(
    () => (request: HeadersRequest) => resolveHeaders(latest.current.headers, request),
  );

  useEffect(() => {
    setStatus(initial);
    if (!enabled) return;
    let connected = false;
    const tellConnected = (next: boolean) => {
      if (connected === next) return;
      connected = next;
      latest.current.onConnectionChange?.(next);
    };
    const { headers } = latest.current;
    const opened = connect<TEvent>(endpoint, {
      ...latest.current,
      headers: typeof headers === "function" ? askHeaders : headers,
      onEvent: (event, meta) => latest.current.onEvent?.(event, meta),
      onReset: (reason) => latest.current.onReset?.(reason),
      onError: (error) => latest.current.onError?.(error),
      onStatus(next) {
        setStatus(next);
        tellConnected(next.state === "open");
        latest.current.onStatus?.(next);
      },
    });
    connection.current = opened;
    return () => {
      opened.close();
      connection.current = null;
    };
  }, streamOf(options));

  const reconnect = useCallback(() => connection.current?.reconnect(), []);
  const { state } = status;
  const reconnecting = state === "waiting" || (state === "connecting" && status.again);
  return { connected: state === "open", reconnecting, status, reconnect };
}

/** What makes a stream another one, as the dependencies of an effect. */
export function streamOf(options: UseSSEConnectionOptions<never>): readonly unknown[] {
  const { endpoint, enabled = true, share, user, credentials, lastEventIdVia, headers } = options;
  // by their content: they are often written in place
  const sent = JSON.stringify(knownHeaders(headers));
  return [endpoint, enabled, share, user, credentials, lastEventIdVia, sent];
}

/** A ref to the value of the last committed render. */
export function useLatest<T>(value: T): RefObject<T> {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}

function resolveHeaders(headers: RequestOptions["headers"], request: HeadersRequest) {
  return (typeof headers === "function" ? headers(request) : headers) ?? {};
}
