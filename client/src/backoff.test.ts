import { describe, expect, it } from "vitest";
import { backoff, LONGEST_TIMER, retryAfter } from "./backoff.js";

const least = () => 0;
const most = () => 1;

describe("backoff", () => {
  it("doubles with each failure, up to 30 s", () => {
    const delays = [0, 1, 2, 3, 4, 5, 50, 5000].map((failures) => backoff(1000, failures, most));
    expect(delays).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  it("is exactly what the server asked for, at first", () => {
    expect([backoff(1000, 0, least), backoff(1000, 0, most)]).toEqual([1000, 1000]);
  });

  it("is spread over the upper half of what has grown, and never less than was asked for", () => {
    expect(backoff(1000, 1, least)).toBe(1000);
    expect(backoff(1000, 2, () => 0.5)).toBe(3000);
    expect(backoff(40_000, 2, least)).toBe(40_000);
  });

  it("grants a server that asks for more than 30 s", () => {
    expect(backoff(60_000, 3, most)).toBe(60_000);
  });

  it("refuses to be a busy loop", () => {
    expect(backoff(0, 0, least)).toBe(100);
  });

  it("never overflows a timer", () => {
    expect(backoff(Infinity, 10, most)).toBe(LONGEST_TIMER);
  });
});

describe("retryAfter", () => {
  const now = Date.parse("2026-01-01T00:00:00Z");

  it.each([
    ["7", 7000],
    [" 7 ", 7000],
    ["Thu, 01 Jan 2026 00:00:30 GMT", 30_000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
    ["soon", 0],
    ["-5", 0],
    ["", 0],
    [null, 0],
    ["99999999999999", LONGEST_TIMER / 2],
  ])("reads %j as %d ms", (header, delay) => {
    expect(retryAfter(header, now)).toBe(delay);
  });
});
