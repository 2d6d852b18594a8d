import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });

// modules one to one, so that all entries share the state of the modules they have in common
execFileSync("tsc", ["--project", "tsconfig.build.json"], { stdio: "inherit" });

// for pages without a bundler
const minified = {
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
};
await build({
  ...minified,
  entryPoints: { "client.min": "src/index.ts", "shared.min": "src/shared.ts" },
});

// what the Python package serves: one file that holds both, so that they share their modules
await build({
  ...minified,
  stdin: {
    contents: 'export * from "./index.js"; export * from "./shared.js";',
    resolveDir: "src",
    sourcefile: "served.ts",
  },
  entryNames: "served.min",
});
// only when asked, so that a build shows whether the committed file is stale
if (process.argv.includes("--ship")) {
  copyFileSync("dist/served.min.js", "../fastapi_sse_channels/static/client.js");
}

for (const name of ["client.min.js", "shared.min.js", "served.min.js"]) {
  const code = readFileSync(`dist/${name}`);
  console.log(`${name}: ${code.length} B, ${gzipSync(code, { level: 9 }).length} B gzip`);
}
