import { connect } from "./connect.js";
import type { AnyEvent, Connection, ConnectOptions, EventMeta } from "./types.js";

type Operation<TEvent> = {
  get: { responses: { 200: { content: { "text/event-stream": TEvent } } } };
};

/** The events of a stream path, out of the `paths` that openapi-typescript writes. */
export type EventOf<TPaths, TPath extends keyof TPaths> =
  TPaths[TPath] extends Operation<infer TEvent> ? TEvent : never;

/** The paths whose GET is an event stream. */
export type StreamPath<TPaths> = {
  [TPath in keyof TPaths]: TPaths[TPath] extends Operation<unknown> ? TPath : never;
}[keyof TPaths] &
  string;

/** The path parameters, required where the path has any. */
export type PathOf<TPaths, TPath extends keyof TPaths> = TPaths[TPath] extends {
  get: { parameters: { path: infer TParams } };
}
  ? { readonly path: TParams }
  : { readonly path?: undefined };

/** One function for each event, by its discriminator `type`; all are optional. */
export type Handlers<TEvent> = {
  readonly [TName in NameOf<TEvent>]?:
    | ((event: Extract<TEvent, { type?: TName | undefined }>, meta: EventMeta) => void)
    | undefined;
};

type NameOf<TEvent> = TEvent extends { type?: infer TName } ? Extract<TName, string> : never;

/** Options of a typed channel: those of `connect`, its path parameters, and its handlers. */
export type ChannelOptions<TPaths, TPath extends keyof TPaths> = ConnectOptions<
  EventOf<TPaths, TPath>
> &
  PathOf<TPaths, TPath> & {
    /** Added before the path. Default `""`: the page's own origin. */
    readonly baseUrl?: string | undefined;
    /** Called beside `onEvent`, each for the events of its name. */
    readonly on?: Handlers<EventOf<TPaths, TPath>> | undefined;
  };

/** Options may be left out where the path has no parameters. */
type Rest<TPaths, TPath extends keyof TPaths> =
  PathOf<TPaths, TPath> extends { path: unknown }
    ? [options: ChannelOptions<TPaths, TPath>]
    : [options?: ChannelOptions<TPaths, TPath>];

/**
 * Binds `connect` to an OpenAPI document: `channel<paths>()(path, options)` knows the events, the
 * parameters and the paths that exist. Called twice because TypeScript infers all type arguments
 * of a call or none.
 */
export function channel<TPaths>() {
  return <TPath extends StreamPath<TPaths>>(
    path: TPath,
    ...[options]: Rest<TPaths, TPath>
  ): Connection<EventOf<TPaths, TPath>> => {
    type Loose = ConnectOptions<AnyEvent> & {
      path?: Record<string, unknown>;
      baseUrl?: string;
      on?: Record<string, ((event: AnyEvent, meta: EventMeta) => void) | undefined>;
    };
    const { path: params = {}, baseUrl = "", on = {}, ...rest } = (options ?? {}) as unknown as Loose;
    return connect<AnyEvent>(baseUrl + expand(path, params), {
      ...rest,
      onEvent(event, meta) {
        if (event && Object.hasOwn(on, event.type)) on[event.type]?.(event, meta);
        rest.onEvent?.(event, meta);
      },
    }) as unknown as Connection<EventOf<TPaths, TPath>>;
  };
}

function expand(path: string, params: Record<string, unknown>): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
}
