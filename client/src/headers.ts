import type { RequestOptions } from "./types.js";

/**
 * The headers that every request of a stream has, in one form for all that are equal. Those of a
 * function are not known before it is asked.
 */
export function fixedHeaders(headers: RequestOptions["headers"]): readonly [string, string][] {
  return typeof headers === "function" ? [] : [...new Headers(headers)];
}
