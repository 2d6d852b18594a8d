"use client";

export { streamEvents, useSSEConnection } from "./react-connection.js";
export type { SSEConnection, UseSSEConnectionOptions } from "./react-connection.js";
export { useSSEQueryInvalidation } from "./useSSEQueryInvalidation.js";
export type { UseSSEQueryInvalidationOptions } from "./useSSEQueryInvalidation.js";
