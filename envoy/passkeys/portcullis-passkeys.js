// Passkeys at a Portcullis gateway, in a browser. What each call does: portcullis-passkeys.d.ts. Pages are served what is
// made of this, portcullis-passkeys.min.js. Apache-2.0.
const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
// WebAuthn Level 3, 5.1.10. Browsers that lack it have nothing to be told.
const tell = (what, value) => PublicKeyCredential[`signal${what}`]?.(value).catch(() => {});

export const isAvailable = () => "PublicKeyCredential" in globalThis;
export const canAutofill = async () =>
  isAvailable() && !!await PublicKeyCredential.isConditionalMediationAvailable?.();

export function passkeys({
  path = "/.well-known/portcullis/webauthn/", fetch: send = (request) => fetch(request), token, confirm,
} = {}) {
  const base = new URL(path, location);
  let issued, user, running, prepared, listing;

  const isOurs = ({ url }) => new URL(url).origin === base.origin;
  const ask = async (request) => {
    const bearer = isOurs(request) && !request.headers.has("authorization") && (token ? await token() : issued);
    if (bearer) request.headers.set("authorization", `Bearer ${bearer}`);
    return send(request);
  };
  const call = async (method, place, value, headers) => {
    const json = value && { body: JSON.stringify(value), headers: { ...headers, "content-type": "application/json" } };
    const response = await ask(new Request(new URL(place, base), { method, ...json }));
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    const { status } = response, { title = `status ${status}`, reason } = answer;
    throw Object.assign(new Error(title), { name: "PasskeyError", status, reason });
  };

  // Half of the time that options have is the user's; in the other half a ceremony may begin with them.
  const options = async (what, value, headers) => {
    const asked = Date.now();
    const json = await call("POST", `${what}/options`, value, headers);
    return { json, left: () => asked + json.timeout / 2 - Date.now() };
  };
  // They serve autofill and a click alike, and one ceremony that ends.
  const prepare = async () => {
    const kept = await prepared?.catch(() => {});
    return kept?.left() > 0 ? kept : (prepared = options("authentication", {}));
  };
  // A page can have one ceremony at a time, and autofill is one.
  const begin = () => {
    running?.abort();
    return (running = new AbortController()).signal;
  };
  const touch = async (verb, publicKey, mediation, ...signals) => {
    const signal = AbortSignal.any(signals.filter(Boolean));
    return (await navigator.credentials[verb]({ publicKey, mediation, signal })).toJSON();
  };
  const get = (json, ...rest) => touch("get", PublicKeyCredential.parseRequestOptionsFromJSON(json), ...rest);

  const list = async () => {
    const mine = listing = {};
    const { credentials, rpId, userId } = await call("GET", "credentials");
    const allAcceptedCredentialIds = credentials.map(({ id }) => id);
    // The gateway says whose list it is. One that is older than a passkey made here would have the browser hide that.
    if (userId && mine === listing) tell("AllAcceptedCredentials", { rpId, userId, allAcceptedCredentialIds });
    return credentials;
  };
  const refresh = () => void list().catch(() => {});

  const register = async ({ label, enrolmentCode, mediation, signal } = {}) => {
    const mine = begin();
    const { json } = await options("registration", { enrolmentCode, mediation });
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
    const made = await touch("create", publicKey, mediation, mine, signal);
    listing = undefined;
    return call("POST", "registration", { ...made, label, enrolmentCode });
  };

  const signIn = async ({ autofill, signal } = {}) => {
    const mine = begin();
    const { json, left } = await prepare();
    const end = autofill && AbortSignal.timeout(Math.max(left(), 0));
    let made;
    try {
      made = await get(json, autofill ? "conditional" : "optional", mine, signal, end);
    } catch (error) {
      // The page waits longer than its options last.
      if (error === end?.reason) return signIn({ autofill, signal });
      throw error;
    }
    prepared = undefined;
    const answer = await call("POST", "authentication", made).catch((error) => {
      if (error.reason === "passkey_unknown") tell("UnknownCredential", { rpId: json.rpId, credentialId: made.id });
      throw error;
    });
    user = made.response.userHandle;
    issued = answer.access_token;
    refresh();
    return answer;
  };

  const stepUp = async (request) => {
    const { pathname, search } = new URL(request.url);
    const body = await request.clone().arrayBuffer();
    const bodyDigest = body.byteLength ? base64url(await crypto.subtle.digest("SHA-256", body)) : undefined;
    const authorization = request.headers.get("authorization");
    const operation = [
      "step-up", { method: request.method, path: pathname + search, bodyDigest }, authorization && { authorization },
    ];
    let { json, left } = await options(...operation);
    await confirm?.(request);
    if (left() < 0) ({ json } = await options(...operation));
    const made = await get(json, "optional", begin(), request.signal);
    return base64url(new TextEncoder().encode(JSON.stringify(made)));
  };

  const attempt = async (request, again) => {
    const response = await ask(request.clone());
    const problem = response.status === 401 && isOurs(request) && await response.clone().json().catch(() => {});
    const where = problem?.passkeyOptions;
    if (where?.endsWith("/step-up/options")) {
      request.headers.set("portcullis-passkey", await stepUp(request));
      return ask(request);
    }
    if (!where || again) return response;
    const before = user;
    await signIn({ signal: request.signal });
    // What one user asked for must not be done as another.
    return before && before !== user ? response : attempt(request, true);
  };

  return {
    prepare: async () => void await prepare(),
    register, signIn, stepUp, list,
    fetch: async (input, init) => attempt(new Request(input, init)),
    rename: (id, label) => call("PATCH", `credentials/${id}`, { label }),
    remove: async (id) => {
      await call("DELETE", `credentials/${id}`);
      refresh();
    },
    signOut: async () => {
      issued = user = undefined;
      await call("POST", "sign-out");
    },
  };
}
