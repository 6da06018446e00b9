// The demo's page: what an application has to do for passkeys.
import { canAutofill, isAvailable, passkeys } from "/passkeys/portcullis-passkeys.min.js";

const element = (id) => document.getElementById(id);
/** What says who the user is while there is no passkey: a token of the demo's issuer. */
let token;
const gateway = passkeys({ confirm, token: () => token });

/** What happened, for those who see it and those who hear it. */
function say(text, bad = false) {
  element("said").textContent = text;
  element("said").classList.toggle("bad", bad);
}

/** What an error means to whoever sits there. Nothing, where another ceremony took over. */
function explained(error) {
  switch (error.name) {
    case "AbortError": return undefined;
    case "NotAllowedError": return "The passkey was not used: it was cancelled, or it took too long.";
    case "InvalidStateError": return "This device has a passkey for you already.";
    case "PasskeyError": return `The gateway refused: ${error.message} (${error.reason ?? error.status}).`;
    default: return `It did not work: ${error.message}`;
  }
}

/** Runs what a button is for, once at a time. */
function during(button, action) {
  return async (event) => {
    event.preventDefault();
    if (button.ariaDisabled === "true") return;
    // Not `disabled`, which would take the focus from the button.
    button.ariaDisabled = "true";
    try {
      await action(event);
    } catch (error) {
      const text = explained(error);
      if (text) say(text, true);
    } finally {
      button.ariaDisabled = null;
    }
  };
}

function onSubmit(id, action) {
  const form = element(id);
  form.addEventListener("submit", during(form.querySelector("[type=submit]"), () => action(new FormData(form))));
}

function onClick(button, action) {
  button.addEventListener("click", during(button, action));
}

/** Whether the user said yes; the name, where one was asked for. */
function ask({ title, text, yes, name }) {
  const dialog = element("question");
  element("question-title").textContent = title;
  element("question-text").textContent = text;
  element("question-answer").hidden = name === undefined;
  element("answer").required = name !== undefined;
  element("answer").value = name ?? "";
  dialog.querySelector("[value=yes]").textContent = yes;
  // Escape closes with the value of before.
  dialog.returnValue = "no";
  dialog.showModal();
  if (name !== undefined) element("answer").select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "yes" && (name === undefined || element("answer").value));
    }, { once: true });
  });
}

/** The browser's dialog says nothing of what is confirmed, so the page does. */
async function confirm(request) {
  const { to, amount } = await request.clone().json();
  const agreed = await ask({
    title: "Confirm the transfer",
    text: `${amount} to ${to}. Your passkey confirms exactly this.`,
    yes: "Confirm with a passkey",
  });
  if (!agreed) throw new DOMException("The user declined.", "NotAllowedError");
}

// Who is signed in.

async function showSignedOut() {
  element("signed-in").hidden = true;
  element("signed-out").hidden = false;
  if (await canAutofill()) {
    gateway.signIn({ autofill: true }).then(greet, (error) => {
      if (error.name === "PasskeyError") say(explained(error), true);
    });
  } else {
    await gateway.prepare();
  }
}

async function showSignedIn(subject) {
  element("subject").textContent = subject;
  element("signed-out").hidden = true;
  element("signed-in").hidden = false;
  try {
    await showPasskeys();
  } catch (error) {
    element("passkeys").replaceChildren();
    say(`${explained(error)} Sign in again to see your passkeys.`, true);
  }
}

/** The subject of the session, which a cookie holds that no script can read: the API is asked. */
async function signedInAs() {
  const response = await fetch("/account");
  return response.ok ? (await response.json()).headers["x-portcullis-subject"] : undefined;
}

async function greet() {
  const subject = await signedInAs();
  await showSignedIn(subject);
  say(`Signed in as ${subject}.`);
  element("account-title").focus();
}

onSubmit("sign-in", async () => {
  try {
    await gateway.signIn();
  } catch (error) {
    // The click has ended autofill.
    showSignedOut();
    throw error;
  }
  await greet();
});

onSubmit("register", async (form) => {
  const label = form.get("label");
  const proof = form.get("proof").trim();
  // A token has three parts; what is none is a code.
  const isToken = proof.split(".").length === 3;
  token = isToken ? proof : undefined;
  try {
    await gateway.register({ label, enrolmentCode: isToken ? undefined : proof });
  } catch (error) {
    showSignedOut();
    throw error;
  } finally {
    token = undefined;
  }
  element("proof").value = "";
  await showSignedOut();
  say(`“${label}” is made. Sign in with it.`);
  element("sign-in").querySelector("button").focus();
});

onClick(element("sign-out"), async () => {
  await gateway.signOut();
  element("arrived").hidden = true;
  await showSignedOut();
  say("Signed out.");
  element("sign-in-title").focus();
});

// The API.

async function showArrived(response) {
  const body = await response.json();
  if (!response.ok) {
    say(`The gateway refused: ${body.title} (${body.reason}).`, true);
    return false;
  }
  const headers = Object.entries(body.headers).filter(([name]) => name.startsWith("x-portcullis-"));
  const lines = [`${body.method} ${body.path}`, ...headers.map(([name, value]) => `${name}: ${value}`), "", body.body];
  element("arrived").querySelector("pre").textContent = lines.join("\n").trim();
  element("arrived").hidden = false;
  return true;
}

onClick(element("look"), async () => {
  if (await showArrived(await gateway.fetch("/account"))) say("The account was read: your session is enough for that.");
});

onSubmit("transfer", async (form) => {
  const transfer = { to: form.get("to"), amount: form.get("amount") };
  const response = await gateway.fetch("/transfers", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(transfer),
  });
  if (await showArrived(response)) say(`${transfer.amount} went to ${transfer.to}.`);
});

// The user's passkeys.

const day = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

function described({ createdAt, lastUsedAt, backedUp }) {
  const used = lastUsedAt ? `last used ${day.format(new Date(lastUsedAt))}` : "never used";
  return `Made ${day.format(new Date(createdAt))}, ${used}, ${backedUp ? "synced" : "on this device alone"}`;
}

function entry(passkey) {
  const item = element("passkey").content.cloneNode(true);
  item.querySelector("strong").textContent = passkey.label;
  item.querySelector(".hint").textContent = described(passkey);
  const [rename, remove] = item.querySelectorAll("button");
  rename.ariaLabel = `Rename ${passkey.label}`;
  remove.ariaLabel = `Remove ${passkey.label}`;
  onClick(rename, async () => {
    const label = await ask({ title: "Rename the passkey", text: "What to call it?", yes: "Rename", name: passkey.label });
    if (label) await changed(() => gateway.rename(passkey.id, label), `It is called “${label}” now.`);
  });
  onClick(remove, async () => {
    const text = `“${passkey.label}” can never be used here again.`;
    const agreed = await ask({ title: "Remove the passkey?", text, yes: "Remove" });
    if (agreed) await changed(() => gateway.remove(passkey.id), `“${passkey.label}” is removed.`);
  });
  return item;
}

async function showPasskeys() {
  const passkeys = await gateway.list();
  element("passkeys").replaceChildren(...passkeys.map(entry));
}

async function changed(change, text) {
  await change();
  await showPasskeys();
  say(text);
  // What was pressed is gone.
  element("passkeys-title").focus();
}

onClick(element("add"), async () => {
  const label = await ask({
    title: "Make another passkey", text: "For another device, or a security key.", yes: "Make a passkey", name: "Another passkey",
  });
  if (label) await changed(() => gateway.register({ label }), `“${label}” is made.`);
});

// A link can bring the token. Nobody else is to find it: browsers do not send this part, and it is gone from the address.
const [, brought] = /^#token=([\w.-]+)$/.exec(location.hash) ?? [];
if (brought) {
  element("proof").value = brought;
  history.replaceState(null, "", location.pathname);
}

if (!isAvailable()) {
  element("unavailable").hidden = false;
} else {
  const subject = await signedInAs();
  await (subject ? showSignedIn(subject) : showSignedOut());
}
