import { render } from "../test/react.js";
import { renderToString } from "react-dom/server";
import { describe, expect, it, vi } from "vitest";
import { close, event, open, serve, status, stream, streamAndEnd } from "../test/server.js";
import { until } from "../test/until.js";
import { useSSEConnection, type SSEConnection, type UseSSEConnectionOptions } from "./useSSEConnection.js";

const connection = (options: UseSSEConnectionOptions<any>) => useSSEConnection<any>(options);

describe("useSSEConnection", () => {
  it("connects once under StrictMode, and leaves when unmounted", async () => {
    const server = await serve(stream(open(), event("c1", { type: "a" })));
    const events: unknown[] = [];
    const changes: boolean[] = [];
    const { result, unmount } = render(connection, {
      endpoint: server.origin,
      onEvent: (event) => events.push(event),
      onConnectionChange: (connected) => changes.push(connected),
    });
    expect(result.current).toMatchObject({ connected: false, status: { state: "connecting" } });
    await until(() => expect(events).toEqual([{ type: "a" }]));
    await until(() => expect(result.current.connected).toBe(true));
    expect(result.current.status).toEqual({ state: "open", resumed: false });
    expect(server.visits).toHaveLength(1);

    unmount();
    await until(() => expect(server.open).toBe(0));
    expect(changes).toEqual([true, false]);
  });

  it("calls the functions of the latest render", async () => {
    const server = await serve(stream(open()));
    const seen: string[] = [];
    const props = (name: string) => ({
      endpoint: server.origin,
      onEvent: () => void seen.push(name),
    });
    const { result, rerender } = render(connection, props("first"));
    await until(() => expect(result.current.connected).toBe(true));
    rerender(props("second"));
    server.last.response.write(event("c1", 1));
    await until(() => expect(seen).toEqual(["second"]));
    expect(server.visits).toHaveLength(1);
  });

  it("follows its endpoint", async () => {
    const one = await serve(stream(open(), event("c1", 1)));
    const two = await serve(stream(open(), event("c1", 2)));
    const events: unknown[] = [];
    const onEvent = (event: unknown) => events.push(event);
    const { rerender } = render(connection, { endpoint: one.origin, onEvent });
    await until(() => expect(events).toEqual([1]));
    rerender({ endpoint: two.origin, onEvent });
    await until(() => expect(events).toEqual([1, 2]));
    await until(() => expect(one.open).toBe(0));
  });

  it("connects only while enabled", async () => {
    const server = await serve(stream(open()));
    const { result, rerender } = render(connection, { endpoint: server.origin, enabled: false });
    expect(result.current.status).toEqual({ state: "closed", reason: "caller" });
    expect(server.visits).toEqual([]);
    rerender({ endpoint: server.origin, enabled: true });
    await until(() => expect(result.current.connected).toBe(true));
    rerender({ endpoint: server.origin, enabled: false });
    await until(() => expect(result.current.connected).toBe(false));
    await until(() => expect(server.open).toBe(0));
  });

  it("shares one connection among components, tells each where it stands", async () => {
    const server = await serve(stream(open()));
    const one = render(connection, { endpoint: server.origin });
    await until(() => expect(one.result.current.connected).toBe(true));
    const two = render(connection, { endpoint: server.origin });
    await until(() => expect(two.result.current.connected).toBe(true));
    one.unmount();
    expect(two.result.current.connected).toBe(true);
    expect(server.visits).toHaveLength(1);
  });

  it("tells a stream that is lost from one that is not open yet", async () => {
    const server = await serve(streamAndEnd(open()), status(503), stream(open()));
    const told: boolean[] = [];
    const { result } = render((options: UseSSEConnectionOptions<any>) => {
      const { reconnecting, connected } = useSSEConnection<any>(options);
      if (!connected && told.at(-1) !== reconnecting) told.push(reconnecting);
      return { reconnecting, connected };
    }, { endpoint: server.origin });
    expect(result.current).toEqual({ reconnecting: false, connected: false });
    await until(() => expect(server.visits).toHaveLength(3));
    await until(() => expect(result.current).toEqual({ reconnecting: false, connected: true }));
    expect(told).toEqual([false, true]);
  });

  it("tells so a component that joins a lost stream", async () => {
    const server = await serve(status(503), () => {});
    const one = render(connection, { endpoint: server.origin });
    await until(() => expect(one.result.current.status).toMatchObject({ state: "waiting" }));
    one.result.current.reconnect();
    await until(() => expect(server.visits).toHaveLength(2));
    const two = render(connection, { endpoint: server.origin });
    await until(() => expect(two.result.current.reconnecting).toBe(true));
    expect(two.result.current.status).toEqual({ state: "connecting", again: true });
  });

  it("sends the token of the latest render", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true })));
    const props = (token: string) => ({
      endpoint: server.origin,
      headers: () => ({ Authorization: token }),
    });
    const { result, rerender } = render(connection, props("old"));
    await until(() => expect(result.current.connected).toBe(true));
    rerender(props("new"));
    result.current.reconnect();
    await until(() => expect(server.visits).toHaveLength(2));
    expect(server.visits.map(({ headers }) => headers.authorization)).toEqual(["old", "new"]);
  });

  it("tells headers why they are asked", async () => {
    const server = await serve(status(401), stream(open()));
    const { result } = render(connection, {
      endpoint: server.origin,
      headers: ({ rejected }) => ({ Authorization: rejected ? "new" : "cached" }),
    });
    await until(() => expect(result.current.connected).toBe(true));
    expect(server.visits.map(({ headers }) => headers.authorization)).toEqual(["cached", "new"]);
  });

  it("sends the token of a component that is still mounted", async () => {
    const server = await serve(stream(open()), stream(open({ resumed: true })));
    const props = (token: string) => ({
      endpoint: server.origin,
      headers: () => ({ Authorization: token }),
      user: "ada",
    });
    const one = render(connection, props("old"));
    const two = render(connection, props("old"));
    await until(() => expect(two.result.current.connected).toBe(true));
    one.unmount();
    two.rerender(props("new"));
    two.result.current.reconnect();
    await until(() => expect(server.visits).toHaveLength(2));
    expect(server.visits.map(({ headers }) => headers.authorization)).toEqual(["old", "new"]);
  });

  it("connects anew without the function that it had", async () => {
    const server = await serve(stream(open()));
    const headers = () => ({ Authorization: "token" });
    const { result, rerender } = render<SSEConnection, UseSSEConnectionOptions<any>>(connection, {
      endpoint: server.origin,
      headers,
    });
    await until(() => expect(result.current.connected).toBe(true));
    rerender({ endpoint: server.origin });
    await until(() => expect(server.visits).toHaveLength(2));
    expect(server.last.headers.authorization).toBeUndefined();
  });

  it.each([undefined, "ada"])("connects anew with other headers, for user %s", async (user) => {
    const server = await serve(stream(open(), event("c1", 1)));
    const headers = (tenant: string) => ({ "X-Tenant": tenant });
    const props = (tenant: string) => ({ endpoint: server.origin, headers: headers(tenant), user });
    const { result, rerender } = render(connection, props("1"));
    await until(() => expect(result.current.connected).toBe(true));
    rerender(props("1"));
    rerender(props("2"));
    await until(() => expect(server.visits).toHaveLength(2));
    await until(() => expect(server.open).toBe(1));
    expect(server.visits.map(({ headers }) => headers["x-tenant"])).toEqual(["1", "2"]);
  });

  it("tells of resets and errors", async () => {
    const server = await serve(
      streamAndEnd(open(), event("c1", 1)),
      status(503),
      stream(open(), close("ended", false)),
    );
    const onReset = vi.fn();
    const onError = vi.fn();
    const { result } = render(connection, { endpoint: server.origin, onReset, onError });
    await until(() => expect(result.current.status).toEqual({ state: "closed", reason: "ended" }));
    expect(onReset.mock.calls).toEqual([["unresumed"]]);
    expect(onError.mock.calls).toMatchObject([[{ type: "http", httpStatus: 503 }]]);
  });

  it("does nothing on the server", async () => {
    const server = await serve(stream(open()));
    const Page = () => <p>{connection({ endpoint: server.origin }).status.state}</p>;
    expect(renderToString(<Page />)).toBe("<p>connecting</p>");
    // a relative URL has no meaning there, and is no error
    const Relative = () => <p>{String(connection({ endpoint: "/events" }).reconnecting)}</p>;
    expect(renderToString(<Relative />)).toBe("<p>false</p>");
    expect(server.visits).toEqual([]);
  });
});
