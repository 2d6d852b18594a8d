import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";

rmSync("dist", { recursive: true, force: true });

// modules one to one, so that all entries share the state of the modules they have in common
execFileSync("tsc", ["--project", "tsconfig.build.json"], { stdio: "inherit" });

/** Bundles what `contents` exports, for pages without a bundler. */
async function bundle(name, contents) {
  const stdin = { contents, resolveDir: "src", sourcefile: name };
  const options = { bundle: true, write: false, minify: true, format: "esm", target: "es2022" };
  const { outputFiles } = await build({ ...options, stdin });
  const { code } = await minify(outputFiles[0].text, {
    module: true,
    ecma: 2020,
    compress: { passes: 3 },
  });
  writeFileSync(`dist/${name}`, `${code}\n`);
  const size = gzipSync(readFileSync(`dist/${name}`), { level: 9 }).length;
  console.log(`${name}: ${code.length + 1} B, ${size} B gzip`);
}

const all = 'export * from "./index.js"; export * from "./shared.js";';
await bundle("client.min.js", 'export * from "./index.js";');
await bundle("shared.min.js", 'export * from "./shared.js";');
// what the Python package serves: one file that holds both, so that they share their modules
await bundle("served.min.js", all);

// only when asked, so that a build shows whether the committed file is stale
if (process.argv.includes("--ship")) {
  copyFileSync("dist/served.min.js", "../fastapi_sse_channels/static/client.js");
}
