import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { createFollower, type Follower, type QueryOptions } from "./followQueries.js";
import type { AnyEvent } from "./types.js";
import {
  streamOf,
  useLatest,
  useSSEConnection,
  type SSEConnection,
  type UseSSEConnectionOptions,
} from "./useSSEConnection.js";

/** Options of `useSSEQueryInvalidation`. */
export type UseSSEQueryInvalidationOptions<TEvent, TData = unknown> =
  UseSSEConnectionOptions<TEvent> & QueryOptions<TEvent, TData>;

/**
 * Keeps queries fresh while the component is mounted: `followQueries` as a hook. Does nothing on
 * the server.
 */
export function useSSEQueryInvalidation<TEvent = AnyEvent, TData = unknown>(
  options: UseSSEQueryInvalidationOptions<TEvent, TData>,
): SSEConnection {
  const client = useQueryClient();
  const latest = useLatest(options);
  const follower = useRef<Follower<TEvent>>(null);

  // before the connection's effect, which uses it
  useEffect(() => {
    follower.current = createFollower<TEvent, TData>(client, () => latest.current);
  }, [client, ...streamOf(options)]);

  return useSSEConnection<TEvent>({
    ...options,
    onStatus: (status) => follower.current?.onStatus(status),
    onEvent: (event, meta) => follower.current?.onEvent(event, meta),
    onReset: (reason) => follower.current?.onReset(reason),
  });
}
