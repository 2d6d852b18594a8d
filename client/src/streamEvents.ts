import { connect } from "./connect.js";
import type { AnyEvent, ConnectOptions } from "./types.js";

/**
 * Makes the `streamFn` of TanStack Query's `streamedQuery`: the query's data then grows with each
 * event until the query is no longer used.
 *
 * Where events may be missing, the query fails with a `StreamError` of type `reset`; its retry
 * starts a new stream.
 *
 * @param url - The stream's URL, relative to the page.
 * @param options - As of `connect`, but `share` is `false` by default: the query is what is
 * shared, and each run of it starts with the channel's initial event.
 */
export function streamEvents<TEvent = AnyEvent>(
  url: string | URL,
  options: ConnectOptions<TEvent> = {},
): (context: { signal: AbortSignal }) => AsyncIterable<TEvent> {
  return async function* ({ signal }) {
    const connection = connect<TEvent>(url, { share: false, ...options, signal });
    try {
      yield* connection;
    } finally {
      // after an error, too: nobody has this connection to go on with
      connection.close();
    }
  };
}
