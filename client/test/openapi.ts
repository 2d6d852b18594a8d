/** The shape in which openapi-typescript writes the document of an application. */
export interface paths {
  "/discussions/{discussion_id}/events": {
    parameters: { query?: never; header?: never; path?: never; cookie?: never };
    get: {
      parameters: {
        query?: never;
        header?: never;
        path: { discussion_id: string };
        cookie?: never;
      };
      requestBody?: never;
      responses: {
        200: {
          headers: { [name: string]: unknown };
          content: { "text/event-stream": components["schemas"]["DiscussionEvent"] };
        };
        422: {
          headers: { [name: string]: unknown };
          content: { "application/json": { detail?: string } };
        };
      };
    };
    put?: never;
    post?: never;
  };
  "/discussions/{discussion_id}/comments": {
    get?: never;
    post: {
      parameters: { path: { discussion_id: string } };
      responses: { 201: { content: { "application/json": unknown } } };
    };
  };
  "/news": {
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      responses: {
        200: { content: { "text/event-stream": components["schemas"]["Headline"] } };
      };
    };
  };
  "/health": {
    get: {
      parameters: { query?: never; header?: never; path?: never; cookie?: never };
      responses: { 200: { content: { "application/json": unknown } } };
    };
  };
}

export interface components {
  schemas: {
    CommentAdded: { type: "comment-added"; comment_count: number };
    DiscussionClosed: { type: "discussion-closed" };
    DiscussionEvent:
      | components["schemas"]["CommentAdded"]
      | components["schemas"]["DiscussionClosed"];
    /** The discriminator is optional where the application does not require defaults. */
    Headline: { type?: "headline"; title: string } | { type?: "retraction"; of: number };
  };
}
