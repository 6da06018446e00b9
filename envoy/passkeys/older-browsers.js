// For browsers before Chrome 129, Firefox 124 and Safari 18.4: what portcullis-passkeys.js uses and they lack. To be
// imported before it. Apache-2.0.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const base64url = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

const withId = (item) => ({ ...item, id: bytes(item.id) });
const options = (json) => ({
  ...json,
  challenge: bytes(json.challenge),
  ...(json.user && { user: withId(json.user) }),
  ...(json.excludeCredentials && { excludeCredentials: json.excludeCredentials.map(withId) }),
  ...(json.allowCredentials && { allowCredentials: json.allowCredentials.map(withId) }),
});

/** WebAuthn Level 3, 5.1, of the members that a gateway reads. */
function toJSON() {
  const { response } = this;
  const encoded = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]
    .filter((name) => response[name]?.byteLength)
    .map((name) => [name, base64url(response[name])]);
  return {
    id: this.id, rawId: this.id, type: this.type,
    clientExtensionResults: this.getClientExtensionResults(),
    response: { ...Object.fromEntries(encoded), transports: response.getTransports?.() },
  };
}

function any(signals) {
  const controller = new AbortController();
  for (const signal of signals) {
    const abort = () => controller.abort(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
  }
  return controller.signal;
}

if (globalThis.PublicKeyCredential) {
  PublicKeyCredential.parseCreationOptionsFromJSON ??= options;
  PublicKeyCredential.parseRequestOptionsFromJSON ??= options;
  PublicKeyCredential.prototype.toJSON ??= toJSON;
  AbortSignal.any ??= any;
}
