/** What happens to a page, as far as a stream minds. */
export interface PageEvents {
  /** The network is back, or the page is looked at again (`online` tells which). */
  wake?(online: boolean): void;
  /** The page is put away: into the back/forward cache, or for good. */
  hide(): void;
  /** The page is back from the back/forward cache. */
  show(): void;
}

/**
 * Watches the page until the returned function is called. Does nothing where there is no page.
 *
 * `beforeunload` and `unload` are avoided on purpose: the first also fires when the page stays or
 * is restored later, the second keeps it out of the back/forward cache.
 */
export function watchPage(events: PageEvents): () => void {
  const watching = new AbortController();
  const { signal } = watching;
  const on = (target: EventTarget, type: string, listener: (event: Event) => void) =>
    target.addEventListener?.(type, listener, { signal });

  const page: EventTarget = globalThis;
  on(page, "online", () => events.wake?.(true));
  on(page, "pagehide", () => events.hide());
  on(page, "pageshow", (event) => {
    if ((event as PageTransitionEvent).persisted) events.show();
  });
  const { document } = globalThis;
  if (document) {
    on(document, "visibilitychange", () => {
      if (document.visibilityState === "visible") events.wake?.(false);
    });
  }
  return () => watching.abort();
}
