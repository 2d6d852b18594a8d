// better-sse on Node's own HTTP server: node server.mjs PORT CONTROL_PORT
// The control port takes the same lines as the Python servers.
import { createServer } from "node:http"
import { createServer as createTcpServer } from "node:net"
import { createInterface } from "node:readline"
import { setImmediate } from "node:timers/promises"

import { createChannel, createSession } from "better-sse"

const [port, controlPort] = process.argv.slice(2).map(Number)
const TEXT = "x".repeat(120)
const channels = new Map()
let published = 0

function channelOf(name) {
    if (!channels.has(name)) channels.set(name, createChannel())
    return channels.get(name)
}

function publish(name, event) {
    published += 1
    channelOf(name).broadcast(event, "message", { eventId: String(published) })
}

async function bodyOf(request) {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    return JSON.parse(Buffer.concat(chunks))
}

createServer(async (request, response) => {
    const [, action, name] = request.url.split("/")
    if (action === "events") {
        const session = await createSession(request, response, { keepAlive: 15_000 })
        channelOf(name).register(session)
    } else {
        publish(name, await bodyOf(request))
        response.writeHead(204).end()
    }
}).listen({ port, host: "127.0.0.1", backlog: 2048 })

async function spread(events, count) {
    for (let seq = 0; seq < events; seq += 1) {
        const ts = Number(process.hrtime.bigint())
        publish(String(seq % count), { type: "order-updated", ts, seq, text: TEXT })
        await setImmediate()
    }
    return 0
}

createTcpServer(async (socket) => {
    for await (const line of createInterface({ input: socket })) {
        const [verb, ...numbers] = line.split(" ")
        socket.write(`${verb === "spread" ? await spread(...numbers.map(Number)) : 0}\n`)
    }
}).listen(controlPort, "127.0.0.1")
