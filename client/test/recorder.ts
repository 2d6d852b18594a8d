import { onTestFinished } from "vitest";
import { connect } from "../src/connect.js";
import type { StreamError } from "../src/errors.js";
import type { Connection, ConnectOptions, EventMeta, Status } from "../src/types.js";

/** A connection with everything it has told. */
export interface Recorded {
  readonly connection: Connection<any>;
  readonly events: any[];
  readonly metas: EventMeta[];
  readonly statuses: Status[];
  readonly resets: string[];
  readonly errors: StreamError[];
  /** The statuses in short: `open`, `waiting:http`, `closed:ended`. */
  readonly course: string[];
}

/** Connects with a connection of its own, unless the options say otherwise, until the test ends. */
export function record(url: string, options: ConnectOptions<any> = {}): Recorded {
  const recorded = { events: [], metas: [], statuses: [], resets: [], errors: [] } as unknown as Recorded;
  const connection = connect<any>(url, {
    share: false,
    ...options,
    onEvent(event, meta) {
      recorded.events.push(event);
      recorded.metas.push(meta);
      options.onEvent?.(event, meta);
    },
    onStatus(status) {
      recorded.statuses.push(status);
      options.onStatus?.(status);
    },
    onReset(reason) {
      recorded.resets.push(reason);
      options.onReset?.(reason);
    },
    onError(error) {
      recorded.errors.push(error);
      options.onError?.(error);
    },
  });
  onTestFinished(() => connection.close());
  return {
    ...recorded,
    connection,
    get course() {
      return recorded.statuses.map((status) =>
        "reason" in status ? `${status.state}:${status.reason}` : status.state,
      );
    },
  };
}
