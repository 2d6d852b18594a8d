import { useMutation } from "@tanstack/react-query";
import { addComment } from "./api.js";

/** Posts, and leaves it to the stream to show what was posted. */
export function CommentForm({ discussionId }: { discussionId: string }) {
  const post = useMutation({
    mutationFn: (form: FormData) =>
      addComment(discussionId, {
        author: String(form.get("author")),
        text: String(form.get("text")),
      }),
  });
  return (
    <form
      onSubmit={(submitted) => {
        submitted.preventDefault();
        const form = submitted.currentTarget;
        post.mutate(new FormData(form), { onSuccess: () => form.reset() });
      }}
    >
      <input name="author" aria-label="author" placeholder="Your name" required maxLength={40} />
      <input name="text" aria-label="text" placeholder="A comment" required maxLength={500} />
      <button disabled={post.isPending}>Post</button>
    </form>
  );
}
