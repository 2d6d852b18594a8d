import { useQuery } from "@tanstack/react-query";
import { useSSEQueryInvalidation } from "fastapi-sse-channels/react";
import { eventsOf, listComments, type Comment, type DiscussionEvent } from "./api.js";
import { CommentItem } from "./CommentItem.js";
import type { LiveProps } from "./Discussion.js";

/** Fetches again only after the events that matter, and takes votes from the event itself. */
export function Comments({ discussionId, live }: LiveProps) {
  const queryKey = ["comments", discussionId];
  const { data } = useQuery({ queryKey, queryFn: () => listComments(discussionId) });

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
    <>
      {/* there from the start, or the first comment would not be read out */}
      <ol id="comments" aria-label="Comments" aria-live="polite" aria-relevant="additions">
        {data?.toReversed().map((comment) => (
          <CommentItem key={comment.id} discussionId={discussionId} comment={comment} />
        ))}
      </ol>
      {data?.length === 0 && <p id="empty">Nobody has said anything yet.</p>}
    </>
  );
}
