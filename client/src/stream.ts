import { backoff, LONGEST_TIMER, retryAfter } from "./backoff.js";
import { StreamError } from "./errors.js";
import { watchPage } from "./page.js";
import { createParser, type Frame } from "./parser.js";
import { checkReadable, isDenied, isStream, requestStream } from "./request.js";
import type {
  CloseReason,
  EventMeta,
  Listener,
  Status,
  Stream,
  StreamConfig,
  WaitReason,
} from "./types.js";

/** One that is read in this page. */
export interface OwnStream extends Stream {
  /** The network is back (`online`), or somebody looks: comes back at once where it has to. */
  wake(online: boolean): void;
}

/** Until the server says otherwise; spread, as a server would. Milliseconds. */
const DEFAULT_RETRY = 2000;

/** Three pings of the default interval of 15 s; until a stream is open it sends none. Milliseconds. */
const DEFAULT_STALL = 45_000;

const RETRYABLE = new Set([408, 425, 429]);

/** Opens a stream; the listener is never called before this returns. */
export function openStream(config: StreamConfig, listener: Listener): OwnStream {
  const { clock, random } = config;
  let status: Status = { state: "connecting", again: false };
  let lastEventId = config.lastEventId;
  let retry = DEFAULT_RETRY * (1 + random() / 2);
  let stall = DEFAULT_STALL;
  let failures = 0;
  let lastByte = 0;
  let notBefore = 0;
  let wasOpen = config.continues ?? false;
  // a stream began anew, and nothing has followed: there is nothing yet that a new one could miss,
  // for it brings the initial event that this one still owed
  let awaitsInitial = false;
  // the attempt in charge; whatever an earlier one still brings is ignored
  let attempt: AbortController | undefined;
  let timer: unknown;
  let unwatch: (() => void) | undefined;
  // facts of the current attempt
  let sentId = "";
  let resumable = false;
  let resetOwed = false;
  let resetTold = false;

  const settle = (next: Status, error?: StreamError) => {
    status = next;
    if (error) listener.error(error);
    // the callback may have closed or restarted the stream
    if (status === next) listener.status(next);
  };

  const drop = () => {
    clock.clearTimeout(timer);
    attempt?.abort();
  };

  const start = () => {
    drop();
    attempt = new AbortController();
    unwatch ??= watchPage({ wake, hide, show });
    sentId = lastEventId;
    resumable = !awaitsInitial && (wasOpen || sentId !== "");
    resetTold = false;
    stall = DEFAULT_STALL;
    lastByte = clock.now();
    watchForStall();
    void run(attempt.signal);
    if (status.state !== "connecting") settle({ state: "connecting", again: true });
  };

  const pause = (reason: WaitReason, error?: StreamError, atLeast = 0) => {
    drop();
    // a Retry-After is the same for everyone, so it is spread too, but only upwards
    const spread = atLeast * (1 + random() / 2);
    const delay = Math.max(backoff(retry, failures++, random), spread);
    notBefore = clock.now() + atLeast;
    timer = clock.setTimeout(start, delay);
    settle({ state: "waiting", delay, reason }, error);
  };

  const close = (reason: CloseReason, error?: StreamError) => {
    drop();
    unwatch?.();
    unwatch = undefined;
    settle({ state: "closed", reason }, error);
  };

  const watchForStall = () => {
    clock.clearTimeout(timer);
    const left = lastByte + stall - clock.now();
    if (left > 0) {
      timer = clock.setTimeout(watchForStall, Math.min(left, LONGEST_TIMER));
    } else {
      const seconds = Math.round(stall / 1000);
      pause("stall", new StreamError("stall", `nothing was received for ${seconds} s`));
    }
  };

  const run = async (signal: AbortSignal) => {
    try {
      let response = await requestStream(config, sentId, signal);
      if (!signal.aborted && isDenied(response) && typeof config.headers === "function") {
        response.body?.cancel().catch(() => {});
        response = await requestStream(config, sentId, signal, true);
      }
      if (signal.aborted) return;
      if (!isStream(response)) return refuse(response);
      checkReadable(response);
      await read(response, signal);
      if (!signal.aborted) pause("end");
    } catch (cause) {
      if (signal.aborted) return;
      if (cause instanceof StreamError) close("unsupported", cause);
      else pause("network", new StreamError("network", `${config.url} failed: ${cause}`, { cause }));
    }
  };

  const refuse = (response: Response) => {
    const { status: httpStatus, headers } = response;
    if (httpStatus === 204) return close("ended");
    if (httpStatus === 200) {
      const type = headers.get("content-type") ?? "no content type";
      const message = `${config.url} answered with ${type}, which is no event stream`;
      return close("content-type", new StreamError("content-type", message));
    }
    const error = new StreamError("http", `${config.url} answered ${httpStatus}`, { httpStatus });
    if (RETRYABLE.has(httpStatus) || httpStatus >= 500) {
      pause("http", error, retryAfter(headers.get("retry-after"), clock.now()));
    } else {
      close(isDenied(response) ? "unauthorized" : "refused", error);
    }
  };

  const read = async (response: Response, signal: AbortSignal) => {
    const reader = response.body!.getReader();
    const parser = createParser(lastEventId, config.maxEventBytes);
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      lastByte = clock.now();
      for (const frame of parser.push(value)) {
        receive(frame);
        // a callback may have closed or restarted the stream
        if (signal.aborted) return;
      }
      tellReset();
    }
  };

  const receive = (frame: Frame) => {
    if (frame.type === "retry") {
      retry = frame.retry;
      return;
    }
    if (frame.type !== "comment") lastEventId = frame.id;
    if (frame.type === "event" && frame.event.startsWith("stream-")) {
      control(frame.event, frame.data);
      return;
    }
    // without a word of the server, an id that was sent is taken as honoured
    if (status.state !== "open") opened(sentId !== "");
    if (frame.type === "oversize") skip();
    else tellReset();
    resetTold = awaitsInitial = false;
    if (frame.type === "event") deliver(frame.data, { id: frame.id, name: frame.event });
  };

  const deliver = (data: string, meta: EventMeta) => {
    failures = 0;
    const event = parse(data);
    if (event !== undefined) listener.event(event, meta);
  };

  const skip = () => {
    resetOwed = false;
    listener.error(new StreamError("too-large", `an event exceeds maxEventBytes, ${config.maxEventBytes}`));
    listener.reset("too-large");
  };

  const control = (name: string, data: string) => {
    const content = readControl(data);
    if (name === "stream-open") {
      failures = 0;
      const { ping_interval: ping } = content;
      // pings may be switched off, and then silence proves nothing
      if (ping === null) stall = Infinity;
      else if (ping && ping > 0) stall = ping * 3000;
      watchForStall();
      awaitsInitial = content.resumed !== true;
      opened(!awaitsInitial);
    } else if (name === "stream-reset") {
      if (status.state !== "open") opened(false);
      awaitsInitial = true;
      if (!resetTold) listener.reset(content.reason ?? "unresumed");
      resetOwed = resetTold = false;
    } else if (name === "stream-close") {
      tellReset();
      if (content.reconnect === false) close(content.reason ?? "ended");
      else pause("close");
    }
  };

  const opened = (resumed: boolean) => {
    wasOpen = true;
    // owed, not yet told: a `stream-reset` with the reason may be the next frame
    if (resumable && !resumed) resetOwed = true;
    if (status.state !== "open" || status.resumed !== resumed) settle({ state: "open", resumed });
  };

  const tellReset = () => {
    if (!resetOwed) return;
    resetOwed = false;
    resetTold = true;
    listener.reset("unresumed");
  };

  const parse = (data: string): unknown => {
    try {
      return JSON.parse(data);
    } catch (cause) {
      listener.error(new StreamError("json", `an event is not JSON: ${cause}`, { cause, data }));
      return undefined;
    }
  };

  const wake = (online: boolean) => {
    const now = clock.now();
    if (status.state === "waiting") {
      // a page on its way back is looked at first and shown then; once is enough
      if (status.reason !== "hidden" && now >= notBefore) start();
    } else if (online || now - lastByte > stall / 2) {
      // sockets rarely survive a change of network, or the sleep of a tab that missed a ping
      start();
    }
  };

  const hide = () => {
    drop();
    settle({ state: "waiting", delay: Infinity, reason: "hidden" });
  };

  const show = () => start();

  start();

  return {
    get status() {
      return status;
    },
    get lastEventId() {
      return lastEventId;
    },
    reconnect: start,
    wake,
    close() {
      if (status.state !== "closed") close("caller");
    },
  };
}

interface Control {
  readonly resumed?: boolean;
  readonly ping_interval?: number | null;
  readonly reason?: string;
  readonly reconnect?: boolean;
}

/** What a control frame says; one of a later protocol may hold anything. */
function readControl(data: string): Control {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return {};
  }
}
