import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import * as views from "./views.js";

const View = views[location.hash.slice(1) as keyof typeof views];
const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });
// for the test: which queries an event made stale
Object.assign(globalThis, { client });

createRoot(document.body).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <View discussionId="welcome" />
    </QueryClientProvider>
  </StrictMode>,
);
