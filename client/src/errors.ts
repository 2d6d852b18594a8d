/**
 * What went wrong:
 * - `network`: the request or the body failed, or `headers()` did;
 * - `http`: the server answered with an error (`httpStatus` says which);
 * - `content-type`: a 200 that is no event stream;
 * - `unsupported`: a `fetch` whose responses cannot be read as they arrive;
 * - `stall`: an open socket from which nothing came for too long;
 * - `json`: an event whose data is not JSON (`data` holds it);
 * - `too-large`: an event above `maxEventBytes`, which was skipped;
 * - `reset`: events may be missing (`reason` says why); thrown by loops only;
 * - `overflow`: a `for await` loop fell too far behind.
 */
export type StreamErrorType =
  | "network"
  | "http"
  | "content-type"
  | "unsupported"
  | "stall"
  | "json"
  | "too-large"
  | "reset"
  | "overflow";

export interface StreamErrorDetails {
  readonly cause?: unknown;
  readonly httpStatus?: number;
  readonly data?: string;
  readonly reason?: string;
}

/**
 * The one error of this package; `type` tells the cases apart. Its message shows URLs without the
 * parts that may be secret: user, query and fragment.
 */
export class StreamError extends Error {
  override readonly name = "StreamError";
  readonly type: StreamErrorType;
  /** The HTTP status, for `http`. */
  readonly httpStatus: number | undefined;
  /** The event's data as it was received, for `json`. */
  readonly data: string | undefined;
  /** The `ResetReason`, for `reset`. */
  readonly reason: string | undefined;

  constructor(type: StreamErrorType, message: string, details: StreamErrorDetails = {}) {
    super(message.replace(/(:\/\/)(?:[^\s/?#]*@)?([^\s?#]*)\S*/g, "$1$2"), details);
    this.type = type;
    this.httpStatus = details.httpStatus;
    this.data = details.data;
    this.reason = details.reason;
  }
}
