// Build: each file src/NAME.ts is a page's script and becomes dist/NAME.js; folders in src hold what pages share.
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { defineConfig } from "vite";

const SOURCES = join(import.meta.dirname, "src");
const pages = readdirSync(SOURCES).filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));

export default defineConfig({
  base: "./",
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    sourcemap: false,
    modulePreload: false, // its helper would be an inline script, which the content security policy forbids
    reportCompressedSize: false,
    rolldownOptions: {
      input: Object.fromEntries(pages.map((name) => [basename(name, ".ts"), join(SOURCES, name)])),
      output: {
        // Entries keep their name: the template adds the content's hash as a query. Shared parts carry it in theirs.
        entryFileNames: "[name].js",
        chunkFileNames: "parts/[name]-[hash].js",
        assetFileNames: "[name][extname]",
      },
    },
  },
});
