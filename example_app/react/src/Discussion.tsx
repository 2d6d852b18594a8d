import { useState } from "react";
import { Comments } from "./Comments.js";
import { CommentForm } from "./CommentForm.js";
import { Totals } from "./Totals.js";
import { Viewers } from "./Viewers.js";

export interface LiveProps {
  readonly discussionId: string;
  /** Whether to follow the stream. */
  readonly live: boolean;
}

/** Three components listen; the page has one connection all the same. */
export function Discussion({ discussionId }: { discussionId: string }) {
  const [live, setLive] = useState(true);
  return (
    <main>
      <h1>{discussionId}</h1>
      <header>
        <Viewers discussionId={discussionId} live={live} />
        <Totals discussionId={discussionId} live={live} />
        <label>
          <input type="checkbox" checked={live} onChange={() => setLive(!live)} /> live
        </label>
      </header>
      <Comments discussionId={discussionId} live={live} />
      <CommentForm discussionId={discussionId} />
    </main>
  );
}
