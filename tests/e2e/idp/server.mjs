// A certified authorization server for the tests: `node server.mjs OPTIONS`, OPTIONS being JSON. It listens on a free
// port of 127.0.0.1, prints `ready ISSUER` and ends with its standard input. Beside the provider itself it answers:
//
//   POST /test/rotate[?alg=ES256]   new keys sign from now on (of one algorithm, or of all), the old stay published
//   POST /test/retire               of each algorithm only the newest key stays published
//   POST /test/mode?jwks=MODE       what the key set's URL does; MODES below; `discovery=MODE`, `introspection=MODE`
//                                   and, for the other place of the document (RFC 8414), `metadata=MODE` likewise
//   GET  /test/count                how often each of these was asked for
import http from 'node:http';
import https from 'node:https';
import { Provider } from 'oidc-provider';
import { exportJWK, generateKeyPair } from 'jose';

// certificate, key: PEM; HTTPS where given. app: the origin of the web application. clients: more of them.
const options = { app: 'https://localhost:8443', clients: [], ...JSON.parse(process.argv[2] ?? '{}') };
const secure = options.certificate !== undefined;

const AUDIENCE = 'https://api.test';
const SCOPES = ['api:read', 'api:write', 'trips:read', 'trips:write'];
const jwt = (alg, more) => ({
  scope: SCOPES.join(' '), audience: AUDIENCE, accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg } }, ...more,
});
// What a client names as `resource` decides the form of its access token (RFC 8707).
const RESOURCES = {
  'urn:api:rs256': jwt('RS256'),
  'urn:api:ps256': jwt('PS256'),
  'urn:api:es256': jwt('ES256'),
  'urn:api:eddsa': jwt('EdDSA'),
  'urn:api:short': jwt('ES256', { accessTokenTTL: 2 }),
  'urn:api:other': jwt('ES256', { audience: 'https://elsewhere.test' }),
  'https://api.example.com/trips': jwt('ES256', { audience: 'https://api.example.com/trips' }),
  'https://api.example.com/hotels': jwt('ES256', { audience: 'https://api.example.com/hotels' }),
  'urn:api:opaque': { scope: SCOPES.join(' '), audience: AUDIENCE, accessTokenTTL: 600, accessTokenFormat: 'opaque' },
};
const ROLES = { admin: ['admin'], m2m: ['service'] };
// Who logs in with a second factor. Anyone may log in, with any password.
const acr = (account) => (account?.endsWith('-strong') ? 'phr' : '1');

const ALGORITHMS = ['RS256', 'PS256', 'ES256', 'EdDSA'];
let generation = 0;
let keys = [];
async function rotate(algorithms) {
  generation += 1;
  const fresh = algorithms.map(async (alg) => {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    return { ...(await exportJWK(privateKey)), alg, kid: `${alg}-${generation}`, use: 'sig' };
  });
  // The provider signs with the first that fits.
  keys = [...(await Promise.all(fresh)), ...keys];
}
function retire() {
  keys = ALGORITHMS.map((alg) => keys.find((key) => key.alg === alg));
}

const secret = (client_id, more) => ({
  client_id, client_secret: `${client_id}-secret`, redirect_uris: [], response_types: [], grant_types: ['client_credentials'], ...more,
});
const login = (client_id, redirect_uri, more) => ({
  client_id, redirect_uris: [redirect_uri], response_types: ['code'], grant_types: ['authorization_code', 'refresh_token'], ...more,
});
const configuration = () => ({
  jwks: { keys },
  clients: [
    secret('m2m'),
    // Introspects and revokes.
    secret('gateway', { grant_types: [] }),
    secret('m2m-mtls', { tls_client_certificate_bound_access_tokens: true }),
    login('spa', 'http://127.0.0.1:9/callback', { token_endpoint_auth_method: 'none', application_type: 'native' }),
    // Envoy's `oauth2` filter.
    login('web', `${options.app}/callback`, {
      client_secret: 'web-secret', token_endpoint_auth_method: 'client_secret_post', post_logout_redirect_uris: [`${options.app}/`],
    }),
    ...options.clients,
  ],
  scopes: ['openid', 'offline_access', ...SCOPES],
  claims: { openid: ['sub'], acr: null, auth_time: null },
  acrValues: ['1', 'phr'],
  pkce: { required: () => true },
  cookies: { keys: ['a key for cookies, as these tests need no secret one'] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  // In access tokens.
  extraTokenClaims({ oidc }, { accountId, clientId }) {
    const { authTime } = oidc.entities.AuthorizationCode ?? oidc.entities.RefreshToken ?? {};
    const user = accountId && { acr: acr(accountId), auth_time: authTime };
    return { roles: ROLES[accountId ?? clientId] ?? ['reader'], tenant: 't1', ...user };
  },
  features: {
    clientCredentials: { enabled: true },
    // Forms for login and consent.
    devInteractions: { enabled: true },
    dPoP: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: () => true },
    mTLS: {
      enabled: true,
      certificateBoundAccessTokens: true,
      getCertificate: ({ req }) => {
        const raw = req.socket.getPeerCertificate?.()?.raw;
        return raw && `-----BEGIN CERTIFICATE-----\n${raw.toString('base64')}\n-----END CERTIFICATE-----`;
      },
    },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'urn:api:es256',
      useGrantedResource: () => true,
      getResourceServerInfo(_, resource) {
        if (!(resource in RESOURCES)) throw new Error(`no resource ${resource}`);
        return RESOURCES[resource];
      },
    },
  },
});

// Each answers a request for what can be told to misbehave in place of the provider.
const MODES = {
  ok: undefined,
  404: (_, response) => response.writeHead(404).end('gone'),
  garbage: (_, response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{"keys": [{"kty": \u0000'),
  '10mb': (_, response) => response.writeHead(200, { 'content-type': 'application/json' })
    .end(`{"keys": [], "padding": "${'x'.repeat(10_000_000)}"}`),
  redirect: (request, response) => response.writeHead(302, { location: `${request.url}?elsewhere` }).end(),
  // A good answer, late.
  late: (request, response) => setTimeout(() => provider(request, response), 700),
  // Takes the request and says nothing.
  slow: () => {},
  // As if nobody listened.
  down: (request) => request.socket.destroy(),
  // Another issuer's document.
  issuer: (_, response) => response.writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ issuer: 'https://evil.test', jwks_uri: `${issuer}/jwks` })),
};
const counted = {
  '/jwks': 'jwks',
  '/.well-known/openid-configuration': 'discovery',
  '/.well-known/oauth-authorization-server': 'metadata',
  '/token/introspection': 'introspection',
};
const count = { jwks: 0, discovery: 0, metadata: 0, introspection: 0 };
const mode = { jwks: 'ok', discovery: 'ok', metadata: 'ok', introspection: 'ok' };

let issuer;
let provider;
// A provider's keys are fixed, so new keys are a new provider. Grants and tokens live on: their store is the process's.
function renew() {
  const next = new Provider(issuer, configuration());
  next.on('server_error', (_, error) => console.error(error));
  provider = next.callback();
}

const TEST = {
  'POST /test/rotate': async (query) => {
    await rotate(query.has('alg') ? query.getAll('alg') : ALGORITHMS);
    renew();
  },
  'POST /test/retire': () => { retire(); renew(); },
  'POST /test/mode': (query) => {
    for (const [what, how] of query) {
      if (!(what in mode) || !(how in MODES)) throw new Error(`no mode ${what}=${how}`);
      mode[what] = how;
    }
  },
  'GET /test/count': () => {},
};

async function serve(request, response) {
  const { pathname, searchParams } = new URL(request.url, issuer);
  const command = TEST[`${request.method} ${pathname}`];
  if (command) {
    try {
      await command(searchParams);
      response.end(JSON.stringify({ ...count, kids: keys.map(({ kid }) => kid) }));
    } catch (error) {
      response.writeHead(400).end(String(error));
    }
    return;
  }
  const what = counted[pathname];
  if (what) {
    // Bodies are read as they come.
    if (request.headers['accept-encoding'] !== 'identity') return response.writeHead(406).end();
    count[what] += 1;
    // Not from the followed redirect, which must not happen: a good answer there would hide that it did.
    const instead = searchParams.has('elsewhere') ? undefined : MODES[mode[what]];
    if (instead) return instead(request, response);
  }
  provider(request, response);
}

const server = secure
  ? https.createServer({ cert: options.certificate, key: options.key, requestCert: true, rejectUnauthorized: false }, serve)
  : http.createServer(serve);
server.listen(0, '127.0.0.1', async () => {
  const { port } = server.address();
  issuer = secure ? `https://localhost:${port}` : `http://127.0.0.1:${port}`;
  await rotate(ALGORITHMS);
  renew();
  console.log(`ready ${issuer}`);
});
// Whoever started it holds the other end, and is gone when it closes.
process.stdin.resume().on('end', () => process.exit());
