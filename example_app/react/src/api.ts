import type { EventOf } from "fastapi-sse-channels";
import type { components, paths } from "./openapi.js";

export type DiscussionEvent = EventOf<paths, "/discussions/{discussion_id}/events">;
export type Comment = components["schemas"]["CommentView"];
type NewComment = components["schemas"]["NewComment"];
type NewVote = components["schemas"]["NewVote"];

const discussion = (id: string) => `/discussions/${encodeURIComponent(id)}`;

export const eventsOf = (id: string) => `${discussion(id)}/events`;

export const listDiscussions = () => request<Record<string, string>>("/discussions");

export const listComments = (id: string) => request<Comment[]>(`${discussion(id)}/comments`);

export const addComment = (id: string, comment: NewComment) =>
  request<Comment>(`${discussion(id)}/comments`, comment);

export const addVote = (id: string, commentId: number, vote: NewVote) =>
  request<unknown>(`${discussion(id)}/comments/${commentId}/votes`, vote);

async function request<T>(path: string, body?: object): Promise<T> {
  const sent = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, sent);
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return response.json() as Promise<T>;
}
