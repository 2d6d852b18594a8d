import { useMutation } from "@tanstack/react-query";
import { addVote, type Comment } from "./api.js";
import { Avatar } from "./Avatar.js";
import { Problem } from "./Problem.js";

export function CommentItem({ discussionId, comment }: { discussionId: string; comment: Comment }) {
  const { id, author, text, posted_at, up, down } = comment;
  const vote = useMutation({
    mutationFn: (direction: "up" | "down") => addVote(discussionId, id, { direction }),
  });
  const posted = new Date(posted_at * 1000);
  return (
    <li className="comment new">
      <Avatar name={author} />
      <div className="body">
        <p className="byline">
          <strong className="author">{author}</strong>{" "}
          <time dateTime={posted.toISOString()} title={posted.toLocaleString()}>
            {posted.toLocaleTimeString([], { timeStyle: "short" })}
          </time>
        </p>
        <p className="text">{text}</p>
        <div className="votes">
          <VoteButton direction="up" sign="▲" count={up} onClick={() => vote.mutate("up")} />
          <VoteButton direction="down" sign="▼" count={down} onClick={() => vote.mutate("down")} />
        </div>
        <Problem of={vote} />
      </div>
    </li>
  );
}

interface VoteButtonProps {
  readonly direction: "up" | "down";
  readonly sign: string;
  readonly count: number;
  readonly onClick: () => void;
}

function VoteButton({ direction, sign, count, onClick }: VoteButtonProps) {
  return (
    <button
      type="button"
      className="vote"
      data-direction={direction}
      aria-label={`Vote ${direction}, ${count} so far`}
      onClick={onClick}
    >
      <span>{sign}</span> <span className="count">{count}</span>
    </button>
  );
}
