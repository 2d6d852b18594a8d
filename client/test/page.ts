import { vi } from "vitest";

export interface FakePage {
  online(): void;
  hide(): void;
  show(persisted: boolean): void;
  visibility(state: DocumentVisibilityState): void;
}

/** Gives the test's globals the events of a page, which Node does not have. */
export function createPage(): FakePage {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  vi.stubGlobal("removeEventListener", page.removeEventListener.bind(page));
  vi.stubGlobal("document", document);
  return {
    online: () => void page.dispatchEvent(new Event("online")),
    hide: () => void page.dispatchEvent(new Event("pagehide")),
    show: (persisted) =>
      void page.dispatchEvent(Object.assign(new Event("pageshow"), { persisted })),
    visibility(visibilityState) {
      Object.assign(document, { visibilityState });
      document.dispatchEvent(new Event("visibilitychange"));
    },
  };
}
