import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** What an application that uses the package in place of its forerunner would write. */
const unparameterized = `
import { useSSEConnection, useSSEQueryInvalidation } from "fastapi-sse-channels/react";

export function useDiscussion(id: string) {
  useSSEQueryInvalidation({
    endpoint: "/sse",
    queryKeys: (event) => [["comments", event.discussionId], ["counts", id]],
    enabled: !!id,
  });
  return useSSEConnection({
    endpoint: "/sse",
    onEvent: (event) => {
      switch (event.type) {
        case "comment-added":
          console.log("New comment!", event);
      }
    },
    onConnectionChange: (connected) => console.log(connected ? "connected" : "disconnected"),
    onError: (error) => console.log(error.type),
  }).connected;
}
`;

it("compiles without a type of the events", () => {
  const directory = mkdtempSync(join(root, ".unparameterized-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const files = ["hooks.ts"];
  writeFileSync(join(directory, "hooks.ts"), unparameterized);
  const paths = { "fastapi-sse-channels/react": ["../src/react.ts"] };
  const options = { compilerOptions: { paths }, extends: "../tsconfig.json", files, include: [] };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(options));
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');

  const tsc = join(root, "node_modules/.bin/tsc");
  const { stdout } = spawnSync(tsc, ["--project", directory], { encoding: "utf8" });
  expect(stdout).toBe("");
});
