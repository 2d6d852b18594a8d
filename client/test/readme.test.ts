import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it, onTestFinished } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
// those that begin with a file name belong to an application of their own
const snippets = [...readme.matchAll(/^```(tsx?)\n((?!\/\/ ).*?)^```$/gms)];

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

it("compiles as an application would", () => {
  expect(snippets).toHaveLength(5);
  const directory = mkdtempSync(join(root, ".readme-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  copyFileSync(join(root, "test/openapi.ts"), join(directory, "openapi.ts"));
  const files = [...snippets, ["", "ts", unparameterized]].map(([, kind, code], index) => {
    const file = `snippet-${index}.${kind}`;
    writeFileSync(join(directory, file), code!);
    return file;
  });
  const paths = {
    "fastapi-sse-channels": ["../src/index.ts"],
    "fastapi-sse-channels/react": ["../src/react.ts"],
    "fastapi-sse-channels/shared": ["../src/shared.ts"],
  };
  const options = { compilerOptions: { paths }, extends: "../tsconfig.json", files, include: [] };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(options));
  writeFileSync(join(directory, "package.json"), '{ "type": "module" }');

  const tsc = join(root, "node_modules/.bin/tsc");
  const { stdout } = spawnSync(tsc, ["--project", directory], { encoding: "utf8" });
  expect(stdout).toBe("");
});
