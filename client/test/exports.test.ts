import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const root = new URL("../", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("package.json", root), "utf8"));

it.each([
  ["index", ["StreamError", "channel", "connect", "createParser"]],
  ["query", ["followQueries", "streamEvents"]],
  ["react", ["streamEvents", "useSSEConnection", "useSSEQueryInvalidation"]],
  ["react-connection", ["streamEvents", "useSSEConnection"]],
  ["shared", ["tabs"]],
])("%s exports what is documented and no more", async (entry, names) => {
  const module = await import(new URL(`src/${entry}.ts`, root).href);
  expect(Object.keys(module).sort()).toEqual(names);
});

it("has a source for each module of the manifest", () => {
  const targets = Object.values<string | { default: string }>(manifest.exports)
    .map((target) => (typeof target === "string" ? target : target.default))
    .filter((target) => target.endsWith(".js"));
  for (const target of targets) {
    const source = target.replace("./dist/", "src/").replace(".min", "").replace(/\.js$/, ".ts");
    expect(existsSync(new URL(source.replace("client.ts", "index.ts"), root)), source).toBe(true);
  }
});

it.each(["react", "react-connection"])("marks %s as for the browser in server components", (entry) => {
  expect(readFileSync(new URL(`src/${entry}.ts`, root), "utf8")).toMatch(/^"use client";\n/);
});

it("depends on nothing", () => {
  expect(manifest.dependencies).toBeUndefined();
});

it("locks versions without naming where they come from", () => {
  expect(readFileSync(new URL("package-lock.json", root), "utf8")).not.toContain('"resolved"');
});
