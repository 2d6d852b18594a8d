import {
  hashKey,
  matchQuery,
  type Query,
  type QueryClient,
  type QueryKey,
} from "@tanstack/react-query";

/** Collects query keys and invalidates them together. */
export interface Rounds {
  add(key: QueryKey): void;
  /** Invalidates at once what is still waiting for its round. */
  flush(): void;
}

/** Creates rounds that are at least `throttle()` milliseconds apart. */
export function createRounds(client: QueryClient, throttle: () => number): Rounds {
  const keys = new Map<string, QueryKey>();
  let last = -Infinity;
  let pending = false;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const flush = () => {
    clearTimeout(timer);
    pending = false;
    if (!keys.size) return;
    last = Date.now();
    void refresh(client, [...keys.values()]);
    keys.clear();
  };

  return {
    add(key) {
      keys.set(hashKey(key), key);
      if (pending) return;
      pending = true;
      const delay = last + throttle() - Date.now();
      if (delay > 0) timer = setTimeout(flush, delay);
      // after all events of the same chunk
      else queueMicrotask(flush);
    },
    flush,
  };
}

/**
 * Invalidates the queries under these keys, so that none keeps an answer from before now.
 *
 * A fetch that is under way may carry an older answer. A refetch is cancelled and begun again. A
 * first fetch is left alone, since cancelling it rejects whoever awaits it (a route's loader, for
 * one); it is followed by another.
 */
export async function refresh(client: QueryClient, keys: readonly QueryKey[]): Promise<void> {
  const matches = (query: Query) => keys.some((queryKey) => matchQuery({ queryKey }, query));
  const matching = client.getQueryCache().findAll({ predicate: matches });
  const loading = new Set(matching.filter(isLoading));
  const predicate = (query: Query) => matches(query) && !loading.has(query);
  for (const query of loading) followUp(client, query);
  await client.cancelQueries({ predicate });
  await client.invalidateQueries({ predicate });
}

/** The queries under these keys whose data is older than a moment, and not being replaced. */
export function olderThan(
  client: QueryClient,
  keys: readonly QueryKey[],
  moment: number,
): readonly QueryKey[] {
  const isOlder = ({ state }: Query) =>
    state.data !== undefined && state.dataUpdatedAt < moment && state.fetchStatus !== "fetching";
  const predicate = (query: Query) =>
    isOlder(query) && keys.some((queryKey) => matchQuery({ queryKey }, query));
  return client.getQueryCache().findAll({ predicate }).map(({ queryKey }) => queryKey);
}

function isLoading({ state }: Query): boolean {
  return state.fetchStatus === "fetching" && state.data === undefined;
}

const awaited = new WeakSet<Query>();

function followUp(client: QueryClient, query: Query): void {
  if (awaited.has(query)) return;
  awaited.add(query);
  const { queryKey } = query;
  const again = () => {
    awaited.delete(query);
    return client.invalidateQueries({ queryKey, exact: true });
  };
  // joins the fetch that is under way; one that fails has left nothing stale behind
  query.fetch().then(again, () => awaited.delete(query));
}
