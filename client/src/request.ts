import { StreamError } from "./errors.js";
import type { StreamConfig } from "./types.js";

const MAX_REDIRECTS = 5;

/**
 * Asks for a stream after the event `lastEventId`, `""` for a fresh one. Follows redirects by hand,
 * because `fetch` would take the caller's headers to any origin.
 */
export async function requestStream(
  // `fetch` is called without a receiver, as the browser's own demands
  { url, headers: source, credentials, lastEventIdVia, fetch }: StreamConfig,
  lastEventId: string,
  signal: AbortSignal,
  rejected = false,
): Promise<Response> {
  let headers = new Headers(await (typeof source === "function" ? source({ rejected }) : source));
  headers.set("Accept", "text/event-stream");
  let target = new URL(url);
  if (lastEventId) {
    if (viaHeader(lastEventIdVia, target, lastEventId)) headers.set("Last-Event-ID", lastEventId);
    else target.searchParams.set("last_event_id", lastEventId);
  }
  const get = (headers: Headers, redirect: RequestRedirect) =>
    fetch(target, { headers, redirect, credentials, signal, cache: "no-store" });
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    let response = await get(headers, "manual");
    let next = response.headers.get("location");
    const { origin } = target;
    if (response.type === "opaqueredirect") {
      // a browser does not say where to, so it goes there first without what others may not see;
      // of Authorization it takes care itself
      const harmless = only(headers, /^(accept|last-event-id|authorization)$/);
      response = await get(harmless, "follow");
      next = response.url;
      const isAnswer =
        `${[...harmless]}` === `${[...headers]}` ||
        new URL(next).origin !== origin ||
        // one without a target, which is the answer to any request
        isRedirect(response);
      if (isAnswer) return response;
      if (!response.redirected) break;
    } else if (!next || !isRedirect(response)) return response;
    response.body?.cancel().catch(() => {});
    target = new URL(next, target);
    // that of `data:` and its like
    if (target.origin === "null") break;
    if (target.origin !== origin) headers = only(headers, /^(accept|last-event-id)$/);
  }
  throw new Error("cannot follow a redirect");
}

function only(headers: Headers, names: RegExp): Headers {
  return new Headers([...headers].filter(([name]) => names.test(name)));
}

function isRedirect({ status }: Response): boolean {
  return status >= 300 && status < 400;
}

export function isDenied({ status }: Response): boolean {
  return status === 401 || status === 403;
}

export function isStream({ status, headers }: Response): boolean {
  const type = headers.get("content-type") ?? "";
  return status === 200 && /^\s*text\/event-stream\s*(;|$)/i.test(type);
}

/** Throws for a response whose body cannot be read as it arrives, as in React Native. */
export function checkReadable({ body }: Response): void {
  if (body?.getReader) return;
  const message = "this fetch gives no readable body; pass one that does as `fetch`, such as expo/fetch";
  throw new StreamError("unsupported", message);
}

function viaHeader(via: StreamConfig["lastEventIdVia"], target: URL, id: string): boolean {
  // fetch takes no header value outside Latin-1, and browsers disagree within it
  if (!/^[ -~]*$/.test(id) || via === "query") return false;
  const { location } = globalThis;
  return via === "header" || !location || location.origin === target.origin;
}
