// Bundles web/src with esbuild, names files after what is in them, compresses
// them, and writes web/dist (for tests and a look) or, with --cpp FILE, the C++
// source that is compiled into the program.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const TYPES = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

const hash = (bytes) =>
  createHash("sha256").update(bytes).digest("hex").slice(0, 12);

async function bundle() {
  const made = await build({
    absWorkingDir: here,
    entryPoints: { app: "src/main.tsx", style: "src/style.css" },
    bundle: true,
    minify: true,
    format: "esm",
    target: ["chrome123", "firefox120", "safari17.5"],
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    outdir: "dist",
    write: false,
    logLevel: "warning",
  });
  let page = readFileSync(join(here, "src/index.html"), "utf8");
  const built = made.outputFiles.map((file) => [file.path.split("/").pop(), Buffer.from(file.contents)]);
  const icon = ["icon.svg", readFileSync(join(here, "src/icon.svg"))];
  const files = [...built, icon].map(([plain, bytes]) => {
    const [stem, ending] = plain.split(".");
    const name = `${stem}-${hash(bytes)}.${ending}`;
    page = page.replaceAll(`/ui/${plain}`, `/ui/${name}`);
    return { name, bytes };
  });
  return [{ name: "index.html", bytes: Buffer.from(page) }, ...files];
}

// A string literal that every compiler takes: octal, cut into lines.
function literal(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += 80) {
    let line = "";
    for (const byte of bytes.subarray(at, at + 80)) {
      line += "\\" + byte.toString(8).padStart(3, "0");
    }
    lines.push(`"${line}"`);
  }
  return lines.join("\n") || '""';
}

function source(files) {
  let data = "";
  let rows = "";
  files.forEach(({ name, bytes }, i) => {
    const forms = {
      plain: bytes,
      gzip: gzipSync(bytes, { level: 9 }),
      brotli: brotliCompressSync(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 11 },
      }),
    };
    for (const [form, content] of Object.entries(forms)) {
      data += `constexpr char k${form}${i}[] =\n${literal(content)};\n`;
    }
    const view = (form) => `{k${form}${i}, sizeof k${form}${i} - 1}`;
    rows +=
      `    {"${name}", "${TYPES[name.split(".").pop()]}", ` +
      `"\\"${hash(bytes)}\\"",\n     ` +
      `${view("plain")}, ${view("gzip")}, ${view("brotli")}},\n`;
  });
  return `// Generated from web/ by web/build.mjs. Do not edit.
#include "api/web_asset.h"
namespace rapid {
namespace {
${data}constexpr WebAsset kAssets[] = {
${rows}};
}  // namespace
std::span<const WebAsset> web_assets() {
  return kAssets;
}
}  // namespace rapid
`;
}

const files = await bundle();
const at = process.argv.indexOf("--cpp");
if (at > 0) {
  writeFileSync(process.argv[at + 1], source(files));
} else {
  rmSync(join(here, "dist"), { recursive: true, force: true });
  mkdirSync(join(here, "dist"));
  let total = 0;
  for (const { name, bytes } of files) {
    writeFileSync(join(here, "dist", name), bytes);
    const packed = gzipSync(bytes, { level: 9 }).length;
    total += packed;
    console.log(`${name}  ${bytes.length} bytes, ${packed} gzipped`);
  }
  console.log(`total ${total} gzipped`);
}
