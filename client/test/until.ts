import { vi } from "vitest";

/** Repeats an assertion until it holds. */
export function until(assertion: () => void): Promise<void> {
  return vi.waitFor(assertion, { interval: 5, timeout: 4000 });
}
