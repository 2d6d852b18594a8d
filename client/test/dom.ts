import { Window } from "happy-dom";

/**
 * Gives Node the part of a page that React needs, and leaves it its own `fetch`, streams and
 * abort signals: the hooks are tested against real connections. Import it before React.
 */
const window = new Window({ url: "http://page.test/" });
for (const name of ["window", "document", "navigator", "HTMLElement", "HTMLIFrameElement", "Node"]) {
  Object.defineProperty(globalThis, name, {
    value: name === "window" ? window : Reflect.get(window, name),
    configurable: true,
    writable: true,
  });
}
