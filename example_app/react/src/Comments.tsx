import { useMutation, useQuery } from "@tanstack/react-query";
import { useSSEQueryInvalidation } from "fastapi-sse-channels/react";
import { addVote, eventsOf, listComments, type Comment, type DiscussionEvent } from "./api.js";
import type { LiveProps } from "./Discussion.js";

/** Fetches again only after the events that matter, and takes votes from the event itself. */
export function Comments({ discussionId, live }: LiveProps) {
  const queryKey = ["comments", discussionId];
  const { data = [] } = useQuery({ queryKey, queryFn: () => listComments(discussionId) });
  const vote = useMutation({
    mutationFn: ({ id, direction }: { id: number; direction: "up" | "down" }) =>
      addVote(discussionId, id, { direction }),
  });

  useSSEQueryInvalidation<DiscussionEvent, Comment[]>({
    endpoint: eventsOf(discussionId),
    // The snapshot, too: a comment may have come between the first fetch and the stream.
    queryKeys: (event) => (event.type === "viewers-changed" ? [] : [queryKey]),
    resetKeys: [queryKey],
    updater: (comments, event) =>
      event.type === "votes-changed"
        ? comments.map((comment) =>
            comment.id === event.comment_id
              ? {
                  ...comment,
                  // both only grow: an event may be older than what was fetched
                  up: Math.max(comment.up, event.up),
                  down: Math.max(comment.down, event.down),
                }
              : comment,
          )
        : undefined,
    enabled: live,
  });

  return (
    <ul aria-label="comments">
      {data.map(({ id, author, text, up, down }) => (
        <li key={id}>
          <p>
            <b>{author}</b> {text}
          </p>
          <button aria-label="vote up" onClick={() => vote.mutate({ id, direction: "up" })}>
            ▲ {up}
          </button>
          <button aria-label="vote down" onClick={() => vote.mutate({ id, direction: "down" })}>
            ▼ {down}
          </button>
        </li>
      ))}
    </ul>
  );
}
