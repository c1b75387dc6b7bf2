// A server for tests: the page and whatever is not scripted come from the real
// program behind it (its headers, too); answers of models follow a script.
//   { say: [["text"|"reasoning"|"call", value, pause ms]...], cut: bool }
import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

// UI_DIST=1: the page of web/dist instead of the one in the program, with the
// policy that the program's source has.
function sendBuilt(path, response) {
  const name = path === "/" ? "index.html" : path.slice("/ui/".length);
  if (!existsSync(at(`dist/${name}`))) return response.writeHead(404).end();
  const source = readFileSync(at("../src/api/web_asset.cpp"), "utf8");
  const policy = /kPolicy =((?:\s*"[^"]*")*);/.exec(source)[1];
  const types = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
  response.writeHead(200, {
    "content-type": types[name.split(".").pop()],
    "content-security-policy": [...policy.matchAll(/"([^"]*)"/g)].map((each) => each[1]).join(""),
    "x-content-type-options": "nosniff",
  });
  response.end(readFileSync(at(`dist/${name}`)));
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function chunk(delta, finish = null) {
  return {
    id: "chatcmpl-test",
    object: "chat.completion.chunk",
    created: 0,
    model: "tiny",
    choices: [{ index: 0, delta, finish_reason: finish }],
  };
}

function deltaOf([kind, value]) {
  if (kind === "text") return { content: value };
  if (kind === "reasoning") return { reasoning_content: value };
  return {
    tool_calls: [
      {
        index: value.index ?? 0,
        id: value.id,
        type: "function",
        function: { name: value.name, arguments: value.arguments },
      },
    ],
  };
}

export class FakeServer {
  requests = []; // bodies of chat requests
  script = () => ({ say: [["text", "Hello."]] });
  routes = new Map(); // "GET /path" -> (request, response, body)
  key = "";
  seen = []; // "GET /path"
  open = new Set();

  constructor(behind) {
    this.behind = behind; // http://127.0.0.1:PORT of the real one
    this.server = http.createServer((request, response) => {
      let body = "";
      request.on("data", (data) => (body += data));
      request.on("end", () => void this.answer(request, response, body));
    });
  }

  async start(port = 0) {
    await new Promise((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = this.server.address().port;
    this.url = `http://127.0.0.1:${this.port}`;
  }
  // As if it were killed.
  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  async answer(request, response, body) {
    const path = request.url.split("?")[0];
    this.seen.push(`${request.method} ${path}`);
    const route = this.routes.get(`${request.method} ${path}`);
    const open = path === "/" || path.startsWith("/ui/") || path === "/health";
    if (this.key && !open && request.headers.authorization !== `Bearer ${this.key}`) {
      response.writeHead(401, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: "the API key is missing or wrong" } }));
    }
    if (process.env.UI_DIST && (path === "/" || path.startsWith("/ui/"))) {
      return sendBuilt(path, response);
    }
    if (route) return route(request, response, body);
    if (path === "/v1/chat/completions") return this.chat(JSON.parse(body), response);
    return this.forward(request, response, body);
  }

  forward(request, response, body) {
    const to = new URL(request.url, this.behind);
    const headers = { ...request.headers, host: to.host };
    delete headers.origin;
    const asked = http.request(to, { method: request.method, headers }, (reply) => {
      response.writeHead(reply.statusCode, reply.headers);
      reply.pipe(response);
    });
    asked.on("error", () => response.destroy());
    asked.end(body);
  }

  async chat(asked, response) {
    this.requests.push(asked);
    const { say, cut = false, status = 200, error = "", finish = "stop", usage = {} } = this.script(asked);
    if (status !== 200) {
      response.writeHead(status, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: error } }));
    }
    let gone = false;
    response.on("close", () => (gone = true));
    response.writeHead(200, { "content-type": "text/event-stream" });
    const send = (value) => response.write(`data: ${JSON.stringify(value)}\n\n`);
    send(chunk({ role: "assistant", content: "" }));
    for (const piece of say) {
      if (gone) return;
      if (piece[2]) await pause(piece[2]);
      send(chunk(deltaOf(piece)));
    }
    if (cut) {
      await pause(1000); // what was said arrives; an error drops what was not read
      return response.destroy();
    }
    send(chunk({}, finish));
    send({
      ...chunk({}),
      choices: [],
      usage: {
        prompt_tokens: 128,
        completion_tokens: say.length,
        prompt_tokens_details: { cached_tokens: 96 },
        completion_tokens_details: { reasoning_tokens: 0 },
        ...usage,
      },
      rapid_mlx: { timings: { prefill_seconds: 0.1, decode_seconds: say.length / 60 } },
    });
    response.end("data: [DONE]\n\n");
  }
}

// "some words" in pieces, as tokens come.
export function pieces(text, kind = "text", ms = 0) {
  return (text.match(/\s*\S+\s*?(?=\s|$)|\s+/g) ?? [text]).map((word) => [kind, word, ms]);
}
