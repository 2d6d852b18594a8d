import { useState } from "react";
import { useSSEConnection } from "fastapi-sse-channels/react";
import { eventsOf, type DiscussionEvent } from "./api.js";
import type { LiveProps } from "./Discussion.js";

/** Keeps what events say in a state of its own. */
export function Viewers({ discussionId, live }: LiveProps) {
  const [viewers, setViewers] = useState(0);
  const [drops, setDrops] = useState(0);
  const { connected, reconnecting, status } = useSSEConnection<DiscussionEvent>({
    endpoint: eventsOf(discussionId),
    onEvent(event) {
      if (event.type === "snapshot" || event.type === "viewers-changed") setViewers(event.viewers);
    },
    onConnectionChange(connected) {
      if (!connected) setDrops((count) => count + 1);
    },
    onError: (error) => console.warn(error.message),
    enabled: live,
  });
  let words = status.state === "closed" ? "ended" : "connecting…";
  if (!live) words = "paused";
  else if (connected) words = `${viewers} viewing`;
  else if (reconnecting) words = "reconnecting…";
  return (
    <span
      className="badge"
      role="status"
      aria-label="Viewers"
      data-connected={connected}
      data-drops={drops}
    >
      {words}
    </span>
  );
}
