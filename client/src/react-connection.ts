"use client";

export { streamEvents } from "./streamEvents.js";
export { useSSEConnection } from "./useSSEConnection.js";
export type { SSEConnection, UseSSEConnectionOptions } from "./useSSEConnection.js";
