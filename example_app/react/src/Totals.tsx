import { useQuery } from "@tanstack/react-query";
import { useSSEQueryInvalidation } from "fastapi-sse-channels/react";
import { eventsOf, listComments } from "./api.js";
import type { LiveProps } from "./Discussion.js";

/** Fetches again after any event. */
export function Totals({ discussionId, live }: LiveProps) {
  const queryKey = ["discussion", "counts", discussionId];
  const { data } = useQuery({
    queryKey,
    queryFn: async () => {
      const comments = await listComments(discussionId);
      return { comments: comments.length, votes: comments.reduce((n, c) => n + c.up + c.down, 0) };
    },
  });
  useSSEQueryInvalidation({
    endpoint: eventsOf(discussionId),
    queryKeys: [queryKey],
    // many events a second are one request
    throttle: 200,
    enabled: live,
  });
  return (
    <span className="badge" role="status" aria-label="Totals">
      {data ? `${plural(data.comments, "comment")}, ${plural(data.votes, "vote")}` : "…"}
    </span>
  );
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
