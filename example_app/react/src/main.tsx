import "../../static/style.css";
import "./react.css";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Discussion } from "./Discussion.js";

const discussionId = new URLSearchParams(location.search).get("discussion") ?? "welcome";
// the stream says when data is stale, so nothing has to be fetched again on a guess
const client = new QueryClient({ defaultOptions: { queries: { staleTime: Infinity } } });

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <Discussion discussionId={discussionId} />
    </QueryClientProvider>
  </StrictMode>,
);
