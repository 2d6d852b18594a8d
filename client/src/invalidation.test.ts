import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { afterEach, describe, expect, it, vi } from "vitest";
import { until } from "../test/until.js";
import { createRounds, refresh } from "./invalidation.js";

/** A query whose answers are given by the test. */
function controlled(client: QueryClient, queryKey = ["comments"]) {
  const answers: ((data: unknown) => void)[] = [];
  const queryFn = vi.fn(() => new Promise<unknown>((resolve) => answers.push(resolve)));
  const observer = new QueryObserver(client, { queryKey, queryFn });
  return { queryKey, answers, queryFn, observer };
}

describe("refresh", () => {
  it("replaces a refetch that is under way", async () => {
    const client = new QueryClient();
    const { queryKey, answers, queryFn, observer } = controlled(client);
    client.setQueryData(queryKey, "old");
    observer.subscribe(() => {});
    await until(() => expect(queryFn).toHaveBeenCalledTimes(1));
    void refresh(client, [queryKey]);
    await until(() => expect(queryFn).toHaveBeenCalledTimes(2));
    answers[0]!("stale");
    answers[1]!("fresh");
    await until(() => expect(client.getQueryData(queryKey)).toBe("fresh"));
    observer.destroy();
  });

  it("lets a first fetch finish, for whoever awaits it, and fetches once more", async () => {
    const client = new QueryClient();
    const { queryKey, answers, queryFn, observer } = controlled(client);
    observer.subscribe(() => {});
    const loader = client.fetchQuery({ queryKey, queryFn });
    await until(() => expect(queryFn).toHaveBeenCalledTimes(1));
    void refresh(client, [queryKey]);
    void refresh(client, [queryKey]);
    answers[0]!("perhaps stale");
    await expect(loader).resolves.toBe("perhaps stale");
    await until(() => expect(queryFn).toHaveBeenCalledTimes(2));
    answers[1]!("fresh");
    await until(() => expect(client.getQueryData(queryKey)).toBe("fresh"));
    expect(queryFn).toHaveBeenCalledTimes(2);
    observer.destroy();
  });

  it("fetches once what several keys stand for", async () => {
    const client = new QueryClient();
    const queryKey = ["comments", "1"];
    const { answers, queryFn, observer } = controlled(client, queryKey);
    client.setQueryData(queryKey, "old");
    client.setQueryData(["votes"], "old");
    observer.subscribe(() => {});
    answers[0]!("newer");
    await until(() => expect(client.getQueryData(queryKey)).toBe("newer"));
    void refresh(client, [["comments"], queryKey]);
    await until(() => expect(queryFn).toHaveBeenCalledTimes(2));
    answers[1]!("fresh");
    await until(() => expect(client.getQueryData(queryKey)).toBe("fresh"));
    expect(queryFn).toHaveBeenCalledTimes(2);
    expect(client.getQueryState(["votes"])?.isInvalidated).toBe(false);
    observer.destroy();
  });

  it("marks what nobody looks at, so that the next look fetches", async () => {
    const client = new QueryClient();
    client.setQueryData(["comments", "1"], "old");
    await refresh(client, [["comments"]]);
    expect(client.getQueryState(["comments", "1"])?.isInvalidated).toBe(true);
  });
});

describe("rounds", () => {
  afterEach(() => void vi.useRealTimers());

  it("are at least the throttle apart", async () => {
    vi.useFakeTimers();
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, "invalidateQueries");
    const rounds = createRounds(client, () => 1000);
    rounds.add(["a"]);
    rounds.add(["a"]);
    await vi.advanceTimersByTimeAsync(0);
    expect(invalidate).toHaveBeenCalledTimes(1);
    rounds.add(["a"]);
    rounds.add(["b"]);
    await vi.advanceTimersByTimeAsync(999);
    expect(invalidate).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(invalidate).toHaveBeenCalledTimes(2);
  });

  it("leave nothing behind when flushed", async () => {
    const client = new QueryClient();
    const invalidate = vi.spyOn(client, "invalidateQueries");
    const rounds = createRounds(client, () => 60_000);
    rounds.add(["a"]);
    rounds.flush();
    rounds.add(["b"]);
    rounds.flush();
    await until(() => expect(invalidate).toHaveBeenCalledTimes(2));
  });
});
