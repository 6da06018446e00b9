// A user in a browser: `node browser.mjs APP`, APP being an origin. Logs in, looks, calls the API, logs out, and prints
// what there was to see as JSON. It judges nothing.
import { launch } from './chromium.mjs';

const app = process.argv[2];
const browser = await launch();
const seen = {};
try {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  context.setDefaultTimeout(15_000);
  const page = await context.newPage();
  const visited = [];
  page.on('framenavigated', (frame) => visited.push(frame.url()));

  const ask = async (path, options) => {
    const response = await context.request.fetch(`${app}${path}`, { maxRedirects: 0, ...options });
    return { status: response.status(), headers: response.headers(), body: await response.text() };
  };
  // As the application's own script would.
  const script = (path, options) => page.evaluate(async ([path, options]) => {
    const response = await fetch(path, { redirect: 'manual', ...options });
    return { status: response.status, body: await response.text() };
  }, [path, options]);

  seen.before = { page: await ask('/'), api: await ask('/api/trips'), health: await ask('/health') };
  await context.clearCookies();

  await page.goto(`${app}/?from=a+bookmark`);
  seen.loginUrl = page.url();
  await page.fill('input[name=login]', 'alice');
  await page.fill('input[name=password]', 'any');
  await page.click('button[type=submit]');
  await page.waitForSelector('input[name=prompt][value=consent]', { state: 'attached' });
  seen.consentText = await page.innerText('body');
  await page.click('button[type=submit]');
  await page.waitForURL(`${app}/**`);
  seen.page = { url: page.url(), body: await page.innerText('body') };
  seen.visited = visited;
  // Cookies do not tell ports apart; the identity provider's own begin with an underscore.
  seen.cookies = (await context.cookies()).filter(({ name }) => !name.startsWith('_'));
  seen.scriptCookies = await page.evaluate(() => document.cookie);
  seen.api = await script('/api/trips');
  seen.booking = await script('/api/trips', { method: 'POST', body: '{}' });

  // As another site could make the browser do it.
  const other = await context.newPage();
  await other.goto('data:text/html,<form method="post"><button>x</button></form>');
  const [posted] = await Promise.all([
    other.waitForResponse(`${app}/api/trips`),
    other.evaluate((url) => { document.forms[0].action = url; document.forms[0].submit(); }, `${app}/api/trips`),
  ]);
  seen.crossSite = { status: posted.status(), body: await posted.text() };
  await other.close();

  // A cookie that was altered, and as it was.
  const token = seen.cookies.find(({ name }) => name === 'BearerToken');
  const altered = token.value.slice(0, -2) + (token.value.endsWith('AA') ? 'BB' : 'AA');
  await context.addCookies([{ ...token, value: altered }]);
  seen.altered = { api: await ask('/api/trips'), page: await ask('/') };
  await context.addCookies([token]);
  seen.restored = await ask('/api/trips');

  await page.goto(`${app}/logout`);
  seen.logoutUrl = page.url();
  seen.left = (await context.cookies()).filter(({ name }) => !name.startsWith('_')).map(({ name }) => name);
  await page.click('button[name=logout]');
  // Back at the application, which sends whoever is not logged in to log in.
  await page.waitForSelector('input[name=login]');
  seen.afterLogout = { url: page.url(), api: await ask('/api/trips') };
} catch (error) {
  seen.error = String(error?.stack ?? error);
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
