import type { Clock } from "../src/types.js";

export interface ManualClock extends Clock {
  /** Moves time on, and fires what is due in its order. */
  advance(milliseconds: number): void;
  /** How often the time was asked for: once for each chunk of a stream, for one. */
  readonly reads: number;
}

/** A clock that stands still until it is moved. */
export function createClock(start = 1_000_000): ManualClock {
  let now = start;
  let count = 0;
  let reads = 0;
  const timers = new Map<number, { at: number; callback: () => void }>();
  return {
    now() {
      reads++;
      return now;
    },
    get reads() {
      return reads;
    },
    setTimeout(callback, delay) {
      timers.set(++count, { at: now + delay, callback });
      return count;
    },
    clearTimeout: (timer) => void timers.delete(timer as number),
    advance(milliseconds) {
      const end = now + milliseconds;
      for (;;) {
        const [next] = [...timers].filter(([, { at }]) => at <= end).sort((a, b) => a[1].at - b[1].at);
        if (!next) break;
        timers.delete(next[0]);
        now = Math.max(now, next[1].at);
        next[1].callback();
      }
      now = end;
    },
  };
}
