import { useQueryClient, type QueryClient, type QueryKey } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { safely } from "./connect.js";
import { createRounds, olderThan, type Rounds } from "./invalidation.js";
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
  UseSSEConnectionOptions<TEvent> & {
    /**
     * What an event makes stale: a list of query keys, each an array, or a function that returns
     * one. A key also stands for those that begin with it, as everywhere in TanStack Query.
     */
    readonly queryKeys: readonly QueryKey[] | ((event: TEvent) => readonly QueryKey[]);
    /**
     * What a reset makes stale. Default: `queryKeys` where it is a list, every query where it is
     * a function, for there is no event to ask it about. Data of these keys (or of the list) that
     * is older than the hook's first look at the stream is fetched again, too.
     */
    readonly resetKeys?: readonly QueryKey[] | undefined;
    /**
     * Takes an event's payload into the cached data of a key, with no request. Called for each
     * key that has data under exactly that key; return the new data, or `undefined` to have the
     * key invalidated instead.
     */
    readonly updater?:
      | ((data: TData, event: TEvent, queryKey: QueryKey) => TData | undefined)
      | undefined;
    /**
     * Least time between two rounds of invalidation, in milliseconds. Default 0: one round for
     * all events that arrive together.
     */
    readonly throttle?: number | undefined;
  };

/**
 * Keeps queries fresh: invalidates them after events, and when events may have been missed: after
 * a reset, after a reconnection that did not resume, and where data was cached before the hook
 * began to listen. Does nothing on the server.
 */
export function useSSEQueryInvalidation<TEvent = AnyEvent, TData = unknown>(
  options: UseSSEQueryInvalidationOptions<TEvent, TData>,
): SSEConnection {
  const client = useQueryClient();
  const latest = useLatest(options);
  const rounds = useRef<Rounds>(null);
  // when the hook began to wait for its first look at a stream; null once it has had it
  const began = useRef<number>(null);

  // both before the connection's effect, which uses them
  useEffect(() => {
    const created = createRounds(client, () => latest.current.throttle ?? 0);
    rounds.current = created;
    return created.flush;
  }, [client]);
  useEffect(() => {
    began.current = Date.now();
  }, [client, ...streamOf(options)]);

  const expire = () => {
    const { queryKeys, resetKeys } = latest.current;
    const keys = resetKeys ?? (typeof queryKeys === "function" ? EVERYTHING : queryKeys);
    for (const key of keys) rounds.current?.add(key);
  };

  return useSSEConnection<TEvent>({
    ...options,
    onStatus(status) {
      const { queryKeys, resetKeys, onStatus } = latest.current;
      if (status.state === "open" && began.current !== null) {
        const keys = resetKeys ?? (typeof queryKeys === "function" ? [] : queryKeys);
        for (const key of olderThan(client, keys, began.current)) rounds.current?.add(key);
        began.current = null;
      } else if (status.state === "open" && !status.resumed) {
        // also where no reset is reported, because only the initial event was missed: that event
        // does not refresh what other events, in between, made stale
        expire();
      }
      onStatus?.(status);
    },
    onEvent(event, meta) {
      const { queryKeys, updater, onEvent } = latest.current;
      const keys = typeof queryKeys === "function" ? queryKeys(event) : queryKeys;
      for (const key of keys) {
        if (!updater || !update(client, key, event, updater)) rounds.current?.add(key);
      }
      onEvent?.(event, meta);
    },
    onReset(reason) {
      expire();
      latest.current.onReset?.(reason);
    },
  });
}

/** Every key begins with the empty one. */
const EVERYTHING: readonly QueryKey[] = [[]];

/** Writes the event into the cache; says whether that made the data fresh. */
function update<TEvent, TData>(
  client: QueryClient,
  queryKey: QueryKey,
  event: TEvent,
  updater: (data: TData, event: TEvent, queryKey: QueryKey) => TData | undefined,
): boolean {
  const data = client.getQueryData<TData>(queryKey);
  let next: TData | undefined;
  // where it throws, the data is as stale as without it
  if (data !== undefined) safely(() => (next = updater(data, event, queryKey)));
  if (next === undefined) return false;
  client.setQueryData<TData>(queryKey, next);
  // a fetch under way would overwrite it with an older answer
  return client.getQueryState(queryKey)?.fetchStatus !== "fetching";
}
