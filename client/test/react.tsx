import "./dom.js";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, configure, renderHook, type RenderHookResult } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach } from "vitest";

configure({ reactStrictMode: true });
afterEach(cleanup);

/** Renders a hook under StrictMode, with a query client that may be prepared. */
export function render<TResult, TProps>(
  hook: (props: TProps) => TResult,
  initialProps: TProps,
  prepare: (client: QueryClient) => void = () => {},
): RenderHookResult<TResult, TProps> & { readonly client: QueryClient } {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  prepare(client);
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  return { ...renderHook(hook, { initialProps, wrapper }), client };
}

/** Waits without React's `act`: updates come from the network, at their own time. */
Reflect.set(globalThis, "IS_REACT_ACT_ENVIRONMENT", false);
