//! What is signed of a request, and which signatures count.

use proptest::prelude::*;
use ring::hmac::{HMAC_SHA256, Key, sign};

use super::*;

const NOW: u64 = 1_800_000_000;

fn encoded(bytes: &[u8]) -> String {
    use ct_codecs::{Base64, Encoder};
    Base64::encode_to_string(bytes).unwrap()
}

/// By another implementation than the one that verifies.
fn tag(secret: u8, base: &str) -> String {
    encoded(sign(&Key::new(HMAC_SHA256, &[secret; 32]), base.as_bytes()).as_ref())
}

fn shared(id: &str, secret: u8) -> SignerKey {
    let material = KeyMaterial::Secret(SecretKey::new(&[secret; 32]));
    SignerKey { id: id.to_owned(), algorithm: Algorithm::Hs256, material }
}

/// The value of a component, as it stands in what is signed.
fn value(request: &Request, component: &str) -> Result<String, SignatureError> {
    let base = request.base(&format!("({component})"))?;
    let (line, rest) = base.split_once('\n').unwrap();
    assert_eq!(rest, format!("\"@signature-params\": ({component})"));
    Ok(line.strip_prefix(&format!("{component}: ")).unwrap().to_owned())
}

/// Sections 2.1 and 2.2.
#[test]
fn components() {
    let request = Request::new("POST", "www.Example.com", "/path?param=value&foo=bar&baz=batman&qux=")
        .header("x-ows-header", "Leading and trailing whitespace.  ")
        .header("x-ows-header", " \t ")
        .header("x-dictionary", "a=1,    b=2;x=1;y=2,   c=(a   b   c)")
        .header("cache-control", "max-age=60")
        .header("cache-control", "   must-revalidate")
        .header("x-empty-header", "")
        .header("x-tab", "a\tb")
        .header("x-latin", "caf\u{e9}")
        .header("x-break", "a\nb");
    let rows = [
        ("\"@method\"", Ok("POST")),
        ("\"@authority\"", Ok("www.example.com")),
        ("\"@scheme\"", Ok("https")),
        ("\"@target-uri\"", Ok("https://www.example.com/path?param=value&foo=bar&baz=batman&qux=")),
        ("\"@request-target\"", Ok("/path?param=value&foo=bar&baz=batman&qux=")),
        ("\"@path\"", Ok("/path")),
        ("\"@query\"", Ok("?param=value&foo=bar&baz=batman&qux=")),
        ("\"@query-param\";name=\"baz\"", Ok("batman")),
        ("\"@query-param\";name=\"qux\"", Ok("")),
        ("\"@query-param\";name=\"param\"", Ok("value")),
        ("\"host\"", Ok("www.Example.com")),
        ("\"x-ows-header\"", Ok("Leading and trailing whitespace., ")),
        ("\"x-dictionary\"", Ok("a=1,    b=2;x=1;y=2,   c=(a   b   c)")),
        ("\"cache-control\"", Ok("max-age=60, must-revalidate")),
        ("\"x-empty-header\"", Ok("")),
        ("\"x-tab\"", Ok("a\tb")),
        ("\"x-latin\"", Err(Reason::SignatureMalformed)),
        ("\"x-break\"", Err(Reason::SignatureMalformed)),
        ("\"x-absent\"", Err(Reason::SignatureMalformed)),
        ("\"X-Tab\"", Err(Reason::SignatureMalformed)),
        ("\":path\"", Err(Reason::SignatureMalformed)),
        ("\"\"", Err(Reason::SignatureMalformed)),
        ("\"@status\"", Err(Reason::SignatureMalformed)),
        ("\"@signature-params\"", Err(Reason::SignatureMalformed)),
        ("\"@Method\"", Err(Reason::SignatureMalformed)),
        ("\"@query-param\"", Err(Reason::SignatureMalformed)),
        ("\"@query-param\";name=\"other\"", Err(Reason::SignatureMalformed)),
        ("\"@query-param\";name=param", Err(Reason::SignatureMalformed)),
        ("\"@query-param\";name=\"param\";req", Err(Reason::SignatureMalformed)),
        ("\"@method\";req", Err(Reason::SignatureMalformed)),
        ("\"x-dictionary\";sf", Err(Reason::SignatureMalformed)),
        ("\"x-dictionary\";key=\"a\"", Err(Reason::SignatureMalformed)),
        ("\"x-empty-header\";bs", Err(Reason::SignatureMalformed)),
        ("\"x-empty-header\";tr", Err(Reason::SignatureMalformed)),
        ("method", Err(Reason::SignatureMalformed)),
    ];
    for (component, expected) in rows {
        let value = value(&request, component);
        assert_eq!(value.as_deref().map_err(SignatureError::reason), expected, "{component}");
    }
    let bare = Request { secure: false, ..Request::new("GET", "[2001:DB8::1]:80", "/") };
    for (component, expected) in
        [("\"@query\"", "?"), ("\"@target-uri\"", "http://[2001:db8::1]/"), ("\"@scheme\"", "http")]
    {
        assert_eq!(value(&bare, component).as_deref(), Ok(expected));
    }
    for (secure, authority, expected) in [
        (true, "a:443", "a"),
        (true, "a:80", "a:80"),
        (false, "a:443", "a:443"),
        (false, "a:80", "a"),
        (true, "a:", "a"),
        (true, "A:8443", "a:8443"),
    ] {
        let request = Request { secure, ..Request::new("GET", authority, "/") };
        assert_eq!(value(&request, "\"@authority\"").as_deref(), Ok(expected), "{authority}");
    }
}

/// Section 2.2.8: one value each, as it is encoded there.
#[test]
fn parameters_of_the_query() {
    let target = "/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&\
                  fa%C3%A7ade%22%3A%20=something&two=1&tw%6f=2&bad=%ff&=none&flag";
    let request = Request::new("GET", "www.example.com", target);
    for (name, expected) in [
        ("var", Some("this%20is%20a%20big%0Amultiline%20value")),
        ("bar", Some("with%20plus%20whitespace")),
        ("fa%C3%A7ade%22%3A%20", Some("something")),
        ("flag", Some("")),
        ("", Some("none")),
        ("fa%c3%a7ade%22%3A%20", None),
        ("two", None),
        ("bad", None),
        ("Var", None),
        ("other", None),
    ] {
        assert_eq!(
            value(&request, &format!("\"@query-param\";name=\"{name}\"")).ok().as_deref(),
            expected,
            "{name}"
        );
    }
}

fn request() -> Request {
    Request::new("GET", "api.example", "/orders?a=1").header("x-tenant", "t1")
}

/// With a signature `a` of all that counts by default, and then of these parameters.
fn signed(request: &Request, components: &str, parameters: &str, secret: u8) -> Request {
    let list = format!("({components}){parameters}");
    let base = request.base(&list).unwrap();
    request.clone().signed("a", &list, &tag(secret, &base))
}

const ALL: &str = "\"@method\" \"@authority\" \"@path\" \"@query\"";

/// What it is, who is accepted, what is sent, and why it is refused.
type Row = (&'static str, Vec<Rc<SignerSpec>>, Request, Option<SignatureError>);

/// Which signature counts, and when.
#[test]
fn signatures_that_count_and_their_neighbours() {
    let with = |change: fn(&mut SignerSpec)| {
        let mut bank = signer("bank", vec![shared("old", 1), shared("new", 2)]);
        bank.components = ["@method", "@authority", "@path", "@query"].map(str::to_owned).into();
        change(&mut bank);
        vec![Rc::new(bank), Rc::new(signer("shop", vec![shared("shop", 3)]))]
    };
    let usual = with(|_| {});
    let at = |created: u64| format!(";created={created};keyid=\"old\"");
    let of = |parameters: &str| signed(&request(), ALL, parameters, 1);
    let good = at(NOW);
    use SignatureError::*;
    let uncovered = |name: &str| Some(Uncovered(name.to_owned()));
    let rows: Vec<Row> = vec![
        ("good", usual.clone(), of(&good), None),
        ("another key", usual.clone(), signed(&request(), ALL, ";created=1800000000;keyid=\"new\"", 2), None),
        (
            "another signer",
            usual.clone(),
            signed(&request(), "", ";created=1800000000;keyid=\"shop\"", 3),
            None,
        ),
        ("the secret of another key", usual.clone(), signed(&request(), ALL, &good, 2), Some(Mismatch)),
        ("an unknown key", usual.clone(), of(";created=1800000000;keyid=\"Old\""), Some(UnknownKey)),
        ("no key", usual.clone(), of(";created=1800000000"), Some(UnknownKey)),
        ("a key that is no text", usual.clone(), of(";created=1800000000;keyid=old"), Some(UnknownKey)),
        // Times.
        ("just not too old", usual.clone(), of(&at(NOW - 330)), None),
        ("too old", usual.clone(), of(&at(NOW - 331)), Some(Expired)),
        ("just not too early", usual.clone(), of(&at(NOW + 30)), None),
        ("too early", usual.clone(), of(&at(NOW + 31)), Some(Expired)),
        ("before 1970", usual.clone(), of(&good.replace("1800000000", "-1")), Some(Expired)),
        ("over in a moment", usual.clone(), of(&format!("{good};expires={}", NOW - 30)), None),
        ("over", usual.clone(), of(&format!("{good};expires={}", NOW - 31)), Some(Expired)),
        (
            "over by its age alone",
            usual.clone(),
            of(&format!("{};expires={}", at(NOW - 331), NOW + 9)),
            Some(Expired),
        ),
        (
            "without a time",
            usual.clone(),
            of(";keyid=\"old\""),
            Some(Malformed("the signature does not say when it was made")),
        ),
        (
            "a time that is none",
            usual.clone(),
            of(";created=\"1\";keyid=\"old\""),
            Some(Malformed("a parameter that is a time is none")),
        ),
        (
            "an end that is none",
            usual.clone(),
            of(&format!("{good};expires=\"1\"")),
            Some(Malformed("a parameter that is a time is none")),
        ),
        // Algorithms.
        ("its algorithm", usual.clone(), of(&format!("{good};alg=\"hmac-sha256\"")), None),
        ("another algorithm", usual.clone(), of(&format!("{good};alg=\"ed25519\"")), Some(Algorithm)),
        ("no algorithm", usual.clone(), of(&format!("{good};alg=\"\"")), Some(Algorithm)),
        (
            "an algorithm that is no text",
            usual.clone(),
            of(&format!("{good};alg=hmac-sha256")),
            Some(Malformed("a parameter that is text is none")),
        ),
        (
            "a nonce that is no text",
            usual.clone(),
            of(&format!("{good};nonce=1")),
            Some(Malformed("a parameter that is text is none")),
        ),
        ("others", usual.clone(), of(&format!("{good};tag=\"x\";nonce=\"y\";z=1")), None),
        // What is covered.
        (
            "no method",
            usual.clone(),
            signed(&request(), "\"@authority\" \"@path\" \"@query\"", &good, 1),
            uncovered("@method"),
        ),
        (
            "no authority",
            usual.clone(),
            signed(&request(), "\"@method\" \"@path\" \"@query\"", &good, 1),
            uncovered("@authority"),
        ),
        (
            "no path",
            usual.clone(),
            signed(&request(), "\"@method\" \"@authority\" \"@query\"", &good, 1),
            uncovered("@path"),
        ),
        (
            "no query",
            usual.clone(),
            signed(&request(), "\"@method\" \"@authority\" \"@path\"", &good, 1),
            uncovered("@query"),
        ),
        (
            "one parameter",
            usual.clone(),
            signed(&request(), "\"@method\" \"@authority\" \"@path\" \"@query-param\";name=\"a\"", &good, 1),
            uncovered("@query"),
        ),
        (
            "the whole target",
            usual.clone(),
            signed(&request(), "\"@method\" \"@target-uri\"", &good, 1),
            None,
        ),
        (
            "the request's target",
            usual.clone(),
            signed(&request(), "\"@method\" \"@authority\" \"@request-target\"", &good, 1),
            None,
        ),
        (
            "the request's target alone",
            usual.clone(),
            signed(&request(), "\"@method\" \"@request-target\"", &good, 1),
            uncovered("@authority"),
        ),
        (
            "no query, for there is none",
            usual.clone(),
            signed(
                &Request::new("GET", "api.example", "/orders"),
                "\"@method\" \"@authority\" \"@path\"",
                &good,
                1,
            ),
            None,
        ),
        (
            "no query, which is empty",
            usual.clone(),
            signed(
                &Request::new("GET", "api.example", "/orders?"),
                "\"@method\" \"@authority\" \"@path\"",
                &good,
                1,
            ),
            uncovered("@query"),
        ),
        (
            "a header",
            with(|bank| bank.components.push("x-tenant".into())),
            signed(&request(), &format!("{ALL} \"x-tenant\""), &good, 1),
            None,
        ),
        ("no header", with(|bank| bank.components.push("x-tenant".into())), of(&good), uncovered("x-tenant")),
        ("a scheme", with(|bank| bank.components.push("@scheme".into())), of(&good), uncovered("@scheme")),
        (
            "a digest",
            with(|bank| bank.components.push("content-digest".into())),
            of(&good),
            uncovered("content-digest"),
        ),
        // Labels and tags.
        ("its label", with(|bank| bank.label = Some("a".into())), of(&good), None),
        ("another label", with(|bank| bank.label = Some("b".into())), of(&good), Some(UnknownKey)),
        ("its tag", with(|bank| bank.tag = Some("t".into())), of(&format!("{good};tag=\"t\"")), None),
        (
            "another tag",
            with(|bank| bank.tag = Some("t".into())),
            of(&format!("{good};tag=\"T\"")),
            Some(Tag),
        ),
        ("no tag", with(|bank| bank.tag = Some("t".into())), of(&good), Some(Tag)),
    ];
    for (what, signers, request, expected) in rows {
        assert_eq!(request.of(&signers, b"", NOW).err(), expected, "{what}: {request:?}");
    }
    // Twice the same, or one and another.
    let list = |components: &str, key: &str| format!("({components});created={NOW};keyid=\"{key}\"");
    let twice = request()
        .header(INPUT, &format!("a={}", list("\"@method\" \"@method\"", "shop")))
        .header(SIGNATURE, "a=:AA==:");
    assert_eq!(twice.of(&usual, b"", NOW).err(), Some(Malformed("a component is covered twice")));
    let beside = |other: &str| {
        let label = format!("b={}", list("", other));
        of(&good).header(INPUT, &label).header(SIGNATURE, "b=:AA==:")
    };
    assert_eq!(beside("unknown").of(&usual, b"", NOW).err(), None);
    for other in ["old", "new", "shop"] {
        assert_eq!(beside(other).of(&usual, b"", NOW).err(), Some(Ambiguous), "{other}");
    }
    assert_eq!(beside("new").of(&with(|bank| bank.label = Some("a".into())), b"", NOW).err(), None);
    assert_eq!(beside("shop").of(&usual[..1], b"", NOW).err(), None);
}

#[test]
fn what_cannot_be_read_is_malformed() {
    let signers = vec![Rc::new(signer("bank", vec![shared("k", 1)]))];
    let list = format!("();created={NOW};keyid=\"k\"");
    let base = request().base(&list).unwrap();
    let (input, signature) = (format!("a={list}"), format!("a=:{}:", tag(1, &base)));
    let of = |input: &[&str], signature: &[&str]| {
        let request = input.iter().fold(request(), |request, line| request.header(INPUT, line));
        let request = signature.iter().fold(request, |request, line| request.header(SIGNATURE, line));
        request.of(&signers, b"", NOW).err().map(|error| error.reason())
    };
    let malformed = Some(Reason::SignatureMalformed);
    assert_eq!(of(&[&input], &[&signature]), None);
    for (inputs, signatures, expected) in [
        (&[&*input, "b=()"][..], &[&*signature][..], None),
        (&[&input], &["b=:AA==:", &signature], None),
        (&["b=();keyid=\"k\""], &[&signature], malformed),
        (&[], &[&signature], malformed),
        (&[&input], &[], malformed),
        (&[&input, &input], &[&signature], malformed),
        (&[&input], &[&signature, &signature], malformed),
        (&[&input, "b=1"], &[&signature], malformed),
        (&[&input, "b="], &[&signature], malformed),
        (&[&input], &[&signature.replace("a=", "A=")], malformed),
        (&[&input], &[&signature.replace("a=", "b=")], malformed),
        (&[&input], &[&signature.replace("=:", "=(:").replace(":)", ":")], malformed),
        (&[&input], &["a=\"AA==\""], malformed),
        (&[&input], &["a=()"], malformed),
        (&[&input], &["a"], malformed),
        (&[&input, &format!("b={}", "x".repeat(8192))], &[&signature], malformed),
        (&["a"], &[&signature], malformed),
        (&[""], &[&signature], malformed),
    ] {
        assert_eq!(of(inputs, signatures), expected, "{inputs:?} {signatures:?}");
    }
}

/// RFC 9530, with the digests of its appendix D.
#[test]
fn digests_of_bodies() {
    let signers = vec![Rc::new(signer("bank", vec![shared("k", 1)]))];
    let sha256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    let sha512 =
        "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    let body = b"{\"hello\": \"world\"}\n";
    let of = |digests: &[&str], body: &[u8]| {
        let request = digests.iter().fold(request(), |request, line| request.header("content-digest", line));
        signed(&request, "\"content-digest\"", &format!(";created={NOW};keyid=\"k\""), 1)
            .of(&signers, body, NOW)
            .err()
    };
    let wrong = sha256.replace("RK", "RL");
    for (digests, expected) in [
        (&[sha256][..], None),
        (&[sha512], None),
        (&[sha256, sha512], None),
        (&[&format!("md5=:AA==:, {sha256}, x")], None),
        (&[&wrong], Some("the body has another digest")),
        (&[&wrong, sha512], Some("the body has another digest")),
        (&[&sha256.replace("256", "512")], Some("the body has another digest")),
        (&[&sha256.to_uppercase()], Some("content-digest cannot be read")),
        (&["md5=:AA==:"], Some("content-digest has neither sha-256 nor sha-512")),
        (&["sha-256"], Some("content-digest has a digest that is none")),
        (&["sha-256=\"RK\"", sha512], Some("content-digest has a digest that is none")),
        (&[sha256, sha256], Some("content-digest cannot be read")),
        (&["", sha256], Some("content-digest cannot be read")),
    ] {
        let refused = of(digests, body);
        assert!(refused.iter().all(|error| error.reason() == Reason::ContentDigestInvalid));
        assert_eq!(refused.map(|error| error.to_string()).as_deref(), expected, "{digests:?}");
    }
    assert_eq!(of(&[sha256], &body[1..]), Some(SignatureError::DigestMismatch));
    // Of nothing, too, there is a digest.
    assert_eq!(of(&[sha256], b""), Some(SignatureError::DigestMismatch));
    assert_eq!(of(&["sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"], b""), None);
}

proptest! {
    /// Whatever a client sends, a signature counts only if its key made it.
    #[test]
    fn what_nobody_signed_is_refused(input in "[ -~\t]{0,60}", list in "(\"[@a-z;\" -]{0,12}\" ?){0,3}", signature in "[ -~]{0,40}") {
        let signers = vec![Rc::new(signer("bank", vec![shared("k", 1)]))];
        let known = format!("a=({list});created={NOW};keyid=\"k\"");
        for input in [&input, &known] {
            for signature in [&signature, "a=:AA==:"] {
                let request = request().header(INPUT, input).header(SIGNATURE, signature);
                prop_assert!(request.of(&signers, b"", NOW).is_err());
            }
        }
    }

    /// What is signed can be read in one way: another list or another value makes another text.
    #[test]
    fn no_two_requests_have_one_base(
        one in prop::collection::vec("[ -~]{0,6}", 2),
        other in prop::collection::vec("[ -~]{0,6}", 2),
        lists in prop::collection::vec(prop::sample::select(vec!["(\"x\")", "(\"x\" \"y\")", "(\"y\" \"x\")", "(\"y\")"]), 2),
    ) {
        let of = |values: &[String], list: &str| {
            request().header("x", &values[0]).header("y", &values[1]).base(list).unwrap()
        };
        let covered = |values: &[String], list: &str| {
            let value = |name: &str, value: &str| list.contains(name).then(|| value.trim().to_owned());
            (value("x", &values[0]), value("y", &values[1]))
        };
        let (first, second) = (of(&one, lists[0]), of(&other, lists[1]));
        let are_same = lists[0] == lists[1] && covered(&one, lists[0]) == covered(&other, lists[1]);
        prop_assert_eq!(first == second, are_same);
    }
}
