// The service behind the gateway: answers each request with what arrived here, as JSON, and has a page for passkeys.
// usage: node upstream.mjs [PORT] [HOST]
import http from "node:http";
import { servePage } from "./passkeys/serve.mjs";

const MAX_BODY = 64 * 1024;
const port = Number(process.argv[2] ?? 8081);
const host = process.argv[3] ?? "127.0.0.1";

/** `rawHeaders` alternates names and values; a name that occurs more than once becomes a list. */
function headersOf(request) {
  const headers = {};
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i].toLowerCase();
    const value = request.rawHeaders[i + 1];
    headers[name] = name in headers ? [headers[name], value].flat() : value;
  }
  return headers;
}

const server = http.createServer((request, response) => {
  if (servePage(request, response)) return;
  const chunks = [];
  let size = 0;
  request.on("data", (chunk) => {
    if (size < MAX_BODY) chunks.push(chunk.subarray(0, MAX_BODY - size));
    size += chunk.length;
  });
  request.on("end", () => {
    const seen = {
      method: request.method,
      path: request.url,
      httpVersion: request.httpVersion,
      headers: headersOf(request),
      body: Buffer.concat(chunks).toString("utf8"),
    };
    const text = `${JSON.stringify(seen, null, 2)}\n`;
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) });
    response.end(request.method === "HEAD" ? undefined : text);
  });
});

// Longer than Envoy keeps an idle connection, so that Envoy never writes to one that is closing here.
server.keepAliveTimeout = 3_600_000;
server.listen(port, host);
server.on("error", (error) => {
  console.error(`upstream: ${error.message}`);
  process.exit(1);
});

for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
// Started by the demo, standard input is a pipe that closes when the demo is gone, however it went.
if (process.argv.includes("--follow-stdin")) {
  process.stdin.on("end", () => process.exit(0));
  process.stdin.on("error", () => process.exit(0));
  process.stdin.resume();
}
