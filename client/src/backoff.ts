/** Longest wait that growth alone leads to, in milliseconds. */
export const MAX_DELAY = 30_000;

/** A server that asks for less than this is not obeyed: it would be a busy loop. Milliseconds. */
export const MIN_RETRY = 100;

/** Timers overflow past this and fire at once. Milliseconds. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * The wait before an attempt, in milliseconds: `retry` doubled for each failure since the stream
 * was last alive, at most 30 s (or `retry`, where the server asks for more). What has grown is
 * spread over its upper half, so that clients do not come back together; the first wait is exactly
 * `retry`, for the server spreads that one itself, and may ask for no less.
 */
export function backoff(retry: number, failures: number, random: () => number): number {
  const base = Math.min(Math.max(retry, MIN_RETRY), LONGEST_TIMER);
  const delay = Math.min(Math.max(MAX_DELAY, base), base * 2 ** failures);
  return Math.max(base, delay * (0.5 + random() / 2));
}

/**
 * Milliseconds that a `Retry-After` header asks for, given as seconds or as a date; 0 without
 * a usable one.
 */
export function retryAfter(header: string | null, now: number): number {
  if (!header) return 0;
  const delay = /^\s*\d+\s*$/.test(header) ? Number(header) * 1000 : Date.parse(header) - now;
  return delay > 0 ? Math.min(delay, LONGEST_TIMER / 2) : 0;
}
