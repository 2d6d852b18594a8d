import { vi } from "vitest";

type Job = () => unknown;

/** Gives the test's globals exclusive Web Locks, which Node has only from version 24 on. */
export function createLocks(): void {
  const queues = new Map<string, Job[]>();

  const run = async (name: string) => {
    const queue = queues.get(name)!;
    while (queue[0]) {
      await queue[0]();
      queue.shift();
    }
    queues.delete(name);
  };

  const request = (name: string, { signal }: { signal: AbortSignal }, callback: Job) =>
    new Promise((resolve, reject) => {
      let granted = false;
      const job = async () => {
        if (signal.aborted) return;
        granted = true;
        resolve(await callback());
      };
      signal.addEventListener("abort", () => granted || reject(signal.reason));
      const queue = queues.get(name);
      if (queue) queue.push(job);
      else {
        queues.set(name, [job]);
        queueMicrotask(() => void run(name));
      }
    });

  vi.stubGlobal("navigator", { locks: { request } });
}
