import { execFileSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

rmSync("dist", { recursive: true, force: true });

// modules one to one, so that all entries share the state of the modules they have in common
execFileSync("tsc", ["--project", "tsconfig.build.json"], { stdio: "inherit" });

// for pages without a bundler
await build({
  entryPoints: { "client.min": "src/index.ts", "shared.min": "src/shared.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});

for (const name of ["client.min.js", "shared.min.js"]) {
  const code = readFileSync(`dist/${name}`);
  console.log(`${name}: ${code.length} B, ${gzipSync(code, { level: 9 }).length} B gzip`);
}
