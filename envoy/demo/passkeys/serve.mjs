// The page of the demo for passkeys: its files and what browsers are told with them. Nothing else of the disk is served.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const FILES = [
  ["/passkeys", "index.html", "text/html; charset=utf-8"],
  ["/passkeys/page.css", "page.css", "text/css; charset=utf-8"],
  ["/passkeys/page.js", "page.js", "text/javascript; charset=utf-8"],
  ["/passkeys/portcullis-passkeys.min.js", "../../passkeys/portcullis-passkeys.min.js", "text/javascript; charset=utf-8"],
];

const HEADERS = {
  // Everything from here, nothing inline, in no frame.
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  // WebAuthn Level 3, 5.9 and 5.10.
  "permissions-policy": "publickey-credentials-get=(self), publickey-credentials-create=(self)",
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "cache-control": "no-cache",
  vary: "accept-encoding",
};

const pages = new Map(FILES.map(([path, file, type]) => {
  const plain = readFileSync(new URL(file, import.meta.url));
  return [path, { type, plain, gzip: gzipSync(plain, { level: 9 }) }];
}));

/** Whether the request was for one of the page's files, and is answered. */
export function servePage(request, response) {
  const page = request.method === "GET" && pages.get(request.url.split("?")[0]);
  if (!page) return false;
  const zipped = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
  const body = zipped ? page.gzip : page.plain;
  response.writeHead(200, {
    ...HEADERS,
    ...(zipped && { "content-encoding": "gzip" }),
    "content-type": page.type,
    "content-length": body.length,
  });
  response.end(body);
  return true;
}
