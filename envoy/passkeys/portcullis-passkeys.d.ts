/** Whether the browser has passkeys at all: pages over HTTPS, and `http://localhost`, in any browser of today. */
export function isAvailable(): boolean;

/** Whether the browser offers passkeys where it fills in user names: `signIn({ autofill: true })`. */
export function canAutofill(): Promise<boolean>;

/** A page's way to a gateway's passkeys. Nothing is sent before it is asked for. */
export function passkeys(settings?: Settings): Passkeys;

export interface Settings {
  /**
   * `passkeys.path` of the policy: a path of the page's own origin, or a URL where the gateway is another one. It ends with
   * `/`. Without it, `/.well-known/portcullis/webauthn/`.
   */
  path?: string;
  /**
   * Sends every request. Without it, the browser's `fetch`. A gateway of another origin whose sessions are cookies needs
   * `(request) => fetch(request, { credentials: "include" })`.
   */
  fetch?: (request: Request) => Promise<Response>;
  /**
   * The bearer token of requests to the gateway's origin that have no `Authorization` yet; no other origin gets it.
   * Without it, the token of the last `signIn`, which is kept in memory alone; with a session in a cookie there is none.
   */
  token?: () => string | undefined | Promise<string | undefined>;
  /**
   * Called before the user is asked to confirm `request`, of which the browser shows nothing. To show what will be done
   * and to wait for a click is wise: some browsers want one before each use of a passkey. What it throws ends the request.
   */
  confirm?: (request: Request) => void | Promise<void>;
}

/**
 * One ceremony runs at a time: whatever begins one ends the one before with an `AbortError`, autofill too. A user who
 * declines, or whose time runs out, is a `NotAllowedError`; what the gateway refuses is a {@link PasskeyError}.
 */
export interface Passkeys {
  /**
   * Makes a passkey. Who the user is must be known otherwise: by the token of the provider that the policy names, by a
   * session that began lately, or by an enrolment code. An authenticator that has one already is an `InvalidStateError`.
   */
  register(options?: {
    /** What the user calls it, at most 64 bytes. Without it, it has no name. */
    label?: string;
    enrolmentCode?: string;
    /** `conditional`: without asking, after a sign-in with a password that the browser filled in. */
    mediation?: "conditional";
    signal?: AbortSignal;
  }): Promise<Credential>;

  /**
   * Gets ready for `signIn`, so that a click leads to the browser's dialog at once: Safari wants it to. Called again, it
   * asks again only when what it has is about to run out. Autofill makes ready for clicks, too.
   */
  prepare(): Promise<void>;

  /**
   * Signs the user in: the access token, or, where the gateway's sessions are cookies, how long this one lasts.
   *
   * With `autofill`, waits until the user picks a passkey in a field with `autocomplete="username webauthn"`, for as long
   * as the page is open; it is to be called again after another ceremony.
   *
   * A passkey that no account of the gateway has (`passkey_unknown`), and no other, browsers are told to forget.
   */
  signIn(options?: { autofill?: boolean; signal?: AbortSignal }): Promise<Session>;

  /**
   * `fetch`, for requests that may need a passkey. Where a rule wants one for this very request, the user is asked, and it
   * is sent once more with what the user confirmed; where the session is too old, the user signs in and it is sent once
   * more, but not as another user. Every other answer is handed on as it is. What asks for a passkey is a 401 of the
   * gateway's own origin whose body has a `passkeyOptions`.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;

  /**
   * Has the user confirm one request: the value of its header `portcullis-passkey`. It must be sent as it is here:
   * method, path, query and body are what is confirmed, once.
   */
  stepUp(request: Request): Promise<string>;

  /**
   * The user's passkeys. Browsers that can be told (`signalAllAcceptedCredentials`) are told which there are, and hide
   * others of this user; so they are after each `signIn` and `remove`, behind your back.
   */
  list(): Promise<Credential[]>;
  rename(id: string, label: string): Promise<Credential>;
  /** Takes a passkey from the gateway, for good. */
  remove(id: string): Promise<void>;
  /** Ends the session in this browser. */
  signOut(): Promise<void>;
}

export interface Session {
  /** Absent where the session is a cookie, which no script can read. */
  access_token?: string;
  /** `DPoP`: it was asked for with a proof (RFC 9449), by the page's own `fetch`, and is to be sent by that. */
  token_type?: "Bearer" | "DPoP";
  /** Seconds. */
  expires_in: number;
}

/** A passkey as the gateway knows it. */
export interface Credential {
  /** base64url without padding, as everywhere in WebAuthn. */
  id: string;
  label: string;
  /** RFC 3339. */
  createdAt: string;
  /** RFC 3339. Absent: never. */
  lastUsedAt?: string;
  /** How the authenticator is reached, as the browser said: `internal`, `hybrid`, `usb`. */
  transports: string[];
  /** Whether it is kept elsewhere, too: it outlives the device. */
  backedUp: boolean;
  /** Whether the authenticator checked who used it, by a PIN or biometrically, when it was made. */
  userVerified: boolean;
}

/** The gateway said no. */
export interface PasskeyError extends Error {
  name: "PasskeyError";
  /** Of HTTP. */
  status: number;
  /** The code of the reason, of those in README.md. Absent where something else than the gateway answered. */
  reason?: string;
}
