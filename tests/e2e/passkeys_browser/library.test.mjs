// The library for pages without a browser: what it sends, when it asks the user, and whom it tells what. `LIBRARY` is its
// file in envoy/passkeys: as it is written, or as it is served.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after as afterAll, beforeEach, test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';

const FOLDER = new URL('../../../envoy/passkeys/', import.meta.url);
const LIBRARY = new URL(process.env.LIBRARY ?? 'portcullis-passkeys.js', FOLDER);
const SITE = 'https://app.test';
const LONG = 600_000;

globalThis.location = new URL(`${SITE}/page`);

/** What the gateway was asked, in order; what was asked of the browser; what the browser was told. */
let asked, ceremonies, told;
/** The gateway's answers by `METHOD path`: a value, a Response, or a function of the request. */
let answers;
/** What the user does: a credential, or a rejection. */
let user;

const credential = (id, userHandle) => ({
  id, rawId: id, type: 'public-key', clientExtensionResults: {},
  response: { clientDataJSON: 'Y2w', authenticatorData: 'YWQ', signature: 'c2ln', userHandle },
});
const ALICE = credential('QWxpY2U', 'dS1hbGljZQ');
const BOB = credential('Qm9i', 'dS1ib2I');

async function gateway(request) {
  const { pathname, origin } = new URL(request.url);
  const body = await request.clone().text();
  const said = { method: request.method, path: pathname, headers: Object.fromEntries(request.headers), body };
  asked.push(origin === SITE ? said : { ...said, origin });
  const key = `${request.method} ${pathname.replace('/.well-known/portcullis/webauthn', 'P')}`;
  let answer = answers[key];
  if (typeof answer === 'function') answer = answer(said);
  answer = await answer;
  if (answer instanceof Response) return answer;
  return answer === undefined ? refusal(404, 'no_rule') : Response.json(answer);
}

const refusal = (status, reason, passkeyOptions) => new Response(JSON.stringify({ title: 'No', status, reason, passkeyOptions }), {
  status, headers: { 'content-type': 'application/problem+json' },
});
const STEP_UP = '/.well-known/portcullis/webauthn/step-up/options';
const LOG_IN = '/.well-known/portcullis/webauthn/authentication/options';

class PublicKeyCredential {
  static parseCreationOptionsFromJSON = (json) => ({ parsed: 'creation', ...json });
  static parseRequestOptionsFromJSON = (json) => ({ parsed: 'request', ...json });
  static signalUnknownCredential = async (value) => void told.push(['unknown', value]);
  static signalAllAcceptedCredentials = async (value) => void told.push(['all', value]);
  static isConditionalMediationAvailable = async () => true;
}

const touch = (verb) => (options) => {
  ceremonies.push({ verb, mediation: options.mediation, challenge: options.publicKey.challenge, publicKey: options.publicKey });
  return new Promise((resolve, reject) => {
    const { signal } = options;
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason));
    Promise.resolve(user(options)).then((json) => json && resolve({ toJSON: () => json }), reject);
  });
};

// Node would not wait for `AbortSignal.timeout`.
const alive = setInterval(() => {}, LONG);
afterAll(() => clearInterval(alive));

beforeEach(() => {
  [asked, ceremonies, told] = [[], [], []];
  globalThis.PublicKeyCredential = PublicKeyCredential;
  Object.defineProperty(globalThis, 'navigator', {
    configurable: true, value: { credentials: { create: touch('create'), get: touch('get') } },
  });
  let challenges = 0;
  const options = (members) => () => ({ challenge: `c${(challenges += 1)}`, rpId: 'app.test', timeout: LONG, ...members });
  answers = {
    'POST P/authentication/options': options({}),
    'POST P/authentication': { access_token: 'T1', token_type: 'Bearer', expires_in: 900 },
    'POST P/registration/options': () => ({ challenge: 'r', rp: { id: 'app.test', name: 'App' }, user: { id: 'dQ' }, timeout: LONG }),
    'POST P/registration': ({ body }) => ({ id: JSON.parse(body).id, label: JSON.parse(body).label }),
    'POST P/step-up/options': options({ allowCredentials: [{ type: 'public-key', id: ALICE.id }] }),
    'GET P/credentials': { credentials: [{ id: ALICE.id, label: 'One' }, { id: 'VHdv', label: 'Two' }], rpId: 'app.test', userId: 'dQ' },
    'POST P/sign-out': new Response(null, { status: 204 }),
  };
  user = () => ALICE;
});

const { passkeys, isAvailable, canAutofill } = await import(LIBRARY);
/** Until what goes on behind an answer is over. */
const quiet = () => after(5);
const make = (settings) => passkeys({ fetch: gateway, ...settings });
const paths = () => asked.map(({ method, path }) => `${method} ${path.replace('/.well-known/portcullis/webauthn', 'P')}`);
const bearers = () => asked.map(({ headers }) => headers.authorization);

test('what browsers can do is told without a gateway', async () => {
  assert.deepEqual([isAvailable(), await canAutofill()], [true, true]);
  PublicKeyCredential.isConditionalMediationAvailable = async () => false;
  assert.equal(await canAutofill(), false);
  delete globalThis.PublicKeyCredential;
  assert.deepEqual([isAvailable(), await canAutofill()], [false, false]);
  assert.deepEqual(asked, []);
  PublicKeyCredential.isConditionalMediationAvailable = async () => true;
});

test('a passkey is made by an enrolment code', async () => {
  const made = await make().register({ label: 'Phone', enrolmentCode: 'code' });
  assert.deepEqual(made, { id: ALICE.id, label: 'Phone' });
  assert.deepEqual(paths(), ['POST P/registration/options', 'POST P/registration']);
  assert.deepEqual(JSON.parse(asked[0].body), { enrolmentCode: 'code' });
  assert.deepEqual(JSON.parse(asked[1].body), { ...ALICE, label: 'Phone', enrolmentCode: 'code' });
  assert.equal(asked[1].headers['content-type'], 'application/json');
  assert.deepEqual([ceremonies[0].verb, ceremonies[0].publicKey.parsed], ['create', 'creation']);
});

test('a passkey is made without asking', async () => {
  await make().register({ mediation: 'conditional' });
  assert.deepEqual(JSON.parse(asked[0].body), { mediation: 'conditional' });
  assert.equal(ceremonies[0].mediation, 'conditional');
});

test('the token of a sign-in goes to the gateway, and to nobody else', async () => {
  const p = make();
  assert.deepEqual(await p.signIn(), { access_token: 'T1', token_type: 'Bearer', expires_in: 900 });
  await quiet();
  await p.list();
  await p.fetch(`${SITE}/orders`);
  await p.fetch(`${SITE}/orders`, { headers: { authorization: 'Bearer own' } });
  await p.fetch('https://other.test/orders');
  await p.signOut();
  await p.fetch(`${SITE}/orders`);
  const sent = ['Bearer T1', 'Bearer T1', 'Bearer T1', 'Bearer own', undefined];
  assert.deepEqual(bearers(), [undefined, undefined, ...sent, undefined, undefined]);
});

test('a token of the page’s own takes its place', async () => {
  let token = 'P1';
  const p = make({ token: async () => token });
  await p.register();
  await p.signIn();
  await quiet();
  token = 'P2';
  await p.fetch(`${SITE}/orders`);
  await p.fetch('https://other.test/orders');
  assert.deepEqual(bearers(), [...Array(5).fill('Bearer P1'), 'Bearer P2', undefined]);
});

test('a gateway elsewhere', async () => {
  const p = make({ path: 'https://api.test/passkeys/', token: () => 'P' });
  await assert.rejects(p.signIn(), { status: 404 });
  await p.fetch(`${SITE}/orders`);
  assert.deepEqual(asked.map(({ origin, path, headers }) => [origin, path, headers.authorization]), [
    ['https://api.test', '/passkeys/authentication/options', 'Bearer P'], [undefined, '/orders', undefined],
  ]);
});

test('refusals are errors with the reason', async () => {
  answers['POST P/registration'] = () => refusal(403, 'some_reason');
  await assert.rejects(make().register(), { name: 'PasskeyError', status: 403, reason: 'some_reason', message: 'No' });
  answers['POST P/registration/options'] = () => new Response('<html>', { status: 502 });
  await assert.rejects(make().register(), { name: 'PasskeyError', status: 502, reason: undefined, message: 'status 502' });
});

test('the user’s no reaches the page, and nothing is sent', async () => {
  user = () => { throw new DOMException('no', 'NotAllowedError'); };
  await assert.rejects(make().signIn(), { name: 'NotAllowedError' });
  assert.deepEqual(paths(), ['POST P/authentication/options']);
});

test('what is prepared serves one sign-in, without another question', async () => {
  const p = make();
  await p.prepare();
  await p.prepare();
  assert.equal(asked.length, 1);
  const signedIn = p.signIn();
  // Before anything is sent: at once, as Safari wants it.
  await Promise.resolve(); await Promise.resolve(); await Promise.resolve();
  assert.equal(ceremonies.length, 1);
  await signedIn;
  await p.signIn();
  assert.deepEqual(ceremonies.map(({ challenge }) => challenge), ['c1', 'c2']);
});

test('what was prepared too long ago, or in vain, is asked for again', async () => {
  const p = make(), good = answers['POST P/authentication/options'];
  answers['POST P/authentication/options'] = () => refusal(503, 'x');
  await assert.rejects(p.prepare(), { status: 503 });
  answers['POST P/authentication/options'] = () => ({ ...good(), timeout: 20 });
  await p.prepare();
  await after(15);
  answers['POST P/authentication/options'] = good;
  await p.signIn();
  assert.deepEqual(ceremonies.map(({ challenge }) => challenge), ['c2']);
});

test('a click ends autofill, and takes its options over', async () => {
  const p = make();
  user = ({ mediation }) => (mediation === 'conditional' ? undefined : ALICE);
  const filled = p.signIn({ autofill: true });
  await after(5);
  await Promise.all([assert.rejects(filled, { name: 'AbortError' }), p.signIn()]);
  assert.deepEqual(ceremonies.map(({ mediation, challenge }) => [mediation, challenge]), [['conditional', 'c1'], ['optional', 'c1']]);
  assert.deepEqual(paths(), ['POST P/authentication/options', 'POST P/authentication']);
});

test('autofill waits longer than its options last', async () => {
  const p = make(), good = answers['POST P/authentication/options'];
  answers['POST P/authentication/options'] = () => ({ ...good(), timeout: 30 });
  user = ({ publicKey }) => (publicKey.challenge === 'c3' ? ALICE : undefined);
  await p.signIn({ autofill: true });
  assert.deepEqual(ceremonies.map(({ challenge }) => challenge), ['c1', 'c2', 'c3']);
  const ended = asked.filter(({ path }) => path.endsWith('/authentication'));
  assert.deepEqual(ended.map(({ body }) => JSON.parse(body).id), [ALICE.id]);
});

test('autofill that was ended is not begun again', async () => {
  const good = answers['POST P/authentication/options'];
  answers['POST P/authentication/options'] = () => ({ ...good(), timeout: 40 });
  user = () => undefined;
  const p = make(), stop = new AbortController();
  const filled = p.signIn({ autofill: true, signal: stop.signal });
  await after(5);
  stop.abort(new Error('left'));
  await assert.rejects(filled, { message: 'left' });
  await assert.rejects(p.signIn({ autofill: true, signal: AbortSignal.timeout(1) }), { name: 'TimeoutError' });
  await assert.rejects(p.signIn({ autofill: true, signal: stop.signal }), { message: 'left' });
  const count = asked.length;
  await after(50);
  assert.equal(asked.length, count);
});

test('answers that ask for no passkey are handed on', async () => {
  const p = make();
  const own = (options) => async (url) => { answers['GET /x'] = () => refusal(401, 'r', options); return p.fetch(url); };
  for (const [passkeyOptions, url] of [
    [undefined, `${SITE}/x`],
    // Another origin has no say in what the user confirms here.
    [STEP_UP, 'https://other.test/x'],
    [LOG_IN, 'https://other.test/x'],
  ]) {
    const response = await own(passkeyOptions)(url);
    assert.deepEqual([response.status, (await response.json()).reason], [401, 'r'], url);
  }
  for (const body of ['<html>', 'null', '']) {
    answers['GET /x'] = () => new Response(body, { status: 401 });
    assert.equal(await (await p.fetch(`${SITE}/x`)).text(), body);
  }
  answers['GET /x'] = () => refusal(403, 'r', STEP_UP);
  assert.equal((await p.fetch(`${SITE}/x`)).status, 403);
  assert.equal((await p.fetch(`${SITE}/none`)).status, 404);
  assert.deepEqual(ceremonies, []);
});

const BODY = '{"to":"Röbin"}';
const transfer = ({ headers }) => (headers['portcullis-passkey'] ? { done: true } : refusal(401, 'passkey_required', STEP_UP));

test('a request that wants a passkey is confirmed and sent once more', async () => {
  const p = make({ token: () => 'P' }), confirmed = [];
  answers['POST /transfers'] = transfer;
  const q = make({ token: () => 'P', confirm: async (request) => { confirmed.push([request.url, await request.clone().text()]); } });
  for (const library of [p, q]) {
    asked = [];
    const response = await library.fetch(`${SITE}/transfers?x=%20y#z`, { method: 'POST', body: BODY, headers: { a: 'b' } });
    assert.deepEqual(await response.json(), { done: true });
    assert.deepEqual(paths(), ['POST /transfers', 'POST P/step-up/options', 'POST /transfers']);
    const bodyDigest = createHash('sha256').update(BODY).digest('base64url');
    assert.deepEqual(JSON.parse(asked[1].body), { method: 'POST', path: '/transfers?x=%20y', bodyDigest });
    assert.deepEqual([asked[0].body, asked[2].body], [BODY, BODY]);
    assert.deepEqual(asked.map(({ headers }) => headers.a), ['b', undefined, 'b']);
    assert.deepEqual(bearers(), Array(3).fill('Bearer P'));
    const proof = asked[2].headers['portcullis-passkey'];
    assert.match(proof, /^[\w-]+$/);
    assert.deepEqual(JSON.parse(Buffer.from(proof, 'base64url')), ALICE);
  }
  assert.deepEqual(confirmed, [[`${SITE}/transfers?x=%20y#z`, BODY]]);
});

test('a request without a body is confirmed as one, with the token that it brings', async () => {
  answers['DELETE /orders/7'] = transfer;
  await make().fetch(`${SITE}/orders/7`, { method: 'DELETE', headers: { authorization: 'Bearer own' } });
  assert.deepEqual(JSON.parse(asked[1].body), { method: 'DELETE', path: '/orders/7' });
  assert.deepEqual(bearers(), Array(3).fill('Bearer own'));
});

test('what is not confirmed is not sent again', async () => {
  answers['POST /transfers'] = transfer;
  const p = make({ confirm: () => { throw new Error('declined'); } });
  await assert.rejects(p.fetch(`${SITE}/transfers`, { method: 'POST' }), { message: 'declined' });
  assert.deepEqual([ceremonies, asked.length], [[], 2]);
  user = () => { throw new DOMException('no', 'NotAllowedError'); };
  await assert.rejects(make().fetch(`${SITE}/transfers`, { method: 'POST' }), { name: 'NotAllowedError' });
  assert.equal(asked.length, 4);
});

test('a request that is ended ends its confirmation', async () => {
  answers['POST /transfers'] = transfer;
  user = () => undefined;
  const end = new AbortController(), p = make();
  const sent = p.fetch(`${SITE}/transfers`, { method: 'POST', signal: end.signal });
  await after(20);
  end.abort(new Error('left'));
  await assert.rejects(sent, { message: 'left' });
});

test('who thinks for long is asked with a new challenge', async () => {
  answers['POST /transfers'] = transfer;
  const good = answers['POST P/step-up/options'];
  let timeout = 20;
  answers['POST P/step-up/options'] = () => ({ ...good(), timeout });
  const p = make({ confirm: async () => { await after(15); timeout = LONG; } });
  assert.equal((await p.fetch(`${SITE}/transfers`, { method: 'POST' })).status, 200);
  assert.deepEqual(ceremonies.map(({ challenge }) => challenge), ['c2']);
});

test('a confirmation that is refused is not asked for again', async () => {
  answers['POST /transfers'] = () => refusal(401, 'r', STEP_UP);
  assert.equal((await make().fetch(`${SITE}/transfers`, { method: 'POST' })).status, 401);
  assert.equal(ceremonies.length, 1);
});

test('where the session is too old, the user signs in, and it is sent once more', async () => {
  const p = make();
  let tokens = 0;
  answers['POST P/authentication'] = () => ({ access_token: `T${(tokens += 1)}`, expires_in: 900 });
  answers['POST /x'] = ({ headers }) => (headers.authorization === 'Bearer T2' ? { done: true } : refusal(401, 'r', LOG_IN));
  await p.signIn();
  const response = await p.fetch(`${SITE}/x`, { method: 'POST', body: 'b' });
  assert.deepEqual([response.status, asked.at(-1).body], [200, 'b']);
  // At most once.
  answers['POST /x'] = () => refusal(401, 'r', LOG_IN);
  assert.equal((await p.fetch(`${SITE}/x`, { method: 'POST' })).status, 401);
  assert.equal(ceremonies.length, 3);
});

test('… but not as another user', async () => {
  const p = make();
  let sent = 0;
  answers['POST /x'] = () => ((sent += 1) === 1 ? refusal(401, 'r', LOG_IN) : undefined);
  await p.signIn();
  user = () => BOB;
  assert.equal((await p.fetch(`${SITE}/x`, { method: 'POST' })).status, 401);
  assert.equal(sent, 1);
  // Whoever signs out leaves the page to anybody.
  [sent, user] = [0, () => ALICE];
  await p.signOut();
  assert.equal((await p.fetch(`${SITE}/x`, { method: 'POST' })).status, 404);
  assert.equal(sent, 2);
});

test('a passkey is forgotten by browsers only if the gateway does not know it', async () => {
  const p = make();
  for (const [status, reason, expected] of [
    [401, 'passkey_unknown', [['unknown', { rpId: 'app.test', credentialId: ALICE.id }]]],
    [401, 'passkey_invalid', []],
    [404, 'no_rule', []],
    [503, 'state_unavailable', []],
  ]) {
    told = [];
    answers['POST P/authentication'] = () => refusal(status, reason);
    await assert.rejects(p.signIn(), { reason });
    assert.deepEqual(told, expected, reason);
  }
});

const ALL = ['all', { rpId: 'app.test', userId: 'dQ', allAcceptedCredentialIds: [ALICE.id, 'VHdv'] }];

test('browsers are told all passkeys of whoever the gateway says, after a sign-in, a list and a removal', async () => {
  const p = make();
  await p.signIn();
  await quiet();
  assert.deepEqual([paths().at(-1), told], ['GET P/credentials', [ALL]]);
  assert.equal((await p.list()).length, 2);
  assert.deepEqual(told, [ALL, ALL]);
  await assert.rejects(p.remove('VHdv'), { status: 404 });
  await quiet();
  assert.equal(told.length, 2);
  answers['DELETE P/credentials/VHdv'] = () => {
    answers['GET P/credentials'] = { credentials: [{ id: ALICE.id }], rpId: 'app.test', userId: 'dQ' };
    return new Response(null, { status: 204 });
  };
  await p.remove('VHdv');
  await quiet();
  assert.deepEqual(told.at(-1), ['all', { rpId: 'app.test', userId: 'dQ', allAcceptedCredentialIds: [ALICE.id] }]);
  // Who has no account has no handle, and a list that cannot be had tells nothing.
  answers['GET P/credentials'] = { credentials: [], rpId: 'app.test', userId: null };
  assert.deepEqual(await p.list(), []);
  answers['GET P/credentials'] = () => refusal(503, 'passkeys_unavailable');
  assert.equal((await p.signIn()).access_token, 'T1');
  await quiet();
  assert.equal(told.length, 3);
  assert.ok(told.every(([what]) => what === 'all'));
  answers['PATCH P/credentials/VHdv'] = ({ body }) => JSON.parse(body);
  assert.deepEqual(await p.rename('VHdv', 'New'), { label: 'New' });
});

test('a list from before a passkey was made does not take that away', async () => {
  const p = make();
  let answer;
  answers['GET P/credentials'] = { then: (resolve) => { answer = resolve; } };
  const before = p.list();
  await quiet();
  await p.register({ enrolmentCode: 'x' });
  answer(Response.json({ credentials: [], rpId: 'app.test', userId: 'dQ' }));
  assert.deepEqual([await before, told], [[], []]);
  answers['GET P/credentials'] = { credentials: [{ id: ALICE.id }, { id: 'VHdv' }], rpId: 'app.test', userId: 'dQ' };
  await p.list();
  assert.deepEqual(told, [ALL]);
});

test('browsers without signals are told nothing', async () => {
  const { signalUnknownCredential, signalAllAcceptedCredentials } = PublicKeyCredential;
  delete PublicKeyCredential.signalUnknownCredential;
  delete PublicKeyCredential.signalAllAcceptedCredentials;
  const p = make();
  await p.signIn();
  assert.equal((await p.list()).length, 2);
  answers['POST P/authentication'] = () => refusal(401, 'passkey_unknown');
  await assert.rejects(p.signIn(), { reason: 'passkey_unknown' });
  assert.deepEqual(told, []);
  Object.assign(PublicKeyCredential, { signalUnknownCredential, signalAllAcceptedCredentials });
});

test('older browsers get what they lack', async () => {
  class Old {
    constructor(response) {
      Object.assign(this, { id: 'QQ', type: 'public-key', response });
    }
    getClientExtensionResults() { return { credProps: { rk: true } }; }
  }
  globalThis.PublicKeyCredential = Old;
  const { any } = AbortSignal;
  AbortSignal.any = undefined;
  await import(new URL('older-browsers.js', FOLDER));
  const buffer = (...bytes) => new Uint8Array(bytes).buffer;

  const creation = Old.parseCreationOptionsFromJSON({
    challenge: '-_8', rp: { id: 'app.test' }, user: { id: 'AQI', name: 'u' }, excludeCredentials: [{ type: 'public-key', id: 'Aw', transports: ['usb'] }],
  });
  assert.deepEqual([...creation.challenge, ...creation.user.id], [0xfb, 0xff, 1, 2]);
  assert.deepEqual([creation.rp.id, creation.user.name], ['app.test', 'u']);
  assert.deepEqual(creation.excludeCredentials, [{ type: 'public-key', id: new Uint8Array([3]), transports: ['usb'] }]);
  const request = Old.parseRequestOptionsFromJSON({ challenge: 'AQ', allowCredentials: [{ type: 'public-key', id: 'BA' }] });
  assert.deepEqual([...request.challenge, ...request.allowCredentials[0].id], [1, 4]);
  assert.ok(!('user' in request) && !('excludeCredentials' in request));

  const made = new Old({ clientDataJSON: buffer(0xfb, 0xff), attestationObject: buffer(1), getTransports: () => ['internal'] }).toJSON();
  assert.deepEqual(made, {
    id: 'QQ', rawId: 'QQ', type: 'public-key', clientExtensionResults: { credProps: { rk: true } },
    response: { clientDataJSON: '-_8', attestationObject: 'AQ', transports: ['internal'] },
  });
  const used = JSON.parse(JSON.stringify(new Old({
    clientDataJSON: buffer(1), authenticatorData: buffer(2), signature: buffer(3), userHandle: buffer(),
  })));
  assert.deepEqual(used.response, { clientDataJSON: 'AQ', authenticatorData: 'Ag', signature: 'Aw' });

  const [one, two] = [new AbortController(), new AbortController()];
  const joined = AbortSignal.any([one.signal, two.signal]);
  assert.equal(joined.aborted, false);
  two.abort(new Error('two'));
  assert.deepEqual([joined.reason.message, AbortSignal.any([one.signal, two.signal]).reason.message], ['two', 'two']);
  AbortSignal.any = any;
});

test('it stays small, as it is served', () => {
  for (const [file, most] of [['portcullis-passkeys.min.js', 4_000], ['older-browsers.js', 2_000]]) {
    const size = readFileSync(new URL(file, FOLDER)).length;
    assert.ok(size < most, `${file}: ${size} bytes`);
  }
});

test('its types name what there is', async () => {
  const types = readFileSync(new URL('portcullis-passkeys.d.ts', FOLDER), 'utf8');
  const functions = [...types.matchAll(/^export function (\w+)/gm)].map(([, name]) => name);
  assert.deepEqual(functions.sort(), Object.keys(await import(LIBRARY)).sort());
  const [, members] = /interface Passkeys \{(.*?)^\}/ms.exec(types);
  const methods = [...members.matchAll(/^  (\w+)\(/gm)].map(([, name]) => name);
  assert.deepEqual(methods.sort(), Object.keys(make()).sort());
});
