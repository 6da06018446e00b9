// Stands in for Envoy, to count what the module asks of it: node host.mjs MODULE < work.json
//
// The work is {policy, warmUp, requests, times}: the requests, each a list of header pairs, are sent in turn, `times`
// times over, after `warmUp` times that do not count. Answers how often each function of the host was called, those
// never called left out. Time stands still, so that only the requests spend anything. Memory must not grow any more.
import { readFileSync } from 'node:fs';

const OK = 0, NOT_FOUND = 1, CAS_MISMATCH = 8;
const PLUGIN_CONFIGURATION = 7;
const ERROR = 4;
const ROOT = 1;
const NOW = 1_800_000_000n * 1_000_000_000n;

const work = JSON.parse(readFileSync(0, 'utf8'));
const policy = Buffer.from(JSON.stringify(work.policy));
const shared = new Map();
let calls = {};
let headers;

const memory = () => Buffer.from(instance.exports.memory.buffer);
const text = (at, size) => memory().toString('latin1', at, at + size);

function give(bytes, at, size) {
  const place = instance.exports.proxy_on_memory_allocate(bytes.length);
  bytes.copy(memory(), place);
  memory().writeUInt32LE(place, at);
  memory().writeUInt32LE(bytes.length, size);
  return OK;
}

function onWire(pairs) {
  const number = (n) => { const bytes = Buffer.alloc(4); bytes.writeUInt32LE(n); return bytes; };
  const texts = pairs.flat();
  return Buffer.concat([
    number(pairs.length),
    ...texts.map((text) => number(Buffer.byteLength(text))),
    ...texts.map((text) => Buffer.from(`${text}\0`)),
  ]);
}

const does = {
  proxy_get_header_map_pairs: (_map, at, size) => give(headers, at, size),
  proxy_get_buffer_bytes: (buffer, _start, _max, at, size) =>
    buffer === PLUGIN_CONFIGURATION ? give(policy, at, size) : NOT_FOUND,
  proxy_call_foreign_function: () => NOT_FOUND,
  proxy_get_property: () => NOT_FOUND,
  proxy_get_shared_data: (key, keySize, at, size, version) => {
    const found = shared.get(text(key, keySize));
    if (!found) return NOT_FOUND;
    memory().writeUInt32LE(found.version, version);
    return give(found.value, at, size);
  },
  proxy_set_shared_data: (key, keySize, value, valueSize, version) => {
    const name = text(key, keySize);
    const found = shared.get(name);
    if (found && version !== 0 && version !== found.version) return CAS_MISMATCH;
    const copy = Buffer.from(memory().subarray(value, value + valueSize));
    shared.set(name, { value: copy, version: (found?.version ?? 0) + 1 });
    return OK;
  },
  proxy_log: (level, message, size) => { if (level >= ERROR) console.error(text(message, size)); return OK; },
  proxy_get_current_time_nanoseconds: (at) => { memory().writeBigUInt64LE(NOW, at); return OK; },
  random_get: (at, size) => { memory().fill(7, at, at + size); return OK; },
  environ_sizes_get: (count, size) => {
    memory().writeUInt32LE(0, count);
    memory().writeUInt32LE(0, size);
    return OK;
  },
  proc_exit: (code) => { throw new Error(`the module ended with ${code}`); },
};

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  (imports[from] ??= {})[name] = (...given) => {
    calls[name] = (calls[name] ?? 0) + 1;
    return does[name] ? does[name](...given) : OK;
  };
}
const instance = new WebAssembly.Instance(module, imports);
const filter = instance.exports;

filter._initialize();
filter.proxy_on_context_create(ROOT, 0);
filter.proxy_on_vm_start(ROOT, 0);
if (!filter.proxy_on_configure(ROOT, policy.length)) throw new Error('the policy is refused');

const requests = work.requests.map(onWire);
let stream = ROOT;
function send(times) {
  calls = {};
  for (let n = 0; n < times; n++) {
    for (headers of requests) {
      stream++;
      filter.proxy_on_context_create(stream, ROOT);
      filter.proxy_on_request_headers(stream, 0, 1);
      filter.proxy_on_response_headers(stream, 0, 1);
      filter.proxy_on_delete(stream);
    }
  }
}
send(work.warmUp);
const size = memory().length;
send(work.times);
if (memory().length !== size) throw new Error(`memory grew from ${size} to ${memory().length} bytes`);
console.log(JSON.stringify(calls));
