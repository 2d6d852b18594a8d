// The three forms in which the hooks are written, each as a component of its own.
import { useQuery } from "@tanstack/react-query";
import { useSSEConnection, useSSEQueryInvalidation } from "fastapi-sse-channels/react";

interface Props {
  readonly discussionId: string;
}

const endpointOf = (discussionId: string) => `/discussions/${discussionId}/events`;

/** A list of keys: every event makes them stale. */
export function WithKeys({ discussionId }: Props) {
  useSSEQueryInvalidation({
    endpoint: endpointOf(discussionId),
    queryKeys: [
      ["infiniteComments", discussionId],
      ["discussion", "counts", discussionId],
    ],
  });
  return <Comments discussionId={discussionId} />;
}

/** A handler of one's own, and the state of the connection. */
export function WithHandler({ discussionId }: Props) {
  const { connected } = useSSEConnection({
    endpoint: endpointOf(discussionId),
    onEvent: (event) => {
      console.log("event", event.type);
    },
    onConnectionChange: (connected) => {
      console.log("SSE", connected ? "connected" : "disconnected");
    },
    onError: (error) => {
      console.log("error", error.type);
    },
  });
  return <div>Status: {connected ? "🟢" : "🔴"}</div>;
}

/** Keys that the event itself names. */
export function WithFunction({ discussionId }: Props) {
  useSSEQueryInvalidation({
    endpoint: endpointOf(discussionId),
    queryKeys: (event) => [
      ["infiniteComments", event.discussion_id],
      ["discussion", "counts", event.discussion_id],
    ],
    enabled: !!discussionId,
  });
  return (
    <>
      <Comments discussionId={discussionId} />
      <Comments discussionId="ideas" />
    </>
  );
}

/** Says what is known of a discussion, and how often each query was fetched. */
function Comments({ discussionId }: Props) {
  const fetchComments = async (): Promise<{ text: string }[]> =>
    (await fetch(`/discussions/${discussionId}/comments`)).json();
  const comments = useQuery({
    queryKey: ["infiniteComments", discussionId],
    queryFn: fetchComments,
  });
  const counts = useQuery({
    queryKey: ["discussion", "counts", discussionId],
    queryFn: async () => (await fetchComments()).length,
  });
  return (
    <p aria-label={discussionId}>
      {counts.data}: {comments.data?.map(({ text }) => text).join(", ")}
    </p>
  );
}
