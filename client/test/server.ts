import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

/** One request, as the server saw it. */
export interface Visit {
  readonly url: URL;
  readonly headers: IncomingMessage["headers"];
  readonly response: ServerResponse;
}

export type Answer = (visit: Visit) => void;

export interface ScriptedServer {
  /** Where it listens, with no path. */
  readonly origin: string;
  readonly visits: readonly Visit[];
  /** How many answers are still open. */
  readonly open: number;
  /** The latest request. */
  readonly last: Visit;
}

/**
 * Starts a real server that gives its answers in turn, the last one again and again. It ends with
 * the test.
 */
export async function serve(...answers: [Answer, ...Answer[]]): Promise<ScriptedServer> {
  const visits: Visit[] = [];
  let open = 0;
  const server = createServer(({ url, headers }, response) => {
    const visit = { url: new URL(url!, "http://server.test"), headers, response };
    open++;
    response.on("close", () => open--);
    const answer = answers[Math.min(visits.push(visit), answers.length) - 1]!;
    response.setHeader("Access-Control-Allow-Origin", "*");
    answer(visit);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    visits,
    get open() {
      return open;
    },
    get last() {
      return visits.at(-1)!;
    },
  };
}

/** Answers with an event stream, writes the chunks and leaves it open. */
export function stream(...chunks: (string | Uint8Array)[]): Answer {
  return ({ response }) => {
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    response.flushHeaders();
    for (const chunk of chunks) response.write(chunk);
  };
}

/** Like `stream`, but ends the answer. */
export function streamAndEnd(...chunks: string[]): Answer {
  return (visit) => {
    stream(...chunks)(visit);
    visit.response.end();
  };
}

/** Like `stream`, but cuts the connection in the middle of the body. */
export function streamAndDrop(...chunks: string[]): Answer {
  return (visit) => {
    stream(...chunks)(visit);
    // after the chunks have left
    visit.response.write("\n", () => visit.response.destroy());
  };
}

/** Answers with a status, and a body that looks like a stream. */
export function status(code: number, headers: Record<string, string> = {}): Answer {
  return ({ response }) => {
    response.writeHead(code, { "Content-Type": "text/event-stream", ...headers });
    response.end(code === 204 ? undefined : `data: "from a ${code}"\n\n`);
  };
}

/** Answers 200 with another content type, and ends. */
export function typed(type: string, ...chunks: string[]): Answer {
  return ({ response }) => {
    response.writeHead(200, { "Content-Type": type });
    response.end(chunks.join(""));
  };
}

/** Sends the client elsewhere on the same server. */
export function redirect(location: string): Answer {
  return ({ response }) => void response.writeHead(302, { Location: location }).end();
}

/** The frame that begins each stream. */
export function open({ id = "c0", resumed = false, retry = 100, ping = 15 as number | null } = {}) {
  const data = JSON.stringify({ protocol: 1, resumed, ping_interval: ping });
  return `event: stream-open\nid: ${id}\nretry: ${retry}\ndata: ${data}\n\n`;
}

/** A domain event. */
export function event(id: string, data: unknown): string {
  return `id: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

export function reset(id: string, reason: string): string {
  return `event: stream-reset\nid: ${id}\ndata: ${JSON.stringify({ reason })}\n\n`;
}

export function close(reason: string, reconnect: boolean, retry = 100): string {
  return `event: stream-close\nretry: ${retry}\ndata: ${JSON.stringify({ reason, reconnect })}\n\n`;
}
