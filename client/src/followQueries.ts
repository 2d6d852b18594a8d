import { connect, safely } from "./connect.js";
import { createRounds, olderThan, type QueryClient, type QueryKey } from "./invalidation.js";
import type { AnyEvent, Callbacks, Connection, ConnectOptions } from "./types.js";

/** What events and resets do to queries. */
export interface QueryOptions<TEvent, TData = unknown> {
  /**
   * What an event makes stale: a list of query keys, each an array, or a function that returns
   * one. A key also stands for those that begin with it, as everywhere in TanStack Query.
   */
  readonly queryKeys: readonly QueryKey[] | ((event: TEvent) => readonly QueryKey[]);
  /**
   * What a reset makes stale. Default: `queryKeys` where it is a list, every query where it is
   * a function, for there is no event to ask it about. Data of these keys (or of the list) that
   * is older than the first look at the stream is fetched again, too.
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
}

/** Options of `followQueries`. */
export type FollowQueriesOptions<TEvent, TData = unknown> = ConnectOptions<TEvent> &
  QueryOptions<TEvent, TData> & {
    /** The stream's URL, relative to the page. */
    readonly endpoint: string | URL;
  };

/**
 * Keeps the queries of a `QueryClient` fresh, of whichever framework, until the connection that
 * it returns is closed: invalidates them after events, and when events may have been missed: after
 * a reset, after a reconnection that did not resume, and where data was cached before.
 */
export function followQueries<TEvent = AnyEvent, TData = unknown>(
  client: QueryClient,
  options: FollowQueriesOptions<TEvent, TData>,
): Connection<TEvent> {
  return connect<TEvent>(options.endpoint, {
    ...options,
    ...createFollower<TEvent, TData>(client, () => options),
  });
}

/** The callbacks of a connection that queries follow. */
export type Follower<TEvent> = {
  readonly [TName in "onEvent" | "onStatus" | "onReset"]: NonNullable<Callbacks<TEvent>[TName]>;
};

/**
 * Creates the callbacks for one connection, which is about to be opened. They call those of the
 * latest options as well.
 */
export function createFollower<TEvent, TData>(
  client: QueryClient,
  latest: () => QueryOptions<TEvent, TData> & Callbacks<TEvent>,
): Follower<TEvent> {
  const rounds = createRounds(client, () => latest().throttle ?? 0);
  // what was fetched before has not been looked at through this stream
  const began = Date.now();
  let looked = false;

  const expire = () => {
    const { queryKeys, resetKeys } = latest();
    const keys = resetKeys ?? (typeof queryKeys === "function" ? EVERYTHING : queryKeys);
    for (const key of keys) rounds.add(key);
  };

  return {
    onStatus(status) {
      const { queryKeys, resetKeys, onStatus } = latest();
      if (status.state === "open" && !looked) {
        looked = true;
        const keys = resetKeys ?? (typeof queryKeys === "function" ? [] : queryKeys);
        for (const key of olderThan(client, keys, began)) rounds.add(key);
      } else if (status.state === "open" && !status.resumed) {
        // also where no reset is reported, because only the initial event was missed: that event
        // does not refresh what other events, in between, made stale
        expire();
      } else if (status.state === "closed") {
        rounds.flush();
      }
      onStatus?.(status);
    },
    onEvent(event, meta) {
      const { queryKeys, updater, onEvent } = latest();
      const keys = typeof queryKeys === "function" ? queryKeys(event) : queryKeys;
      for (const key of keys) {
        if (!updater || !update(client, key, event, updater)) rounds.add(key);
      }
      onEvent?.(event, meta);
    },
    onReset(reason) {
      expire();
      latest().onReset?.(reason);
    },
  };
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
  const data = client.getQueryData(queryKey) as TData | undefined;
  let next: TData | undefined;
  // where it throws, the data is as stale as without it
  if (data !== undefined) safely(() => (next = updater(data, event, queryKey)));
  if (next === undefined) return false;
  client.setQueryData(queryKey, next);
  // a fetch under way would overwrite it with an older answer
  return client.getQueryState(queryKey)?.fetchStatus !== "fetching";
}
