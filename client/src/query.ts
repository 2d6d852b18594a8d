export { followQueries } from "./followQueries.js";
export type { FollowQueriesOptions, QueryOptions } from "./followQueries.js";
export type { QueryClient, QueryKey } from "./invalidation.js";
export { streamEvents } from "./streamEvents.js";
