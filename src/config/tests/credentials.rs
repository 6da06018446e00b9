//! `transport`, `jwt`, `apiKeys`, `identityHeaders`, `requestHeaders`.

use super::{Row, check, faults, with};

#[test]
fn transport() {
    check(&[
        Row(
            "/transport/requireTls",
            "true",
            "\"yes\"",
            &["transport.requireTls: expected true or false, found a string"],
        ),
        Row(
            "/transport/requireTls",
            "true",
            "false",
            &["transport.redirectTo: has no effect with requireTls: false"],
        ),
        Row(
            "/transport/requireTLS",
            "-",
            "true",
            &["transport.requireTLS: unknown field; did you mean \"requireTls\"?"],
        ),
        Row(
            "/transport/redirectTo",
            "\"API.example.com\"",
            "\"https://api.example.com\"",
            &[
                "transport.redirectTo: \"https://api.example.com\" is not host or host:port, as in api.example.com:8443",
            ],
        ),
        Row(
            "/transport/redirectTo",
            "\"[::1]:443\"",
            "\"api.example.com:0\"",
            &[
                "transport.redirectTo: \"api.example.com:0\" is not host or host:port, as in api.example.com:8443",
            ],
        ),
        Row(
            "/transport/forwardedProto",
            "{\"trustedHops\": 2}",
            "{\"trustedHops\": 0}",
            &["transport.forwardedProto.trustedHops: must be a whole number from 1 to 16, found 0"],
        ),
        Row("/transport/forwardedProto", "-", "{}", &["transport.forwardedProto.trustedHops: required"]),
        Row(
            "/transport/hsts/maxAge",
            "\"1s\"",
            "\"0s\"",
            &["transport.hsts.maxAge: must be from 1s to 99999h, found \"0s\""],
        ),
        Row("/transport/hsts", "-", "{\"preload\": true}", &["transport.hsts.maxAge: required"]),
        Row(
            "/transport",
            "-",
            "null",
            &["transport: expected an object, found null; leave the field out where nothing is to be said"],
        ),
    ]);
}

#[test]
fn providers() {
    check(&[
        Row(
            "/jwt/providers/0/isuer",
            "-",
            "\"x\"",
            &["jwt.providers[0].isuer: unknown field; did you mean \"issuer\"?"],
        ),
        Row("/jwt/providers/0/name", "\"corp\"", "\"\"", &["jwt.providers[0].name: must not be empty"]),
        Row(
            "/jwt/providers/1/name",
            "\"other\"",
            "\"corp\"",
            &["jwt.providers[1].name: duplicate provider \"corp\"; jwt.providers[0] is the first"],
        ),
        Row(
            "/jwt/providers/1/issuer",
            "\"https://other\"",
            "\"https://idp.example.com\"",
            &[
                "jwt.providers[1].issuer: duplicate issuer \"https://idp.example.com\"; jwt.providers[0] is the first",
            ],
        ),
        Row("/jwt/providers/0/issuer", "\"joe\"", "-", &["jwt.providers[0].issuer: required"]),
        Row(
            "/jwt/providers/0/audiences",
            "[\"a\", \"b\"]",
            "[]",
            &[
                "jwt.providers[0].audiences: no audiences; write anyAudience: true to accept tokens for any audience",
            ],
        ),
        Row(
            "/jwt/providers/0/audiences",
            "[\"a\"]",
            "-",
            &["jwt.providers[0].audiences: required; a token for another service must not open this one \
               (anyAudience: true waives it)"],
        ),
        Row(
            "/jwt/providers/0/audiences/0",
            "\"a\"",
            "\"\"",
            &["jwt.providers[0].audiences[0]: must not be empty"],
        ),
        Row(
            "/jwt/providers/0/audiences/1",
            "\"a\"",
            "\"https://api.example.com/orders\"",
            &["jwt.providers[0].audiences[1]: \"https://api.example.com/orders\" is listed twice"],
        ),
        Row(
            "/jwt/providers/0/anyAudience",
            "-",
            "true",
            &["jwt.providers[0].anyAudience: contradicts audiences; give one of them"],
        ),
        Row(
            "/jwt/providers/1/anyAudience",
            "true",
            "false",
            &["jwt.providers[1].anyAudience: only true is allowed; list audiences instead"],
        ),
        Row(
            "/jwt/providers/0/algorithms",
            "[\"PS256\", \"Ed25519\"]",
            "[]",
            &["jwt.providers[0].algorithms: no algorithms; list those that the issuer signs with"],
        ),
        Row("/jwt/providers/0/algorithms", "[\"EdDSA\"]", "-", &["jwt.providers[0].algorithms: required"]),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES384\"",
            "\"None\"",
            &["jwt.providers[0].algorithms[0]: none is never accepted: it means tokens without a signature"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES256K\"",
            "\"es256k\"",
            &["jwt.providers[0].algorithms[0]: unknown algorithm \"es256k\"; did you mean \"ES256K\"?"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES384\"",
            "\"ES512\"",
            &["jwt.providers[0].algorithms[0]: ES512 is not supported; use ES256 or ES384"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"Ed25519\"",
            "\"ed448\"",
            &["jwt.providers[0].algorithms[0]: Ed448 is not supported; use Ed25519"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES256K\"",
            "\"ES256K-R\"",
            &["jwt.providers[0].algorithms[0]: ES256K-R is not supported; use ES256K"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"PS256\"",
            "\"RSA-OAEP-256\"",
            &[
                "jwt.providers[0].algorithms[0]: \"RSA-OAEP-256\" is for encryption, which is not supported; name what tokens are signed with, as in RS256",
            ],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"RS384\"",
            "\"RS348\"",
            &["jwt.providers[0].algorithms[0]: unknown algorithm \"RS348\"; did you mean \"RS384\"?"],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES256\"",
            "\"hs256\"",
            &["jwt.providers[0].algorithms[0]: unknown algorithm \"hs256\""],
        ),
        Row(
            "/jwt/providers/0/algorithms/0",
            "\"ES256\"",
            "\"S256\"",
            &["jwt.providers[0].algorithms[0]: unknown algorithm \"S256\"; did you mean \"ES256\"?"],
        ),
        Row(
            "/jwt/providers/1/algorithms/0",
            "\"HS256\"",
            "\"S256\"",
            &["jwt.providers[1].algorithms[0]: unknown algorithm \"S256\"; did you mean \"HS256\"?"],
        ),
        Row(
            "/jwt/providers/1/algorithms/0",
            "\"HS384\"",
            "\"HS348\"",
            &["jwt.providers[1].algorithms[0]: unknown algorithm \"HS348\"; did you mean \"HS384\"?"],
        ),
        Row(
            "/jwt/providers/1/algorithms/0",
            "\"HS512\"",
            "\"ES512\"",
            &["jwt.providers[1].algorithms[0]: ES512 is not supported; use ES256 or ES384"],
        ),
        Row(
            "/jwt/providers/1/algorithms/0",
            "\"HS256\"",
            "\"es256\"",
            &["jwt.providers[1].algorithms[0]: unknown algorithm \"es256\""],
        ),
        Row(
            "/jwt/providers/0/algorithms",
            "[\"EdDSA\"]",
            "[\"EdDSA\", \"Ed25519\"]",
            &["jwt.providers[0].algorithms[1]: Ed25519 is listed twice"],
        ),
        Row(
            "/jwt/providers/0/algorithms/1",
            "\"RS512\"",
            "\"HS256\"",
            &[
                "jwt.providers[0].algorithms[1]: HS256 needs symmetricKeys and is refused together with a public key \
               set: the keys are no secret",
            ],
        ),
        Row(
            "/jwt/providers/1/algorithms/0",
            "\"HS512\"",
            "\"RS256\"",
            &["jwt.providers[1].algorithms[0]: RS256 needs jwks; symmetricKeys serve HS256, HS384 and HS512"],
        ),
        Row(
            "/jwt/providers/0/claims/roles",
            "[{\"path\": [\"https://example.com/roles\"]}, \"groups\"]",
            "[]",
            &["jwt.providers[0].claims.roles: no claims; leave the field out to mean its default"],
        ),
        Row(
            "/jwt/providers/0/claims/roles",
            "\"a.b\"",
            "\"a..b\"",
            &[
                "jwt.providers[0].claims.roles: has an empty part; write {path: [..]} for names that hold dots",
            ],
        ),
        Row(
            "/jwt/providers/0/claims/subject",
            "{\"path\": [\"a\"]}",
            "{\"path\": []}",
            &["jwt.providers[0].claims.subject.path: must name a claim"],
        ),
        Row(
            "/jwt/providers/0/claims/subject",
            "[\"sub\", {\"path\": [\"client.id\"]}]",
            "[]",
            &["jwt.providers[0].claims.subject: no claims; leave the field out to mean its default"],
        ),
        Row(
            "/jwt/providers/0/claims/roles",
            "{\"claim\": \"auth\", \"separator\": \",\"}",
            "{\"claim\": \"auth\", \"separator\": \"\"}",
            &["jwt.providers[0].claims.roles.separator: must not be empty"],
        ),
        Row(
            "/jwt/providers/0/claims/roles",
            "[\"groups\", {\"claim\": {\"path\": [\"urn:roles\"]}, \"keys\": true}]",
            "[\"groups\", {\"claim\": \"auth\", \"separator\": \",\", \"keys\": true}]",
            &[
                "jwt.providers[0].claims.roles[1]: has roles in one string or as the keys of an object; give one of separator and keys",
            ],
        ),
        Row(
            "/jwt/providers/0/claims/roles",
            "\"auth\"",
            "{\"claim\": \"auth\"}",
            &[
                "jwt.providers[0].claims.roles: says no more than the claim; write the claim alone, or give separator or keys",
            ],
        ),
        Row(
            "/jwt/providers/0/claims/malformedRoles",
            "\"Ignore\"",
            "\"Allow\"",
            &[
                "jwt.providers[0].claims.malformedRoles: \"Allow\" is not what to do with malformed roles (one of Refuse, Ignore)",
            ],
        ),
        Row(
            "/jwt/providers/0/clockSkew",
            "\"0s\"",
            "\"6m\"",
            &["jwt.providers[0].clockSkew: must be from 0s to 5m, found \"6m\""],
        ),
        Row(
            "/jwt/providers/0/clockSkew",
            "\"5m\"",
            "60",
            &[
                "jwt.providers[0].clockSkew: expected a duration such as \"500ms\", \"30s\" or \"1h30m\", found a number",
            ],
        ),
        Row(
            "/jwt/providers/0/maxTokenSize",
            "65536",
            "65537",
            &["jwt.providers[0].maxTokenSize: must be a whole number from 256 to 65536, found 65537"],
        ),
        Row(
            "/jwt/providers/0/maxTokenSize",
            "4096.0",
            "4096.5",
            &["jwt.providers[0].maxTokenSize: must be a whole number from 256 to 65536, found 4096.5"],
        ),
        Row(
            "/jwt/providers/0/maxLifetime",
            "\"1s\"",
            "\"0s\"",
            &["jwt.providers[0].maxLifetime: must be from 1s to 87600h, found \"0s\""],
        ),
        Row(
            "/jwt/providers/0/types",
            "[\"application/at+jwt\"]",
            "[]",
            &["jwt.providers[0].types: no types; leave the field out to accept JWT, at+jwt or none"],
        ),
        Row(
            "/jwt/providers",
            "[{\"name\": \"corp\", \"issuer\": \"a\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \"jwks\": {\"inline\": {\"keys\": [{}]}}}]",
            "[]",
            &[
                "jwt.providers: no providers; leave jwt out if no tokens are accepted",
                "rules[0].authenticate.anyOf[0].jwt: unknown provider \"corp\"; jwt.providers defines none",
                "rules[1].authenticate.anyOf[0].jwt: unknown provider \"corp\"; jwt.providers defines none",
            ],
        ),
    ]);
}

#[test]
fn keys_of_providers() {
    check(&[
        Row(
            "/jwt/providers/0/jwks",
            "{\"inline\": {\"keys\": [{}]}}",
            "-",
            &[
                "jwt.providers[0].jwks: required (or discovery, or symmetricKeys, or introspection): without keys nothing can be verified",
            ],
        ),
        Row(
            "/jwt/providers/0/jwks",
            "{\"inline\": {\"keys\": [{}]}}",
            "{\"inline\": {\"keys\": []}}",
            &["jwt.providers[0].jwks.inline.keys: no keys; nothing could be verified"],
        ),
        Row(
            "/jwt/providers/0/jwks",
            "{\"inline\": {\"keys\": [{}]}}",
            "{\"inline\": \"{}\"}",
            &[
                "jwt.providers[0].jwks.inline: expected a JWK set: an object with a list of keys (RFC 7517 section 5), found a string",
            ],
        ),
        Row(
            "/jwt/providers/0/jwks/inline",
            "-",
            "{\"keys\": [{}]}",
            &[
                "jwt.providers[0].jwks.uri: belongs to a remote key set and contradicts inline",
                "jwt.providers[0].jwks.cluster: belongs to a remote key set and contradicts inline",
                "jwt.providers[0].jwks.cacheDuration: belongs to a remote key set and contradicts inline",
            ],
        ),
        Row(
            "/jwt/providers/0/jwks/uri",
            "\"http://idp/jwks?x=1\"",
            "\"https://u:p@idp/jwks\"",
            &["jwt.providers[0].jwks.uri: must be a URL without user information"],
        ),
        Row(
            "/jwt/providers/0/jwks/uri",
            "\"https://idp\"",
            "\"/jwks\"",
            &["jwt.providers[0].jwks.uri: must be an absolute http or https URL"],
        ),
        Row(
            "/jwt/providers/0/jwks/cluster",
            "\"outbound|443||idp.example\"",
            "-",
            &["jwt.providers[0].jwks.cluster: required"],
        ),
        Row(
            "/jwt/providers/0/jwks",
            "{\"uri\": \"https://idp/\", \"cluster\": \"idp\"}",
            "{}",
            &["jwt.providers[0].jwks: give inline, or uri and cluster"],
        ),
        Row(
            "/jwt/providers/0/jwks/timeout",
            "\"500ms\"",
            "\"99ms\"",
            &["jwt.providers[0].jwks.timeout: must be from 100ms to 1m, found \"99ms\""],
        ),
        Row(
            "/jwt/providers/0/jwks/maxStale",
            "\"0s\"",
            "\"200h\"",
            &["jwt.providers[0].jwks.maxStale: must be from 0s to 168h, found \"200h\""],
        ),
        Row(
            "/jwt/providers/0/jwks/cacheDuraton",
            "-",
            "\"1m\"",
            &["jwt.providers[0].jwks.cacheDuraton: unknown field; did you mean \"cacheDuration\"?"],
        ),
        Row(
            "/jwt/providers/1/jwks",
            "-",
            "{\"inline\": {\"keys\": [{}]}}",
            &["jwt.providers[1].symmetricKeys: contradicts jwks; give one of them"],
        ),
        Row(
            "/jwt/providers/1/symmetricKeys",
            "[{\"secret\": \"AAAA\"}]",
            "[]",
            &["jwt.providers[1].symmetricKeys: no keys; nothing could be verified"],
        ),
        Row(
            "/jwt/providers/1/symmetricKeys/0/secret",
            "\"AAAA\"",
            "\"\"",
            &["jwt.providers[1].symmetricKeys[0].secret: must not be empty"],
        ),
        Row(
            "/jwt/providers/1/symmetricKeys/0/secret",
            "\"_-_-\"",
            "\"hunter2+/=\"",
            &[
                "jwt.providers[1].symmetricKeys[0].secret: is not base64url without padding (RFC 7515 section 2)",
            ],
        ),
        Row(
            "/jwt/providers/1/symmetricKeys/1",
            "{\"kid\": \"b\", \"secret\": \"AAAA\"}",
            "{\"kid\": \"a\", \"secret\": \"AAAA\"}",
            &["jwt.providers[1].symmetricKeys[1].kid: duplicate kid \"a\""],
        ),
    ]);
}

#[test]
fn places_of_credentials() {
    check(&[
        Row(
            "/jwt/providers/0/extractFrom",
            "{\"cookies\": [\"t\"]}",
            "{}",
            &["jwt.providers[0].extractFrom: names no place to look in; give headers, cookies or params"],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers",
            "[{\"name\": \"x-token\"}]",
            "[]",
            &["jwt.providers[0].extractFrom.headers: no headers; leave the field out"],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0",
            "{\"name\": \"x-token\"}",
            "{\"name\": \"authorization\"}",
            &[
                "jwt.providers[0].extractFrom.headers[0].valuePrefix: required for authorization, as in \"Bearer \" (RFC 9110 section 11.6.2); \"\" means credentials without a scheme",
            ],
        ),
        Row(
            "/apiKeys/extractFrom/headers/0",
            "{\"name\": \"authorization\", \"valuePrefix\": \"\"}",
            "{\"name\": \"authorization\", \"valuePrefix\": \"\\u0000\"}",
            &["apiKeys.extractFrom.headers[0].valuePrefix: must not hold control characters"],
        ),
        Row(
            "/jwt/providers/0/awsLoadBalancers",
            "[\"arn:aws:elasticloadbalancing:us-east-1:1:loadbalancer/app/a/b\"]",
            "[]",
            &["jwt.providers[0].awsLoadBalancers: no load balancers; leave the field out"],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0/name",
            "\"x-token\"",
            "\"x token\"",
            &["jwt.providers[0].extractFrom.headers[0].name: \"x token\" is not a header name (RFC 9110)"],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0/name",
            "\"x-token\"",
            "\":path\"",
            &[
                "jwt.providers[0].extractFrom.headers[0].name: \":path\" is a pseudo-header; match on path, methods or hostnames instead",
            ],
        ),
        Row(
            "/apiKeys/extractFrom/headers/0/name",
            "\"x-key\"",
            "\"Cookie\"",
            &["apiKeys.extractFrom.headers[0].name: cookies are read by name; list them under cookies"],
        ),
        Row(
            "/apiKeys/extractFrom/headers/0/name",
            "\"x-key\"",
            "\"X-User\"",
            &[
                "apiKeys.extractFrom.headers[0].name: header \"x-user\" is set by identityHeaders.subject, so it is removed from every request before it is read",
            ],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0",
            "{\"name\": \"Sec-WebSocket-Protocol\", \"valuePrefix\": \"Bearer,\"}",
            "{\"name\": \"Sec-WebSocket-Protocol\", \"valuePrefix\": \"Bearer \"}",
            &[
                "jwt.providers[0].extractFrom.headers[0].valuePrefix: must be \"bearer, \" or \"base64url.bearer.authorization.k8s.io.\" there; leave it out for both",
            ],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0",
            "{\"name\": \"sec-websocket-protocol\", \"valuePrefix\": \"base64url.bearer.authorization.k8s.io.\"}",
            "{\"name\": \"sec-websocket-protocol\", \"valuePrefix\": \"\"}",
            &[
                "jwt.providers[0].extractFrom.headers[0].valuePrefix: must be \"bearer, \" or \"base64url.bearer.authorization.k8s.io.\" there; leave it out for both",
            ],
        ),
        Row(
            "/jwt/providers/0/extractFrom/headers/0",
            "{\"name\": \"sec-websocket-protocol\"}",
            "{\"name\": \"sec-websocket-protocol\", \"prefix\": \"x\"}",
            &["jwt.providers[0].extractFrom.headers[0].prefix: unknown field; known here: name, valuePrefix"],
        ),
        Row(
            "/apiKeys/extractFrom/params",
            "[\"key\"]",
            "[\"key\", \"key\"]",
            &["apiKeys.extractFrom.params[1]: \"key\" is listed twice"],
        ),
    ]);
}

#[test]
fn api_keys() {
    check(&[
        Row(
            "/apiKeys/prefix",
            "\"pk_\"",
            "\"eyJhb\"",
            &["apiKeys.prefix: \"eyJhb\" may be the beginning of a signed token, too"],
        ),
        Row(
            "/apiKeys/prefix",
            "\"epk\"",
            "\"e\"",
            &["apiKeys.prefix: \"e\" may be the beginning of a signed token, too"],
        ),
        Row("/apiKeys/prefix", "\"a.b:c/d@e_f-1\"", "\"\"", &["apiKeys.prefix: must not be empty"]),
        Row(
            "/apiKeys/prefix",
            "\"k\"",
            "\"p k\"",
            &[
                "apiKeys.prefix: \"p k\" is not valid here: a name is 1 to 128 letters, digits and . _ - : / @",
            ],
        ),
        Row(
            "/apiKeys/forward",
            "true",
            "\"true\"",
            &["apiKeys.forward: expected true or false, found a string"],
        ),
        Row(
            "/apiKeys/keys/1/id",
            "\"r\"",
            "\"reporting\"",
            &["apiKeys.keys[1].id: duplicate key id \"reporting\"; apiKeys.keys[0] is the first"],
        ),
        Row(
            "/apiKeys/keys/1/id",
            "\"a.b:c/d@e_f-1\"",
            "\"a b\"",
            &[
                "apiKeys.keys[1].id: \"a b\" is not valid here: a name is 1 to 128 letters, digits and . _ - : / @",
            ],
        ),
        Row(
            "/apiKeys/keys/1/hash",
            "\"sha256:2123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "\"sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\"",
            &["apiKeys.keys[1].hash: is the same key as apiKeys.keys[0]"],
        ),
        Row(
            "/apiKeys/keys/1/hash",
            "\"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "\"hunter2\"",
            &[
                "apiKeys.keys[1].hash: must be \"sha256:\" and the 64 hexadecimal digits of the key's SHA-256; a key itself must never stand in a policy",
            ],
        ),
        Row(
            "/apiKeys/keys/1/hash",
            "\"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "\"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\"",
            &["apiKeys.keys[1].hash: must be \"sha256:\" and the 64 hexadecimal digits of the key's SHA-256"],
        ),
        Row(
            "/apiKeys/keys/1/hash",
            "\"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
            "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"",
            &["apiKeys.keys[1].hash: is the hash of an empty key"],
        ),
        Row(
            "/apiKeys/keys/0/level",
            "\"Write\"",
            "\"Admin\"",
            &["apiKeys.keys[0].level: apiKeys.levels does not say what Admin grants"],
        ),
        Row(
            "/apiKeys/keys/0/level",
            "\"Write\"",
            "\"write\"",
            &[
                "apiKeys.keys[0].level: \"write\" is not a level (one of Read, Write, Admin); did you mean \"Write\"?",
            ],
        ),
        Row(
            "/apiKeys/keys/0/roles",
            "[\"editor\"]",
            "[\"editr\"]",
            &["apiKeys.keys[0].roles[0]: unknown role \"editr\"; did you mean \"editor\"?"],
        ),
        Row("/apiKeys/keys/0/roles", "-", "[]", &["apiKeys.keys[0].roles: no roles; leave the field out"]),
        Row(
            "/apiKeys/keys/0/scopes",
            "[\"a:b\"]",
            "[\"a b\"]",
            &[
                "apiKeys.keys[0].scopes[0]: \"a b\" is not valid here: a scope is printable ASCII without space, \" and \\",
            ],
        ),
        Row(
            "/apiKeys/keys/0/expiresAt",
            "\"2027-01-01T00:00:00.5-03:30\"",
            "\"2027-01-01\"",
            &[
                "apiKeys.keys[0].expiresAt: expected a time such as \"2027-01-31T08:00:00Z\" (RFC 3339, with offset), found \"2027-01-01\"",
            ],
        ),
        Row(
            "/apiKeys/keys/0/expiresAt",
            "\"2027-01-01T00:00:00z\"",
            "\"2027-01-01T00:00:00\"",
            &[
                "apiKeys.keys[0].expiresAt: expected a time such as \"2027-01-31T08:00:00Z\" (RFC 3339, with offset), found \"2027-01-01T00:00:00\"",
            ],
        ),
        Row(
            "/apiKeys/keys/0/expiresAt",
            "\"2026-01-01T00:00:01Z\"",
            "\"2026-01-01T02:00:00+02:00\"",
            &["apiKeys.keys[0].expiresAt: is not after notBefore, so the key would never be valid"],
        ),
        Row(
            "/apiKeys/keys/0/notBefore",
            "\"1970-01-01T00:00:00Z\"",
            "\"1969-12-31T23:59:59Z\"",
            &["apiKeys.keys[0].notBefore: must be from 1970 to 2554, found \"1969-12-31T23:59:59Z\""],
        ),
        Row(
            "/apiKeys/keys/0/tier",
            "\"Gold Plan\"",
            "\" gold\"",
            &["apiKeys.keys[0].tier: must be at most 128 bytes long, without blanks at either end"],
        ),
        Row(
            "/apiKeys/levels/Raed",
            "-",
            "{\"permissions\": [\"a\"]}",
            &["apiKeys.levels.Raed: unknown field; did you mean \"Read\"?"],
        ),
        Row(
            "/apiKeys/levels/Admin",
            "{\"permissions\": [\"*\"]}",
            "{\"permissions\": []}",
            &["apiKeys.levels.Admin.permissions: grants nothing; leave the level out"],
        ),
        Row(
            "/apiKeys/keys",
            "[{\"id\": \"a\", \"hash\": \"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}]",
            "[]",
            &["apiKeys.keys: no keys; leave apiKeys out if none are accepted"],
        ),
        Row(
            "/apiKeys/usage",
            "{\"to\": \"Log\"}",
            "{\"to\": \"Etcd\"}",
            &["apiKeys.usage.to: the policy has no apiKeys.etcd"],
        ),
        Row(
            "/apiKeys/usage",
            "{\"to\": \"Log\", \"interval\": \"1h\"}",
            "{\"to\": \"Log\", \"interval\": \"61m\"}",
            &["apiKeys.usage.interval: must be from 1s to 1h, found \"61m\""],
        ),
        Row(
            "/apiKeys/usage",
            "{\"to\": \"Log\", \"interval\": \"1s\"}",
            "{\"interval\": \"1s\"}",
            &["apiKeys.usage.to: required"],
        ),
    ]);
}

#[test]
fn whose_pages_may_have_a_cookie_sent() {
    check(&[
        Row(
            "/jwt/providers/0/extractFrom/cookieOrigins",
            "[\"https://app.example.com\", \"http://localhost:3000\"]",
            "[\"https://app.example.com\", \"http://app.example.com\"]",
            &[
                "jwt.providers[0].extractFrom.cookieOrigins[1]: must be an https origin; http is taken from localhost alone",
            ],
        ),
        Row(
            "/jwt/providers/0/extractFrom/cookieOrigins",
            "[\"https://app.example.com/\"]",
            "[]",
            &[
                "jwt.providers[0].extractFrom.cookieOrigins: no origins; leave the field out to take cookies whatever page had them sent",
            ],
        ),
        Row(
            "/apiKeys/extractFrom",
            "{\"cookies\": [\"key\"], \"cookieOrigins\": [\"https://app.example.com\"]}",
            "{\"headers\": [{\"name\": \"x-key\"}], \"cookieOrigins\": [\"https://app.example.com\"]}",
            &[
                "apiKeys.extractFrom.cookieOrigins: has no effect without cookies, which browsers send unasked",
            ],
        ),
    ]);
}

#[test]
fn headers_that_the_filter_sets() {
    check(&[
        Row(
            "/identityHeaders/kind",
            "\"x-kind\"",
            "\"X_User\"",
            &["identityHeaders.kind: header \"x_user\" is set by identityHeaders.subject already"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"xuser\"",
            "\"X.User\"",
            &["identityHeaders.kind: header \"x.user\" is set by identityHeaders.subject already"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"x-kind\"",
            "\"x-portcullis-rule\"",
            &["identityHeaders.rule: header \"x-portcullis-rule\" is set by identityHeaders.kind already"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"x-kind\"",
            "\"Authorization\"",
            &["identityHeaders.kind: \"authorization\" has a meaning of its own; give another"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"x-kind\"",
            "\"x_forwarded_for\"",
            &["identityHeaders.kind: \"x_forwarded_for\" has a meaning of its own; give another"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"x-original\"",
            "\"x_original_url\"",
            &["identityHeaders.kind: \"x_original_url\" has a meaning of its own; give another"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"xenvoy.kind\"",
            "\"x.envoy.kind\"",
            &["identityHeaders.kind: \"x.envoy.kind\" has a meaning of its own; give another"],
        ),
        Row(
            "/identityHeaders/kind",
            "\"x-kind\"",
            "\"host\"",
            &["identityHeaders.kind: the filter does not see host as a header; use hostnames"],
        ),
        Row(
            "/identityHeaders/send",
            "[]",
            "[\"Subject\", \"subject\"]",
            &[
                "identityHeaders.send[1]: \"subject\" is not an identity header (one of Subject, Kind, Scopes, Roles, Rule, Actor); did you mean \"Subject\"?",
            ],
        ),
        Row(
            "/identityHeaders/send",
            "[\"Kind\"]",
            "[\"Kind\", \"Kind\"]",
            &["identityHeaders.send[1]: is listed twice"],
        ),
        Row(
            "/jwt/providers/0/claimToHeaders/0/header",
            "\"x-sub\"",
            "\"x-user\"",
            &[
                "jwt.providers[0].claimToHeaders[0].header: header \"x-user\" is set by identityHeaders.subject already",
            ],
        ),
        Row(
            "/jwt/providers/0/claimToHeaders/0/format",
            "\"Json\"",
            "\"JSON\"",
            &[
                "jwt.providers[0].claimToHeaders[0].format: \"JSON\" is not a format (one of Text, Json, Base64Url); did you mean \"Json\"?",
            ],
        ),
        Row(
            "/jwt/providers/0/forwardPayload",
            "\"X-Payload\"",
            "\"X_Auth.Subject\"",
            &[
                "jwt.providers[0].forwardPayload: header \"x_auth.subject\" is set by jwt.providers[0].claimToHeaders[0].header already",
            ],
        ),
        Row(
            "/jwt/providers/0/claimToHeaders/1",
            "{\"claim\": \"a\", \"header\": \"x-a\"}",
            "{\"claim\": \"a\", \"header\": \"x.auth_subject\"}",
            &[
                "jwt.providers[0].claimToHeaders[1].header: header \"x.auth_subject\" is set by jwt.providers[0].claimToHeaders[0].header already",
            ],
        ),
        Row(
            "/jwt/providers/1/claimToHeaders",
            "[{\"claim\": \"a\", \"header\": \"x-auth-subject\"}]",
            "[]",
            &["jwt.providers[1].claimToHeaders: no claims; leave the field out"],
        ),
        Row(
            "/jwt/providers/0/claimToHeaders/0",
            "{\"claim\": \"a\", \"header\": \"x-a\"}",
            "{\"claim\": \"a\", \"header\": \"cookie\"}",
            &["jwt.providers[0].claimToHeaders[0].header: \"cookie\" has a meaning of its own; give another"],
        ),
    ]);
}

#[test]
fn headers_that_do_not_go_on() {
    check(&[
        Row("/requestHeaders", "{}", "[]", &["requestHeaders: expected an object, found a list"]),
        Row(
            "/requestHeaders",
            "{\"remove\": [\"X-Debug\", \"authorization\", \"x-http-method\"], \"keep\": [\"X_Original_URL\"]}",
            "{\"remove\": [], \"keep\": []}",
            &[
                "requestHeaders.remove: removes nothing more; leave the field out",
                "requestHeaders.keep: keeps nothing; leave the field out",
            ],
        ),
        Row(
            "/requestHeaders",
            "{\"remove\": [\"x-debug\", \"xdebug\"]}",
            "{\"remove\": [\"x-debug\", \"X.Debug\"]}",
            &["requestHeaders.remove[1]: \"x.debug\" is listed twice"],
        ),
        Row(
            "/requestHeaders",
            "{\"remove\": [\"x-content-length\"]}",
            "{\"remove\": [\"host\", \":path\", \"content_length\", \"Cookie\", \"a b\"]}",
            &[
                "requestHeaders.remove[0]: the filter does not see host as a header; use hostnames",
                "requestHeaders.remove[1]: \":path\" is a pseudo-header; match on path, methods or hostnames instead",
                "requestHeaders.remove[2]: \"content_length\" is needed to read the request; it is never removed",
                "requestHeaders.remove[3]: \"cookie\" is needed to read the request; it is never removed",
                "requestHeaders.remove[4]: \"a b\" is not a header name (RFC 9110)",
            ],
        ),
        Row(
            "/requestHeaders",
            "{\"remove\": [\"x-users\"]}",
            "{\"remove\": [\"x.user\", \"x-auth-subject\"]}",
            &[
                "requestHeaders.remove[0]: header \"x.user\" is set by identityHeaders.subject, so it is removed from every request before it is read",
                "requestHeaders.remove[1]: header \"x-auth-subject\" is set by jwt.providers[0].claimToHeaders[0].header, so it is removed from every request before it is read",
            ],
        ),
        Row(
            "/requestHeaders",
            "{\"keep\": [\"x-script-name\", \"script_name\"]}",
            "{\"keep\": [\"script-name\", \"script_name\", \"x-forwarded-prefix\"]}",
            &[
                "requestHeaders.keep[1]: \"script_name\" is listed twice",
                "requestHeaders.keep[2]: \"x-forwarded-prefix\" is not removed by default; what is: x-http-method-override, x-http-method, x-method-override, x-original-method, x-forwarded-method, x-original-url, x-original-uri, x-rewrite-url, x-forwarded-uri, script-name, path-info, x-script-name, x-forwarded-script-name, proxy, x-sendfile-type, x-accel-mapping, x-middleware-subrequest",
            ],
        ),
        Row(
            "/requestHeaders",
            "{\"remove\": [\"x-original-url\"], \"keep\": [\"x-original-uri\"]}",
            "{\"remove\": [\"x-original-url\"], \"keep\": [\"x_original_url\"]}",
            &["requestHeaders.keep[0]: \"x_original_url\" is listed under remove"],
        ),
    ]);
}

#[test]
fn a_bounded_number_of_headers_is_removed() {
    let removing = |number: usize| {
        let names: Vec<_> = (0..number).map(|n| format!("\"x-{n}\"")).collect();
        faults(&with("/requestHeaders", &format!("{{\"remove\": [{}]}}", names.join(", "))))
    };
    assert_eq!(removing(100), [""; 0]);
    assert_eq!(removing(101), ["requestHeaders.remove: has 101 entries; at most 100 are allowed"]);
}
