import { readdirSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";

const source = new URL("../src/", import.meta.url);
const modules = readdirSync(source).filter((name) => /^[^.]+\.tsx?$/.test(name));

/** The neighbours that a module names in its imports, be it for types alone. */
function importedBy(module: string): string[] {
  const text = readFileSync(new URL(module, source), "utf8");
  return [...new Set([...text.matchAll(/ from "\.\/(.+)\.js"/g)].map(([, name]) => `${name}.ts`))];
}

it("knows every module that is imported", () => {
  expect(importedBy("react.ts")).toEqual(["react-connection.ts", "useSSEQueryInvalidation.ts"]);
  expect(modules).toEqual(expect.arrayContaining(modules.flatMap(importedBy)));
});

it.each([["index"], ["query"], ["shared"]])("%s needs no package", (entry) => {
  const reached = new Set([`${entry}.ts`]);
  for (const module of reached) importedBy(module).forEach((name) => reached.add(name));
  const texts = [...reached].map((module) => readFileSync(new URL(module, source), "utf8"));
  expect(texts.join("\n")).not.toMatch(/ from "[^.]/);
});

it.each(modules)("%s does not import itself through others", (module) => {
  const reached = new Set<string>();
  const reach = (name: string) => {
    if (reached.has(name)) return;
    reached.add(name);
    importedBy(name).forEach(reach);
  };
  importedBy(module).forEach(reach);
  expect([...reached]).not.toContain(module);
});
