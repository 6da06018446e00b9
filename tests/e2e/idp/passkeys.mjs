// A browser with authenticators, which does what it is told: `node passkeys.mjs CERTIFICATE PORT`. Of certificates that no
// authority vouches for it accepts the one in that file (PEM) alone; every host below `test` is that port of this machine.
// A line of standard input is a step, as JSON:
// {"do": NAME, ..}; a line of standard output says what came of it: {"result": ..} or {"error": {"name", "message"}}.
// It judges nothing.
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import readline from 'node:readline';
import { launch } from './chromium.mjs';

const [certificate, port] = process.argv.slice(2);
const { publicKey } = new X509Certificate(readFileSync(certificate));
const spki = createHash('sha256').update(publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
const browser = await launch(
  `--ignore-certificate-errors-spki-list=${spki}`,
  `--host-resolver-rules=MAP *.test 127.0.0.1:${port}`,
);
const context = await browser.newContext();
// Machines may be slow; whoever tells us what to do waits for as long as it likes.
context.setDefaultTimeout(60_000);
const page = await context.newPage();
const complaints = [];
page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
page.on('pageerror', (error) => complaints.push(String(error)));
const devtools = await context.newCDPSession(page);
await devtools.send('WebAuthn.enable');

const credentialsOf = async (authenticatorId) =>
  (await devtools.send('WebAuthn.getCredentials', { authenticatorId })).credentials;

const steps = {
  // Where the browser is.

  open: async ({ url }) => {
    const response = await page.goto(url);
    return { status: response.status(), headers: response.headers() };
  },
  /** A page of another site, or of another origin of the same one, that nobody serves. */
  openElsewhere: async ({ url }) => {
    await page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>elsewhere</title>' }));
    await page.goto(url);
  },
  cookies: () => context.cookies(),
  clearCookies: () => context.clearCookies(),
  /** What the browser itself had to say against the page. */
  complaints: () => complaints.splice(0),

  // What a script of the page can do.

  ask: ({ path, ...options }) => page.evaluate(async ([path, options]) => {
    const response = await fetch(path, options);
    return { status: response.status, headers: Object.fromEntries(response.headers), body: await response.text() };
  }, [path, options]),
  create: ({ options, mediation }) => page.evaluate(async ([json, mediation]) => {
    const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(json);
    return (await navigator.credentials.create({ publicKey, mediation })).toJSON();
  }, [options, mediation]),
  get: ({ options, mediation }) => page.evaluate(async ([json, mediation]) => {
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(json);
    return (await navigator.credentials.get({ publicKey, mediation })).toJSON();
  }, [options, mediation]),
  /** A form, as any page can send it to any other without asking. */
  submitForm: async ({ action, fields }) => {
    const [response] = await Promise.all([
      page.waitForResponse(action),
      page.evaluate(([action, fields]) => {
        const form = Object.assign(document.createElement('form'), { method: 'post', action });
        for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { name, value }));
        document.body.append(form);
        form.submit();
      }, [action, fields]),
    ]);
    return { status: response.status(), sent: await response.request().allHeaders(), body: await response.text() };
  },

  // What a user can do, and sees.

  fill: ({ label, text }) => page.getByLabel(label, { exact: true }).fill(text),
  click: ({ button }) => page.getByRole('button', { name: button, exact: true }).click(),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  /** Waits for a heading. */
  see: ({ heading }) => page.getByRole('heading', { name: heading, exact: true }).waitFor(),
  /** Waits until the page says it to screen readers, too. */
  hear: async ({ text }) => {
    await page.getByRole('status').filter({ hasText: text }).waitFor();
  },
  text: ({ selector }) => page.locator(selector).innerText(),
  texts: ({ selector }) => page.locator(selector).allInnerTexts(),
  /** What has the keyboard's focus, by its accessible name, and whether one sees that it does. */
  focus: () => page.evaluate(() => {
    const active = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(active);
    return {
      tag: active.localName,
      name: active.ariaLabel ?? active.labels?.[0]?.textContent ?? active.textContent.trim(),
      visible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    };
  }),

  // How the page looks.

  viewport: ({ width, height }) => page.setViewportSize({ width, height }),
  media: (media) => page.emulateMedia(media),
  /** By how many pixels the page is wider than the window. */
  overflow: () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  /** What axe-core finds of WCAG 2.2, A and AA, and of good practice. */
  axe: async () => {
    // From outside of the page, which takes no script of others.
    await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8'));
    const { violations, incomplete, passes } = await page.evaluate(() => axe.run());
    const told = (results) => results.map(({ id, nodes }) => ({ id, at: nodes.map(({ html, failureSummary }) => [html, failureSummary]) }));
    return { violations: told(violations), incomplete: told(incomplete), passes: passes.length };
  },
  screenshot: async ({ selector, path }) => void await page.locator(selector).screenshot({ path, animations: 'disabled' }),

  // The user's authenticators (https://chromedevtools.github.io/devtools-protocol/tot/WebAuthn).

  addAuthenticator: async (options) => {
    const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', { options: {
      protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true,
      automaticPresenceSimulation: true, ...options,
    } });
    return authenticatorId;
  },
  removeAuthenticator: async ({ authenticator }) => void await devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: authenticator }),
  /** Whether the user can show who it is. */
  setUserVerified: async ({ authenticator, verified }) =>
    void await devtools.send('WebAuthn.setUserVerified', { authenticatorId: authenticator, isUserVerified: verified }),
  /** Whether it answers without being touched. */
  setPresence: async ({ authenticator, automatic }) =>
    void await devtools.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId: authenticator, enabled: automatic }),
  /** Faults: `isBogusSignature`, `isBadUV`, `isBadUP`. */
  setFaults: async ({ authenticator, ...bits }) =>
    void await devtools.send('WebAuthn.setResponseOverrideBits', { authenticatorId: authenticator, ...bits }),
  credentials: async ({ authenticator }) =>
    (await credentialsOf(authenticator)).map(({ privateKey, ...rest }) => rest),
  /**
   * Other passkeys in the place of those that there are: `signCount`, as a copy of the authenticator would go on counting, or
   * one that forgot; `rpId`, as one that another site's pages may use.
   */
  changeCredentials: async ({ authenticator, ...changes }) => {
    for (const credential of await credentialsOf(authenticator)) {
      await devtools.send('WebAuthn.removeCredential', { authenticatorId: authenticator, credentialId: credential.credentialId });
      await devtools.send('WebAuthn.addCredential', { authenticatorId: authenticator, credential: { ...credential, ...changes } });
    }
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { do: name, ...rest } = JSON.parse(line);
  let said;
  try {
    said = { result: (await steps[name](rest)) ?? null };
  } catch (error) {
    // What a script of the page threw comes with its name in front: `page.evaluate: NotAllowedError: ..`.
    const [, thrown] = /^(?:page\.evaluate: )?(\w+): /.exec(error.message) ?? [];
    said = { error: { name: thrown ?? error.name, message: error.message } };
  }
  console.log(JSON.stringify(said));
}
await browser.close();
