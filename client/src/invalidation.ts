/** A key of a query, as TanStack Query has them. */
export type QueryKey = readonly unknown[];

/** What is used of a query. */
interface Query {
  readonly queryKey: QueryKey;
  readonly state: {
    readonly data?: unknown;
    readonly dataUpdatedAt: number;
    readonly fetchStatus: string;
  };
  fetch(): Promise<unknown>;
}

type Predicate = (query: Query) => boolean;

/** What is used of a `QueryClient`: any of TanStack Query 5 has it, whatever its framework. */
export interface QueryClient {
  getQueryData(queryKey: QueryKey): unknown;
  setQueryData(queryKey: QueryKey, data: unknown): unknown;
  getQueryState(queryKey: QueryKey): { readonly fetchStatus: string } | undefined;
  getQueryCache(): {
    findAll(filters: { queryKey: QueryKey; predicate?: Predicate }): readonly Query[];
  };
  cancelQueries(filters: { predicate: Predicate }): Promise<void>;
  invalidateQueries(
    filters: { predicate: Predicate } | { queryKey: QueryKey; exact: true },
  ): Promise<void>;
}

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
      keys.set(JSON.stringify(key), key);
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
  const cache = client.getQueryCache();
  const stale = new Set(keys.flatMap((queryKey) => cache.findAll({ queryKey })));
  for (const query of [...stale].filter(isLoading)) {
    stale.delete(query);
    followUp(client, query);
  }
  const predicate = (query: Query) => stale.has(query);
  await client.cancelQueries({ predicate });
  await client.invalidateQueries({ predicate });
}

/** The queries under these keys whose data is older than a moment, and not being replaced. */
export function olderThan(
  client: QueryClient,
  keys: readonly QueryKey[],
  moment: number,
): readonly QueryKey[] {
  const predicate = ({ state }: Query) =>
    state.data !== undefined && state.dataUpdatedAt < moment && state.fetchStatus !== "fetching";
  const cache = client.getQueryCache();
  const older = keys.flatMap((queryKey) => cache.findAll({ queryKey, predicate }));
  return older.map(({ queryKey }) => queryKey);
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
