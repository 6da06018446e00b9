//! Every name that the policy knows, in every spelling and place where some server may find it, with a forged value.

use super::bases::{FORGED, FORGED_ENCODED, OVERRIDING, VOUCHED_FOR};
use crate::harness::request::Request;

/// Where a piece is added, as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Header(String, Vec<u8>),
    /// Two lines, each with a name of its own.
    Headers([(String, Vec<u8>); 2]),
    /// A part of the cookie line: before or after what is there.
    Cookie(Vec<u8>),
    /// A cookie line of its own.
    CookieLine(Vec<u8>),
    /// A part of the query: before or after what is there.
    Query(Vec<u8>),
    /// Instead of the path.
    Path(String),
}

impl Piece {
    /// `first`: before what the request has of the same kind.
    pub(crate) fn put(&self, request: &mut Request, first: bool) {
        let headers = &mut request.headers;
        let add = |headers: &mut Vec<(String, Vec<u8>)>, header| {
            if first { headers.insert(0, header) } else { headers.push(header) }
        };
        match self {
            Self::Header(name, value) => add(headers, (name.clone(), value.clone())),
            Self::Headers(lines) => lines.iter().cloned().for_each(|line| add(headers, line)),
            Self::Cookie(text) => match headers.iter_mut().find(|(name, _)| name == "cookie") {
                Some((_, line)) if first => *line = [text, &b"; "[..], line].concat(),
                Some((_, line)) => *line = [line, &b"; "[..], text].concat(),
                None => headers.push(("cookie".to_owned(), text.clone())),
            },
            Self::CookieLine(text) => add(headers, ("cookie".to_owned(), text.clone())),
            Self::Path(path) => {
                let query = request.target.find('?').map_or("", |at| &request.target[at..]);
                request.target = format!("{path}{query}");
            }
            Self::Query(text) => {
                // The wire is bytes; every byte of a query here is one character.
                let text: String = text.iter().map(|byte| char::from(*byte)).collect();
                request.target = match request.target.split_once('?') {
                    Some((path, query)) if first => format!("{path}?{text}&{query}"),
                    Some((path, query)) => format!("{path}?{query}&{text}"),
                    None => format!("{}?{text}", request.target),
                };
            }
        }
    }
}

const IDENTITY: [&str; 6] = [
    "x-portcullis-subject",
    "x-portcullis-kind",
    "x-portcullis-scopes",
    "x-portcullis-roles",
    "x-portcullis-rule",
    "x-tenant",
];
/// RFC 9110 section 5.6.2: whatever else a header's name may hold.
const TOKEN_MARKS: &[u8] = b"!#$%&'*+-.^_`|~";
/// White space to some, in one encoding or another, and what is none.
const BEYOND_ASCII: [&[u8]; 8] =
    [b"\x80", b"\x85", b"\xa0", b"\xff", b"\xc2\xa0", b"\xe2\x80\x83", b"\xe3\x80\x80", b"\xef\xbb\xbf"];

/// `prefix` is where requests go, and what an upstream may be told to cut off.
pub(crate) fn all(prefix: &str) -> Vec<Piece> {
    let mut pieces = paths(prefix);
    for name in IDENTITY {
        headers(name, &[FORGED.into()], &mut pieces);
    }
    for name in OVERRIDING {
        let value = match name {
            _ if name.ends_with("script-name") => prefix.to_owned(),
            _ if name.contains("ur") => format!("/{FORGED}"),
            _ => FORGED.to_owned(),
        };
        headers(name, &[value.into()], &mut pieces);
    }
    headers("host", &[format!("{FORGED}.test").into()], &mut pieces);
    for name in VOUCHED_FOR {
        let mut spelt = Vec::new();
        headers(name, &[FORGED.into()], &mut spelt);
        let is_another =
            |piece: &Piece| !matches!(piece, Piece::Header(own, _) if own.eq_ignore_ascii_case(name));
        pieces.extend(spelt.into_iter().filter(is_another));
    }
    headers("authorization", &bearers(), &mut pieces);
    for name in ["x-jwt", "x-api-key"] {
        headers(name, &[FORGED.into(), format!("x, {FORGED}").into(), forged_jwt().into()], &mut pieces);
    }
    headers("sec-websocket-protocol", &protocols(), &mut pieces);
    headers("x-debug", &["1".into()], &mut pieces);
    for [one, other] in
        [["1", "0"], ["0", "1"], ["1", "1"], ["1", ""], ["", "1"], ["1, 0", "0"], ["0", "0,1"]]
    {
        for [name, again] in [["x-debug", "x-debug"], ["X-Debug", "x_debug"], ["x.debug", "x-debug"]] {
            pieces.push(Piece::Headers([(name.to_owned(), one.into()), (again.to_owned(), other.into())]));
        }
    }
    // HTTP/2 carries blanks at the ends.
    for value in [" 1", "1 ", "\t1\t", "  1", "\t 1", "0, 1", "1,0"] {
        pieces.push(Piece::Header("x-debug".to_owned(), value.into()));
    }
    headers("x-trace", &["1".into()], &mut pieces);
    headers("x-mode", &[FORGED.into()], &mut pieces);
    headers("x-client-id", &[b"FORGED-client".to_vec()], &mut pieces);
    for name in ["access_token", "api_key"] {
        cookies(name, &mut pieces);
    }
    for (name, value) in [
        ("access_token", FORGED),
        ("key", FORGED),
        ("debug", "1"),
        ("trace", "1"),
        ("mode", FORGED),
        ("deep-link", "1"),
    ] {
        params(name, value, &mut pieces);
    }
    pieces
}

/// Of the form of a token.
fn forged_jwt() -> String {
    format!("eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYifQ.eyJzdWIiOiJyb290In0.{FORGED}")
}

fn bearers() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> =
        ["Bearer ", "bearer ", "BEARER  ", "Bearer\t", "Basic eDp5, Bearer ", ", Bearer "]
            .iter()
            .flat_map(|scheme| {
                [format!("{scheme}{FORGED}").into(), format!("{scheme}{}", forged_jwt()).into()]
            })
            .collect();
    values.extend([&b"\xa0Bearer FORGED"[..], b"\x85Bearer FORGED", b"Bearer\xa0FORGED"].map(<[u8]>::to_vec));
    values
}

/// Among those that a client offers when it opens a WebSocket.
fn protocols() -> Vec<Vec<u8>> {
    let within = format!("base64url.bearer.authorization.k8s.io.{FORGED_ENCODED}");
    let mut values: Vec<Vec<u8>> =
        ["bearer, ", "bearer,", "Bearer,\t", "chat, bearer, ", "bearer, , ", "bearer,, "]
            .iter()
            .map(|before| format!("{before}{FORGED}").into())
            .collect();
    values.extend(
        [within.clone(), format!("chat, {within}"), format!("bearer, {FORGED}, chat")]
            .map(String::into_bytes),
    );
    values
}

fn headers(name: &str, values: &[Vec<u8>], pieces: &mut Vec<Piece>) {
    let title: String =
        name.split('-').map(|part| part[..1].to_ascii_uppercase() + &part[1..]).collect::<Vec<_>>().join("-");
    let mut spellings = vec![name.to_owned(), name.to_ascii_uppercase(), title];
    for mark in TOKEN_MARKS.iter().map(|mark| char::from(*mark).to_string()) {
        spellings.push(name.replace('-', &mark));
        spellings.push(name.replacen('-', &mark, 1));
    }
    spellings.sort();
    spellings.dedup();
    for spelling in spellings {
        pieces.extend(values.iter().map(|value| Piece::Header(spelling.clone(), value.clone())));
    }
}

/// Bytes that may stand in a header's value, and sequences of them.
fn marks() -> Vec<Vec<u8>> {
    let mut marks: Vec<Vec<u8>> = (b' '..=b'~')
        .filter(|byte| !byte.is_ascii_alphanumeric())
        .chain([b'\t'])
        .map(|byte| vec![byte])
        .collect();
    marks.extend(BEYOND_ASCII.map(<[u8]>::to_vec));
    marks
}

fn cookies(name: &str, pieces: &mut Vec<Piece>) {
    let (before, after) = name.split_once('_').unwrap();
    let mut add = |parts: &[&[u8]]| pieces.push(Piece::Cookie(parts.concat()));
    let (name, value) = (name.as_bytes(), FORGED.as_bytes());
    for mark in &marks() {
        add(&[before.as_bytes(), mark, after.as_bytes(), b"=", value]);
        add(&[mark, name, b"=", value]);
        add(&[name, mark, b"=", value]);
        add(&[name, b"=", mark, value]);
        add(&[b"x=1", mark, name, b"=", value]);
        add(&[b"x=1;", mark, name, b"=", value]);
        add(&[b"x", mark, name, b"=", value]);
    }
    pieces.push(Piece::Cookie(b"other".to_vec()));
    pieces.push(Piece::CookieLine(b"other=1".to_vec()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let name = text(name);
    let first_encoded = format!("%{:02x}{}", name.as_bytes()[0], &name[1..]);
    let upper = name.to_ascii_uppercase();
    for cookie in [
        format!("{name}={FORGED}"),
        format!("{name}=\"{FORGED}\""),
        format!("{name}=\"{FORGED}"),
        format!("\"{name}\"={FORGED}"),
        format!("{name}[]={FORGED}"),
        format!("{name}[x]={FORGED}"),
        format!("{name}[x={FORGED}"),
        format!("{before}[{after}]={FORGED}"),
        format!("{name}.x={FORGED}"),
        format!("{}={FORGED}", name.replace('_', "%5F")),
        format!("{first_encoded}={FORGED}"),
        format!("{upper}={FORGED}"),
        format!("x=\"; {name}={FORGED}; y=\""),
        format!("x=\"\\\"; {name}={FORGED}; y=\""),
        format!("x=\"; {name}={FORGED}"),
        format!("x=\"a\" {name}={FORGED}"),
        format!("$Version=1; {name}={FORGED}; $Path=/"),
        format!("$Version=1, {name}={FORGED}"),
        format!("{name}={FORGED}; {name}={FORGED}"),
        format!("={name}={FORGED}"),
        format!(";;{name}={FORGED}"),
        format!("x; {name}={FORGED}"),
        format!("x {name}={FORGED}"),
        format!("x=1\t{name}={FORGED}"),
        format!("x=a b c {name}={FORGED} d"),
        format!("expires=Wed, 09 Jun 2021 10:18:14 GMT {name}={FORGED}"),
    ] {
        pieces.push(Piece::Cookie(cookie.clone().into()));
        pieces.push(Piece::CookieLine(cookie.into()));
    }
}

fn params(name: &str, value: &str, pieces: &mut Vec<Piece>) {
    let mut add = |text: String| pieces.push(Piece::Query(text.into()));
    let parts = name.split_once(['_', '-']);
    for byte in 0..=u8::MAX {
        let encoded = format!("%{byte:02x}");
        if let Some((before, after)) = parts {
            add(format!("{before}{encoded}{after}={value}"));
        }
        add(format!("{encoded}{name}={value}"));
        add(format!("{name}{encoded}={value}"));
        add(format!("{name}{encoded}x={value}"));
    }
    // Whatever may stand in a query, and what Envoy lets in beside.
    for raw in (b'!'..=b'~').filter(|byte| !byte.is_ascii_alphanumeric() && *byte != b'#').map(char::from) {
        if let Some((before, after)) = parts
            && raw != ';'
        {
            add(format!("{before}{raw}{after}={value}"));
        }
        add(format!("{raw}{name}={value}"));
        add(format!("{name}{raw}={value}"));
        add(format!("x=1{raw}{name}={value}"));
        add(format!("x{raw}{name}={value}"));
        add(format!("{name}{raw}x={value}"));
    }
    let first = name.as_bytes()[0];
    let rest = &name[1..];
    for spelling in [
        name.to_ascii_uppercase(),
        format!("{}{rest}", name[..1].to_ascii_uppercase()),
        format!("%{first:02x}{rest}"),
        format!("%{first:02X}{rest}"),
        format!("%25{first:02x}{rest}"),
        format!("%u00{first:02x}{rest}"),
        format!("{name}[]"),
        format!("{name}[0]"),
        format!("{name}[x][y]"),
        format!("{name}[]["),
        format!("{name}%5B%5D"),
        format!("{name}%5Bx%5D"),
        format!("{name}.x.y"),
        format!("{name}[.x]"),
        format!("{name} %20").replace(' ', "+"),
        format!("++{name}"),
        format!("%20+{name}"),
        format!("{name}%00[]"),
        format!("%00{name}"),
        format!("&&{name}"),
    ] {
        add(format!("{spelling}={value}"));
        add(format!("{spelling}={value}&{spelling}={value}"));
    }
    add(format!("{name}={value}"));
    add(format!("{name}==1&{name}={value}"));
    add(format!("{name}=0&{name}={value}"));
    add(format!("{name}={value}&{name}=0"));
    add(format!("{name}={value};x=1"));
    add(format!("x=1&amp;{name}={value}"));
    add(format!("x={name}={value}"));
}

/// Ways from `prefix` to where nobody may go, and around it.
fn paths(prefix: &str) -> Vec<Piece> {
    let mut paths = Vec::new();
    for up in [
        "..",
        "%2e%2e",
        ".%2E",
        "%2e.",
        "..;",
        "..;x=1",
        "%2e%2e;",
        "..%00",
        "..%20",
        "..%09",
        ".. ",
        "..%0d",
        "...",
        "%c0%ae%c0%ae",
        "%ef%bc%8e%ef%bc%8e",
        "%252e%252e",
        "%u002e%u002e",
        "..%ff",
        ".",
    ] {
        for slash in ["/", "//", "%2f", "%2F", "%5c", "\\", "/./", ";/", "/;/", "%ef%bc%8f", "%c0%af"] {
            paths.push(format!("{prefix}/{up}{slash}denied/x"));
            paths.push(format!("{prefix}{slash}{up}/denied"));
        }
        paths.push(format!("{prefix}/x/{up}"));
        paths.push(format!("{prefix}/a/b/{up}/{up}/{up}/denied"));
    }
    for around in [
        "//", "/./", "/%2e/", "/%2f", "/%5c", "/\\", "/;/", "/;x/", "/%00/", "/%20/", "/.;/", "/x/..//",
        "/x/../",
    ] {
        paths.push(format!("{around}denied"));
        paths.push(format!("{around}{}/x", &prefix[1..]));
        paths.push(format!("{around}denied/..{prefix}/x"));
    }
    for end in [
        "/", "//", "/x;y", "/x%3by", "/x%00", "/x%0a", "/x%20", "/x.", "/x/.", "/x%2f", "/x\\", "/%78",
        "/x%", "/x%zz",
    ] {
        paths.push(format!("{prefix}{end}"));
    }
    paths.into_iter().map(Piece::Path).collect()
}
