// A real program, the scripted server in front of it, and a browser whose every
// complaint and every request off the origin fails the test.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { FakeServer } from "./fake.mjs";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const BIN = process.env.RAPID_MLX_BIN ?? path.join(ROOT, "build/release/bin/rapid-mlx");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

const freePort = () =>
  new Promise((resolve) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

export class Program {
  constructor(...flags) {
    this.flags = flags;
  }
  async start(model = "smollm2-135m") {
    this.port ??= await freePort(); // the same one when it starts again
    this.url = `http://127.0.0.1:${this.port}`;
    this.home = mkdtempSync(path.join(os.tmpdir(), "ui-test-"));
    const cache = ["--cache-dir", path.join(this.home, "cache")];
    this.child = spawn(BIN, ["serve", model, "--port", String(this.port), ...cache, ...this.flags], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (data) => (said += data));
    for (let i = 0; ; i++) {
      if (this.child.exitCode !== null || i > 1200) throw new Error(`no server: ${said}`);
      const ready = await fetch(`${this.url}/health`).then((reply) => reply.ok, () => false);
      if (ready) return this;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  async stop(signal = "SIGTERM") {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill(signal);
    await ended;
    rmSync(this.home, { recursive: true, force: true });
  }
}

export async function startBrowser() {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--force-color-profile=srgb"],
  });
}

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

// A page with its own storage. `expect`: complaints that a test means to cause.
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({
    viewport: options.viewport ?? DESKTOP,
    colorScheme: options.colorScheme ?? "light",
    reducedMotion: "reduce",
    hasTouch: options.viewport === PHONE,
  });
  const page = await context.newPage();
  page.complaints = [];
  page.strays = [];
  const origin = new URL(url).origin;
  const watch = (request) => {
    const to = request.url();
    if (!to.startsWith(origin) && !/^(data|blob|about):/.test(to)) page.strays.push(to);
  };
  page.on("request", watch);
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) page.complaints.push(message.text());
  });
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  await page.addInitScript(() => {
    window.longTasks = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
    }).observe({ type: "longtask", buffered: true });
  });
  await page.goto(url + (options.hash ?? ""));
  await page.getByRole("textbox", { name: "Your message" }).or(page.locator("main.page")).first().waitFor();
  return page;
}

export { FakeServer };
