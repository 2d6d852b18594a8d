import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { addComment } from "./api.js";
import { Avatar } from "./Avatar.js";
import { Problem } from "./Problem.js";

/** Does nothing to show what was posted: the stream does. */
export function CommentForm({ discussionId }: { discussionId: string }) {
  const [author, setAuthor] = useState("");
  const [text, setText] = useState("");
  const post = useMutation({
    mutationFn: () => addComment(discussionId, { author, text }),
    onSuccess: () => setText(""),
  });
  return (
    <form
      id="composer"
      autoComplete="off"
      onSubmit={(submitted) => {
        submitted.preventDefault();
        // not a disabled button, which would lose the focus
        if (!post.isPending) post.mutate();
      }}
    >
      <Avatar name={author} />
      <div className="fields">
        <input
          aria-label="Your name"
          placeholder="Your name"
          required
          maxLength={40}
          value={author}
          onChange={({ target }) => setAuthor(target.value)}
        />
        <textarea
          aria-label="Comment"
          placeholder="Say something to everyone who is looking…"
          rows={2}
          required
          maxLength={500}
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        <div className="actions">
          <Problem of={post} />
          <button type="submit">Post</button>
        </div>
      </div>
    </form>
  );
}
