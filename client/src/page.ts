/** What happens to a page, as far as it matters to a stream. */
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
export function watchPage({ wake, hide, show }: PageEvents): () => void {
  const { document } = globalThis;
  const watched: [EventTarget | undefined, string, (event: Event) => void][] = [
    [globalThis, "online", () => wake?.(true)],
    [globalThis, "pagehide", hide],
    [globalThis, "pageshow", (event) => (event as PageTransitionEvent).persisted && show()],
    [document, "visibilitychange", () => document.visibilityState === "visible" && wake?.(false)],
  ];
  for (const [target, type, listener] of watched) target?.addEventListener?.(type, listener);
  // not by an AbortSignal: after a garbage collection Node's ends only the last listener of a target
  return () => {
    for (const [target, type, listener] of watched) target?.removeEventListener?.(type, listener);
  };
}
