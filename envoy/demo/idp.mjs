// The demo's issuer as an authorization server: `oidc-provider`, with the keys and the name that the demo's policy knows,
// so that its tokens pass there as those of `demo token` do. Anyone may log in, with any password.
// Settings are those of envoy/docker-compose.yaml.
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { exportJWK, importPKCS8 } from 'jose';
import { Provider } from 'oidc-provider';

const { PORTCULLIS_DEMO_DIR: demo, PORTCULLIS_BIND: host, PORTCULLIS_IDP_PORT: port, PORTCULLIS_LOGIN_PORT } = process.env;
const app = `https://localhost:${PORTCULLIS_LOGIN_PORT}`;
const read = (name) => readFileSync(`${demo}/${name}`, 'utf8');
// Made at set-up; Envoy reads the same file.
const secret = JSON.parse(read('client-secret.yaml')).resources[0].generic_secret.secret.inline_string;

const signingKey = async (alg) => {
  const key = await importPKCS8(read(`issuer-${alg.toLowerCase()}-key.pem`), alg, { extractable: true });
  return { ...(await exportJWK(key)), alg, kid: `demo-${alg.toLowerCase()}`, use: 'sig' };
};
// APIs, by what a client names as `resource` (RFC 8707), with their scopes.
const RESOURCES = {
  'https://api.example/orders': 'orders:read orders:write',
  'https://api.example.com/trips': 'trips:read trips:write',
};
// By name; everybody else is a viewer.
const ROLES = { bob: ['admin'], batch: ['editor'] };

const provider = new Provider('https://issuer.example', {
  jwks: { keys: await Promise.all(['ES256', 'RS256'].map(signingKey)) },
  clients: [
    // A machine.
    { client_id: 'batch', client_secret: secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
    // Envoy's `oauth2` filter, for users with a browser.
    {
      client_id: 'web', client_secret: secret, token_endpoint_auth_method: 'client_secret_post',
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
      redirect_uris: [`${app}/callback`], post_logout_redirect_uris: [`${app}/`],
    },
  ],
  scopes: ['openid', 'offline_access', ...Object.values(RESOURCES).flatMap((scopes) => scopes.split(' '))],
  ttl: { ClientCredentials: 600 },
  pkce: { required: () => true },
  cookies: { keys: [secret] },
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  extraTokenClaims: (_, { accountId, clientId }) => ({ roles: ROLES[accountId ?? clientId] ?? ['viewer'] }),
  features: {
    clientCredentials: { enabled: true },
    // Forms for login and consent.
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://api.example/orders',
      useGrantedResource: () => true,
      getResourceServerInfo(_, resource) {
        if (!(resource in RESOURCES)) throw new Error(`no resource ${resource}`);
        const scope = RESOURCES[resource];
        return { scope, audience: resource, accessTokenTTL: 600, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
      },
    },
  },
});
provider.on('server_error', (_, error) => console.error(error));

https.createServer({ cert: read('server.pem'), key: read('server-key.pem') }, provider.callback()).listen(Number(port), host, () => {
  console.log(`idp: the authorization server is up: https://localhost:${port}`);
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
