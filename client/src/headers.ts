import type { RequestOptions } from "./types.js";

/**
 * What is known beforehand of the headers of a stream's requests, in one form for all that are
 * equal: those that every request has, or that a function is asked.
 */
export function knownHeaders(headers: RequestOptions["headers"]): unknown {
  return typeof headers === "function" ? "asked" : [...new Headers(headers)];
}
