export { channel } from "./channel.js";
export type { ChannelOptions, EventOf, Handlers, PathOf, StreamPath } from "./channel.js";
export { connect } from "./connect.js";
export { StreamError } from "./errors.js";
export type { StreamErrorType } from "./errors.js";
export { createParser } from "./parser.js";
export type { Frame, Parser } from "./parser.js";
export type {
  AnyEvent,
  Callbacks,
  Clock,
  CloseReason,
  Connection,
  ConnectOptions,
  EventMeta,
  HeadersRequest,
  RequestOptions,
  ResetReason,
  Sharing,
  SharingOptions,
  Status,
  WaitReason,
} from "./types.js";
