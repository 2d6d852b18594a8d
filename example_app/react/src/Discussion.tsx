import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listDiscussions } from "./api.js";
import { CommentForm } from "./CommentForm.js";
import { Comments } from "./Comments.js";
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
  const { data: titles } = useQuery({ queryKey: ["titles"], queryFn: listDiscussions });
  const title = titles && (titles[discussionId] ?? "There is no such discussion");
  return (
    <>
      <title>{title ? `${title} · Live discussions` : "Live discussions"}</title>
      <header>
        <nav aria-label="Discussions">
          {Object.entries(titles ?? {}).map(([id, title]) => (
            <a key={id} href={`?discussion=${id}`} aria-current={id === discussionId ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <div className="bar">
          <h1>{title ?? "\u00a0"}</h1>
          <Totals discussionId={discussionId} live={live} />
          <Viewers discussionId={discussionId} live={live} />
          <label className="badge live">
            <input type="checkbox" checked={live} onChange={() => setLive(!live)} /> live
          </label>
        </div>
      </header>
      <main>
        <CommentForm discussionId={discussionId} />
        <Comments discussionId={discussionId} live={live} />
      </main>
    </>
  );
}
