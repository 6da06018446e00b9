//! `roles`, `rateLimits`, `rules` and the single fields.

use super::{Row, base, check, faults};

#[test]
fn roles() {
    check(&[
        Row(
            "/roles/1/name",
            "\"editor\"",
            "\"viewer\"",
            &[
                "roles[1].name: duplicate role \"viewer\"; roles[0] is the first",
                "rules[1].authorize.anyOf[1].roles[0]: unknown role \"editor\"",
            ],
        ),
        Row(
            "/roles/1/inherits",
            "[\"viewer\"]",
            "[\"veiwer\"]",
            &["roles[1].inherits[0]: unknown role \"veiwer\"; did you mean \"viewer\"?"],
        ),
        Row("/roles/1/inherits", "-", "[]", &["roles[1].inherits: inherits nothing; leave the field out"]),
        Row(
            "/roles/1/inherits",
            "[\"viewer\"]",
            "[\"editor\"]",
            &["roles[1].inherits: roles inherit in a circle: \"editor\" -> \"editor\""],
        ),
        Row(
            "/roles/0/inherits",
            "-",
            "[\"editor\"]",
            &["roles[0].inherits: roles inherit in a circle: \"viewer\" -> \"editor\" -> \"viewer\""],
        ),
        // What YAML makes of `no` and `7`.
        Row(
            "/roles/2",
            "{\"name\": \"no\"}",
            "{\"name\": false}",
            &[
                "roles[2].name: expected a string, found a boolean, for which YAML takes y, n, yes, no, on and off, too; put it in quotes",
            ],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"7\", \"permissions\": [\"8\"]}",
            "{\"name\": 7, \"permissions\": [8]}",
            &[
                "roles[2].name: expected a string, found a number; put it in quotes",
                "roles[2].permissions[0]: expected a string, found a number; put it in quotes",
            ],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"marker\"}",
            "{\"name\": \"marker\", \"permissions\": []}",
            &["roles[2].permissions: grants nothing; leave the field out"],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"all\", \"permissions\": [\"*\"]}",
            "{\"name\": \"all\", \"permissions\": [\"orders*\"]}",
            &["roles[2].permissions[0]: \"orders*\": * stands alone or as the last part, as in orders:*"],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"all\", \"permissions\": [\"a:b:*\"]}",
            "{\"name\": \"all\", \"permissions\": [\"a:*:b\"]}",
            &["roles[2].permissions[0]: \"a:*:b\": * stands alone or as the last part, as in orders:*"],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"all\", \"permissions\": [\"a:b\"]}",
            "{\"name\": \"all\", \"permissions\": [\"a::b\"]}",
            &["roles[2].permissions[0]: \"a::b\" has an empty part"],
        ),
        Row(
            "/roles/2",
            "{\"name\": \"Domain Admins\"}",
            "\"admin\"",
            &["roles[2]: expected an object, found a string"],
        ),
    ]);
}

#[test]
fn rate_limits() {
    check(&[
        Row(
            "/rateLimits/2/name",
            "\"per-route\"",
            "\"per-user\"",
            &[
                "rateLimits[2].name: duplicate limit \"per-user\"; rateLimits[1] is the first",
                "rules[3].rateLimits[0]: unknown limit \"per-route\"",
            ],
        ),
        Row(
            "/rateLimits/0/name",
            "\"all_v1.2-x\"",
            "\"a b\"",
            &[
                "rateLimits[0].name: \"a b\" is not valid here: a limit's name is 1 to 64 letters, digits and . _ -",
            ],
        ),
        // Fit for a rule's name, and not for a limit's.
        Row(
            "/rateLimits/0/name",
            "\"api.v1\"",
            "\"api@v1\"",
            &[
                "rateLimits[0].name: \"api@v1\" is not valid here: a limit's name is 1 to 64 letters, digits and . _ -",
            ],
        ),
        Row(
            "/rateLimits/2/key",
            "[\"route\", \"remoteAddress\"]",
            "[]",
            &[
                "rateLimits[2].key: counts nothing apart; name what the limit is kept for, as in [remoteAddress]",
            ],
        ),
        Row(
            "/rateLimits/2/key/0",
            "{\"header\": \"x-tenant\"}",
            "\"header\"",
            &["rateLimits[2].key[0]: which header? write {header: name}"],
        ),
        Row(
            "/rateLimits/2/key/0",
            "{\"pathVariable\": \"id\"}",
            "{\"pathVariable\": \"id\", \"claim\": \"org.id\"}",
            &["rateLimits[2].key[0]: is several parts; write an item for each"],
        ),
        Row(
            "/rateLimits/2/key/0",
            "{\"header\": \"x-a\"}",
            "{\"param\": \"a\"}",
            &[
                "rateLimits[2].key[0]: is no key part; write remoteAddress, principal (who is calling), actor, apiKey, route, host, {header: name}, {cookie: name}, {query: name}, {claim: name} or {pathVariable: name}",
            ],
        ),
        Row(
            "/rateLimits/2/key/0",
            "\"remoteAddress\"",
            "\"remoteAdress\"",
            &[
                "rateLimits[2].key[0]: \"remoteAdress\" is not a key part (one of remoteAddress, principal, actor, apiKey, route, host); did you mean \"remoteAddress\"?",
            ],
        ),
        Row(
            "/rateLimits/2/key/1",
            "\"remoteAddress\"",
            "\"route\"",
            &["rateLimits[2].key[1]: is listed twice"],
        ),
        Row(
            "/rateLimits/2/key/1",
            "{\"header\": \"x-tenant\"}",
            "{\"header\": \"x-user\"}",
            &[
                "rateLimits[2].key[1].header: header \"x-user\" is set by identityHeaders.subject, so it is removed from every request before it is read; write principal",
            ],
        ),
        Row(
            "/rateLimits/1/key/2",
            "{\"header\": \"x-auth-subject\"}",
            "{\"header\": \"x-portcullis-rule\"}",
            &[
                "rateLimits[1].key[2].header: header \"x-portcullis-rule\" is set by identityHeaders.rule, so it is removed from every request before it is read; write route",
            ],
        ),
        // One that is set from a claim counts as the claim.
        Row(
            "/rateLimits/0/key/1",
            "{\"cookie\": \"x-auth-subject\"}",
            "{\"header\": \"X-Auth-Subject\"}",
            &[
                "rateLimits[0].key[1]: is set from a claim, which is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter",
            ],
        ),
        Row(
            "/rateLimits/1/key",
            "[{\"header\": \"x-auth-subject\"}, {\"header\": \"x-auth\"}]",
            "[{\"header\": \"x-auth-subject\"}, {\"header\": \"x_auth.subject\"}]",
            &["rateLimits[1].key[1]: is listed twice"],
        ),
        Row(
            "/jwt/providers/1/forwardPayload",
            "\"x-payload\"",
            "\"x-tenant\"",
            &[
                "rateLimits[1].key[1].header: header \"x-tenant\" holds whole tokens, as jwt.providers[1].forwardPayload says; name a claim",
            ],
        ),
        Row(
            "/rateLimits/0/key",
            "[\"remoteAddress\", {\"cookie\": \"sid\"}, {\"query\": \"sid\"}]",
            "[\"remoteAddress\", {\"cookie\": \"sid\"}, {\"cookie\": \"SID\"}]",
            &["rateLimits[0].key[2]: is listed twice"],
        ),
        Row(
            "/rateLimits/2/key",
            "[{\"cookie\": \"tokens\"}, {\"query\": \"token\"}]",
            "[{\"cookie\": \"Token\"}, {\"query\": \"access-token\"}]",
            &[
                "rateLimits[2].key[0].cookie: cookie \"Token\" holds credentials, as jwt.providers[0].extractFrom.cookies says; write principal or apiKey",
                "rateLimits[2].key[1].query: parameter \"access-token\" holds credentials, as jwt.providers[0].extractFrom.params says; write principal or apiKey",
            ],
        ),
        Row(
            "/apiKeys/extractFrom",
            "{\"params\": [\"key\"]}",
            "{\"params\": [\"key\"], \"cookies\": []}",
            &["apiKeys.extractFrom.cookies: no cookies; leave the field out"],
        ),
        Row(
            "/rateLimits/2/key/0",
            "{\"query\": \"a\"}",
            "\"query\"",
            &["rateLimits[2].key[0]: which query? write {query: name}"],
        ),
        Row(
            "/rateLimits/0/key/0",
            "\"remoteAddress\"",
            "\"principal\"",
            &[
                "rateLimits[0].key[0]: is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter",
            ],
        ),
        Row(
            "/rateLimits/0/key/1",
            "{\"header\": \"x-a\"}",
            "\"apiKey\"",
            &[
                "rateLimits[0].key[1]: is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter",
            ],
        ),
        Row(
            "/rateLimits/0/key/1",
            "\"host\"",
            "{\"claim\": \"sub\"}",
            &[
                "rateLimits[0].key[1]: is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter",
            ],
        ),
        Row(
            "/rateLimits/0/key/1",
            "\"host\"",
            "{\"pathVariable\": \"id\"}",
            &[
                "rateLimits[0].key[1]: is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter",
            ],
        ),
        Row(
            "/rateLimits/0/exempt",
            "{\"remoteAddress\": [\"10.0.0.0/8\"]}",
            "{\"remoteAddress\": []}",
            &["rateLimits[0].exempt.remoteAddress: exempts nobody; leave the field out"],
        ),
        Row(
            "/rateLimits/0/exempt",
            "{\"remoteAddress\": [\"192.0.2.1\"]}",
            "{}",
            &["rateLimits[0].exempt.remoteAddress: required"],
        ),
        Row(
            "/rateLimits/2/limits",
            "[{\"requests\": 1, \"window\": \"1s\"}, {\"requests\": 1, \"window\": \"2s\"}, {\"requests\": 1, \"window\": \"3s\"}, \
             {\"requests\": 1, \"window\": \"4s\"}]",
            "[{}, {}, {}, {}, {}]",
            &["rateLimits[2].limits: has 5 entries; at most 4 are allowed"],
        ),
        Row(
            "/rateLimits/2/limits",
            "[{\"requests\": 1, \"unit\": \"Day\"}]",
            "[]",
            &["rateLimits[2].limits: no limits; a limit needs at least one window"],
        ),
        Row(
            "/rateLimits/2/limits/0/requests",
            "1",
            "0",
            &["rateLimits[2].limits[0].requests: must be a whole number from 1 to 4294967295, found 0"],
        ),
        Row(
            "/rateLimits/2/limits/0/requests",
            "4294967295",
            "4294967296",
            &[
                "rateLimits[2].limits[0].requests: must be a whole number from 1 to 4294967295, found 4294967296",
            ],
        ),
        Row(
            "/rateLimits/2/limits/0/requests",
            "1e2",
            "-1",
            &["rateLimits[2].limits[0].requests: must be a whole number from 1 to 4294967295, found -1"],
        ),
        Row(
            "/rateLimits/2/limits/0/requests",
            "10",
            "\"10\"",
            &["rateLimits[2].limits[0].requests: expected a whole number, found a string"],
        ),
        Row(
            "/rateLimits/2/limits/0/burst",
            "1",
            "0",
            &["rateLimits[2].limits[0].burst: must be a whole number from 1 to 4294967295, found 0"],
        ),
        Row(
            "/rateLimits/2/limits/0/unit",
            "\"Second\"",
            "\"Seconds\"",
            &[
                "rateLimits[2].limits[0].unit: \"Seconds\" is not a unit (one of Second, Minute, Hour, Day); did you mean \"Second\"?",
            ],
        ),
        Row(
            "/rateLimits/2/limits/0/unit",
            "\"Day\"",
            "-",
            &["rateLimits[2].limits[0].unit: required (or window, as in window: 10s)"],
        ),
        Row(
            "/rateLimits/1/limits/1/window",
            "\"1s\"",
            "\"999ms\"",
            &["rateLimits[1].limits[1].window: must be from 1s to 8760h, found \"999ms\""],
        ),
        Row(
            "/rateLimits/1/limits/1/unit",
            "-",
            "\"Day\"",
            &["rateLimits[1].limits[1].window: contradicts unit; give one of them"],
        ),
        Row(
            "/rateLimits/1/limits/0",
            "{\"requests\": 100, \"unit\": \"Minute\", \"ownRequests\": {\"claim\": \"quota.n\", \"max\": 100}}",
            "{\"requests\": 101, \"unit\": \"Minute\", \"ownRequests\": {\"claim\": \"quota.n\", \"max\": 100}}",
            &["rateLimits[1].limits[0].requests: is more than ownRequests.max, which is the most for anyone"],
        ),
        Row(
            "/rateLimits/1/limits/0",
            "{\"requests\": 1, \"unit\": \"Minute\", \"ownRequests\": {\"max\": 1000000000}}",
            "{\"requests\": 1, \"unit\": \"Minute\", \"ownRequests\": {\"max\": 1000000001}}",
            &[
                "rateLimits[1].limits[0].ownRequests.max: must be a whole number from 1 to 1000000000, found 1000000001",
            ],
        ),
        Row(
            "/rateLimits/1/limits/0",
            "{\"requests\": 1, \"unit\": \"Minute\", \"ownRequests\": {\"max\": 9}}",
            "{\"requests\": 1, \"unit\": \"Minute\", \"burst\": 1, \"ownRequests\": {\"max\": 9}}",
            &[
                "rateLimits[1].limits[0].burst: contradicts ownRequests: as many come at once as the caller's number says",
            ],
        ),
        Row(
            "/rateLimits/1/limits/1",
            "{\"requests\": 1, \"unit\": \"Second\", \"ownRequests\": {\"claim\": \"n\", \"max\": 9}}",
            "{\"requests\": 1, \"unit\": \"Second\", \"ownRequests\": {\"claim\": \"n\"}}",
            &["rateLimits[1].limits[1].ownRequests.max: required"],
        ),
        Row(
            "/rateLimits/1/limits",
            "[{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"max\": 9}}, {\"requests\": 1, \"unit\": \"Day\"}]",
            "[{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"max\": 9}}, {\"requests\": 1, \"unit\": \"Day\", \"ownRequests\": {\"max\": 9}}]",
            &[
                "rateLimits[1].limits[1].ownRequests: another window has them already; a caller has one number",
            ],
        ),
        Row(
            "/rateLimits/1/tiers/0/limits/0",
            "{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"claim\": \"n\", \"max\": 9}}",
            "{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"claim\": \"n\", \"max\": 0}}",
            &[
                "rateLimits[1].tiers[0].limits[0].ownRequests.max: must be a whole number from 1 to 1000000000, found 0",
            ],
        ),
        Row(
            "/rateLimits/0/limits/0",
            "{\"requests\": 1, \"unit\": \"Hour\"}",
            "{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"max\": 9}}",
            &[
                "rateLimits[0].limits[0].ownRequests: who is calling, and with which number, is not known before authentication",
            ],
        ),
        Row(
            "/rateLimits/1",
            "{\"name\": \"per-user\", \"key\": [\"route\", \"apiKey\"], \"limits\": [{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"max\": 9}}]}",
            "{\"name\": \"per-user\", \"key\": [\"route\", \"apiKey\"], \"limits\": [{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"claim\": \"n\", \"max\": 9}}]}",
            &[
                "rateLimits[1].limits[0].ownRequests: tokens share one count where key has apiKey alone; leave out claim, or count by principal",
            ],
        ),
        Row(
            "/rateLimits/1",
            "{\"name\": \"per-user\", \"key\": [{\"claim\": \"org\"}], \"limits\": [{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"claim\": \"n\", \"max\": 9}}]}",
            "{\"name\": \"per-user\", \"key\": [\"route\", {\"header\": \"x-org\"}], \"limits\": [{\"requests\": 1, \"unit\": \"Hour\", \"ownRequests\": {\"claim\": \"n\", \"max\": 9}}]}",
            &[
                "rateLimits[1].limits[0].ownRequests: a caller's number must not govern a count that others share; add principal, actor, apiKey or a claim to key",
            ],
        ),
        Row(
            "/rateLimits/1/tiers/1",
            "{\"name\": \"silver\", \"limits\": [{\"requests\": 1, \"unit\": \"Day\"}]}",
            "{\"name\": \"gold\", \"limits\": [{\"requests\": 1, \"unit\": \"Day\"}]}",
            &["rateLimits[1].tiers[1].name: duplicate tier \"gold\""],
        ),
        Row("/rateLimits/1/tiers", "-", "[]", &["rateLimits[1].tiers: no tiers; leave the field out"]),
        Row(
            "/rateLimits/0/tiers",
            "-",
            "[]",
            &["rateLimits[0].tiers: tiers belong to principals, which are not known before authentication"],
        ),
        Row(
            "/rateLimits/1/methods",
            "[\"POST\"]",
            "[]",
            &["rateLimits[1].methods: no methods; leave the field out to mean every method"],
        ),
        Row(
            "/rateLimits/1/methods",
            "[\"POST\"]",
            "[\"post\"]",
            &["rateLimits[1].methods[0]: methods are case-sensitive: \"post\" would never match; write POST"],
        ),
        Row(
            "/rateLimits/0/before",
            "\"Authentication\"",
            "\"Authorization\"",
            &["rateLimits[0].before: \"Authorization\" is not a stage (one of Authentication)"],
        ),
        Row(
            "/rateLimits/0/ipv4PrefixLength",
            "32",
            "33",
            &["rateLimits[0].ipv4PrefixLength: must be a whole number from 1 to 32, found 33"],
        ),
        Row(
            "/rateLimits/0/ipv6PrefixLength",
            "128",
            "0",
            &["rateLimits[0].ipv6PrefixLength: must be a whole number from 1 to 128, found 0"],
        ),
        Row(
            "/rateLimits/2/ipv6PrefixLength",
            "-",
            "64",
            &["rateLimits[2].ipv6PrefixLength: has no effect without remoteAddress in key"],
        ),
    ]);
}

#[test]
fn matches() {
    check(&[
        Row(
            "/rules/0/hostnames",
            "[\"API.example.com\"]",
            "[]",
            &["rules[0].hostnames: no host names; leave the field out to mean every host"],
        ),
        Row(
            "/rules/0/hostnames/0",
            "\"*.com\"",
            "\"api.*.com\"",
            &[
                "rules[0].hostnames[0]: \"api.*.com\" is not a host name, as in api.example.com or *.example.com, without port",
            ],
        ),
        Row(
            "/rules/0/hostnames",
            "[\"[::1]\", \"[2001:DB8::1]\"]",
            "[\"*\", \"*.10.0.0.1\", \"*.[::1]\", \"[0::1]\", \"[::g]\", \"u@h\", \"-a\", \"a.\"]",
            &[
                "rules[0].hostnames[0]: \"*\" is not a host name, as in api.example.com or *.example.com, without port",
                "rules[0].hostnames[1]: \"10.0.0.1\" is an address, which has no subdomains",
                "rules[0].hostnames[2]: \"[::1]\" is an address, which has no subdomains",
                "rules[0].hostnames[3]: write [::1], the address in its shortest form",
                "rules[0].hostnames[4]: \"[::g]\" is not a host name, as in api.example.com or *.example.com, without port",
                "rules[0].hostnames[5]: \"u@h\" is not a host name, as in api.example.com or *.example.com, without port",
                "rules[0].hostnames[6]: \"-a\" is not a host name, as in api.example.com or *.example.com, without port",
                "rules[0].hostnames[7]: \"a.\" is not a host name, as in api.example.com or *.example.com, without port",
            ],
        ),
        Row(
            "/rules/0/hostnames/0",
            "\"127.0.0.1\"",
            "\"api.example.com:443\"",
            &[
                "rules[0].hostnames[0]: \"api.example.com:443\" is not a host name, as in api.example.com or *.example.com, without port",
            ],
        ),
        Row(
            "/rules/0/matches",
            "-",
            "[]",
            &["rules[0].matches: no matches; leave the field out to mean every request"],
        ),
        Row(
            "/rules/0/matches/1",
            "{\"method\": \"GET\"}",
            "{}",
            &["rules[0].matches[1]: matches every request; leave matches out to mean that"],
        ),
        Row(
            "/rules/0/matches/1/path/type",
            "\"PathPrefix\"",
            "\"Prefix\"",
            &[
                "rules[0].matches[1].path.type: \"Prefix\" is not a path type (one of Exact, PathPrefix, PathTemplate, RegularExpression)",
            ],
        ),
        Row(
            "/rules/0/matches/1/path/type",
            "\"RegularExpression\"",
            "-",
            &["rules[0].matches[1].path.type: required"],
        ),
        Row(
            "/rules/0/matches/1/path",
            "{\"type\": \"Exact\", \"value\": \"/orders\"}",
            "\"/orders\"",
            &[
                "rules[0].matches[1].path: expected a path such as {type: Exact, value: /orders}, found a string",
            ],
        ),
        Row(
            "/rules/0/matches/1/path",
            "{\"type\": \"PathTemplate\", \"value\": \"/a/{b}\", \"caseSensitive\": false}",
            "{\"type\": \"RegularExpression\", \"value\": \"/a\", \"caseSensitive\": false}",
            &[
                "rules[0].matches[1].path.caseSensitive: contradicts type: RegularExpression; begin the expression with (?i) instead",
            ],
        ),
        Row(
            "/rules/0/matches/1/path/caseSensitive",
            "true",
            "\"false\"",
            &["rules[0].matches[1].path.caseSensitive: expected true or false, found a string"],
        ),
        Row(
            "/rules/0/matches/1/path/value",
            "\"/\"",
            "\"\"",
            &["rules[0].matches[1].path.value: must not be empty"],
        ),
        Row(
            "/rules/0/matches/1/path/value",
            "\"/a\"",
            "\"a\"",
            &["rules[0].matches[1].path.value: \"a\" does not begin with /"],
        ),
        Row(
            "/rules/0/matches/1/methods",
            "-",
            "[\"GET\"]",
            &["rules[0].matches[1].method: contradicts methods; give one of them"],
        ),
        Row(
            "/rules/0/matches/0/methods",
            "[\"GET\", \"M-SEARCH\"]",
            "[\"GET\", \"G T\"]",
            &["rules[0].matches[0].methods[1]: \"G T\" is not a request method"],
        ),
        Row(
            "/rules/0/matches/0/method",
            "-",
            "\"GET\"",
            &["rules[0].matches[0].method: contradicts methods; give one of them"],
        ),
        Row(
            "/rules/0/matches/0/headers/0/type",
            "-",
            "\"Prefix\"",
            &[
                "rules[0].matches[0].headers[0].type: \"Prefix\" is not a match type (one of Exact, RegularExpression, Present)",
            ],
        ),
        Row(
            "/rules/0/matches/0/headers/0/value",
            "\"3\"",
            "-",
            &["rules[0].matches[0].headers[0].value: required"],
        ),
        Row(
            "/rules/0/matches/0/headers/0/name",
            "\"X-Version\"",
            "\"x.portcullis_roles\"",
            &[
                "rules[0].matches[0].headers[0].name: header \"x.portcullis_roles\" is set by identityHeaders.roles, so it is removed from every request before it is read",
            ],
        ),
        Row(
            "/rules/0/matches/0/headers/1",
            "{\"name\": \"x-b\", \"value\": \"1\"}",
            "{\"name\": \"X-Version\", \"value\": \"1\"}",
            &["rules[0].matches[0].headers[1].name: \"x-version\" is listed twice"],
        ),
        Row(
            "/rules/0/matches/0/queryParams/0/value",
            "-",
            "\"1\"",
            &[
                "rules[0].matches[0].queryParams[0].value: contradicts type: Present, which any value satisfies",
            ],
        ),
        Row(
            "/rules/0/matches/0/queryParams",
            "-",
            "[]",
            &["rules[0].matches[0].queryParams: asks for nothing; leave the field out"],
        ),
    ]);
}

#[test]
fn rules() {
    check(&[
        Row(
            "/rules/1/name",
            "\"own\"",
            "\"read-orders\"",
            &["rules[1].name: duplicate rule \"read-orders\"; rules[0] is the first"],
        ),
        Row("/rules/1/name", "\"own\"", "-", &["rules[1].name: required"]),
        Row(
            "/rules/2/action",
            "\"Deny\"",
            "\"deny\"",
            &["rules[2].action: \"deny\" is not an action (one of Allow, Deny); did you mean \"Deny\"?"],
        ),
        Row(
            "/rules/1/encodedSlash",
            "\"Keep\"",
            "\"Decode\"",
            &["rules[1].encodedSlash: \"Decode\" is not a choice (one of Refuse, Keep)"],
        ),
        Row(
            "/rules/1/matrixParameters",
            "\"Keep\"",
            "true",
            &["rules[1].matrixParameters: expected a choice (one of Refuse, Keep), found a boolean"],
        ),
        Row(
            "/rules/2/encodedSlash",
            "\"Refuse\"",
            "null",
            &[
                "rules[2].encodedSlash: expected a choice (one of Refuse, Keep), found null; leave the field out where nothing is to be said",
            ],
        ),
        Row(
            "/rules/2/authenticate",
            "-",
            "{\"anonymous\": true}",
            &["rules[2].authenticate: contradicts action: Deny, which refuses every request that matches"],
        ),
        Row(
            "/rules/2/authorize",
            "-",
            "{}",
            &["rules[2].authorize: contradicts action: Deny, which refuses every request that matches"],
        ),
        Row(
            "/rules/2/rateLimits",
            "-",
            "[\"per-route\"]",
            &["rules[2].rateLimits: contradicts action: Deny, which refuses every request that matches"],
        ),
        Row(
            "/rules/1/authenticate",
            "{\"anyOf\": [\"apiKey\"]}",
            "-",
            &[
                "rules[1].authenticate: required; name who may pass, as in {anyOf: [apiKey]}, or write {anonymous: true} to let anyone pass",
            ],
        ),
        Row(
            "/rules/1/authenticate",
            "{\"anyOf\": [\"apiKey\"]}",
            "{}",
            &["rules[1].authenticate: names no way to authenticate; give anyOf, or anonymous: true"],
        ),
        Row(
            "/rules/1/authenticate",
            "{\"anyOf\": [\"apiKey\"]}",
            "[\"apiKey\"]",
            &["rules[1].authenticate: expected {anyOf: [..]} or {anonymous: true}, found a list"],
        ),
        Row(
            "/rules/1/authenticate/anyOf",
            "[{\"jwt\": \"partner\"}]",
            "[]",
            &[
                "rules[1].authenticate.anyOf: no way to authenticate; write anonymous: true to let anyone pass",
            ],
        ),
        Row(
            "/rules/1/authenticate/anyOf",
            "[\"apiKey\"]",
            "[\"apiKey\", {\"apiKey\": {}}]",
            &["rules[1].authenticate.anyOf[1]: is listed twice"],
        ),
        Row(
            "/rules/1/authenticate/anyOf/0",
            "{\"jwt\": \"corp\"}",
            "{\"jwt\": \"crop\"}",
            &["rules[1].authenticate.anyOf[0].jwt: unknown provider \"crop\"; did you mean \"corp\"?"],
        ),
        Row(
            "/rules/1/authenticate/anyOf/0",
            "{\"jwt\": \"corp\"}",
            "\"jwt\"",
            &["rules[1].authenticate.anyOf[0]: name the provider, as in {jwt: corp}"],
        ),
        Row(
            "/rules/1/authenticate/anyOf/0",
            "{\"jwt\": \"corp\"}",
            "\"basic\"",
            &[
                "rules[1].authenticate.anyOf[0]: \"basic\" is not a way to authenticate; write apiKey, clientCertificate, {jwt: provider}, {hmac: source} or {messageSignature: signer}",
            ],
        ),
        Row(
            "/rules/1/authenticate/anyOf/0",
            "{\"jwt\": \"corp\"}",
            "{}",
            &[
                "rules[1].authenticate.anyOf[0]: names no way to authenticate; write apiKey, clientCertificate, {jwt: provider}, {hmac: source} or {messageSignature: signer}",
            ],
        ),
        Row(
            "/rules/1/authenticate/anonymous",
            "-",
            "true",
            &["rules[1].authenticate.anonymous: contradicts anyOf; give one of them"],
        ),
        Row(
            "/rules/1/authenticate/optional",
            "-",
            "true",
            &[
                "rules[1].authorize: asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone",
            ],
        ),
        Row(
            "/rules/1",
            "{\"name\": \"own-profile\", \"authenticate\": {\"anyOf\": [\"apiKey\"], \"optional\": true}, \"rateLimits\": [\"per-route\"]}",
            "{\"name\": \"own-profile\", \"authenticate\": {\"anyOf\": [\"apiKey\"], \"optional\": true}, \"rateLimits\": [\"per-user\"]}",
            &[
                "rules[1].rateLimits[0]: limit \"per-user\" counts per principal, which requests without a credential do not have: they would share one count; add remoteAddress to its key",
            ],
        ),
        Row(
            "/rules/1/endStreams",
            "true",
            "false",
            &[
                "rules[1].endStreams: only true is allowed; leave the field out for streams that outlive their credential",
            ],
        ),
        Row(
            "/rules/2/endStreams",
            "-",
            "true",
            &["rules[2].endStreams: contradicts action: Deny, which refuses every request that matches"],
        ),
        Row(
            "/rules/3",
            "{\"name\": \"health\", \"endStreams\": true, \"authenticate\": {\"anyOf\": [\"apiKey\"], \"optional\": true}}",
            "{\"name\": \"health\", \"endStreams\": true, \"authenticate\": {\"anonymous\": true}}",
            &["rules[3].endStreams: has no effect where anyone may pass: there is no credential to end with"],
        ),
        Row(
            "/rules/3",
            "{\"name\": \"health\", \"authenticate\": {\"passThrough\": true}}",
            "{\"name\": \"health\", \"endStreams\": true, \"authenticate\": {\"passThrough\": true}}",
            &["rules[3].endStreams: has no effect where anyone may pass: there is no credential to end with"],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"passThrough\": true}",
            "{\"passThrough\": true, \"anonymous\": true}",
            &["rules[3].authenticate.passThrough: contradicts anonymous; give one of them"],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}",
            "{\"allOf\": [\"apiKey\"]}",
            &[
                "rules[3].authenticate.allOf: takes two ways to authenticate: the actor's, and behind it the principal's",
            ],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"allOf\": [{\"jwt\": \"corp\"}, {\"apiKey\": {}}]}",
            "{\"allOf\": [\"apiKey\", {\"apiKey\": {}}]}",
            &["rules[3].authenticate.allOf[1]: is listed twice"],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"allOf\": [{\"jwt\": \"corp\"}, \"apiKey\"]}",
            "{\"allOf\": [{\"jwt\": \"crop\"}, \"apiKey\"]}",
            &["rules[3].authenticate.allOf[0].jwt: unknown provider \"crop\"; did you mean \"corp\"?"],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"anyOf\": [{\"jwt\": \"corp\"}, \"apiKey\"]}",
            "{\"anyOf\": [\"apiKey\"], \"allOf\": [{\"jwt\": \"corp\"}, \"apiKey\"], \"anonymous\": true}",
            &[
                "rules[3].authenticate.allOf: contradicts anyOf; give one of them",
                "rules[3].authenticate.anonymous: contradicts anyOf; give one of them",
            ],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"anyOf\": [{\"jwt\": \"corp\"}], \"optional\": true, \"invalidCredentials\": \"Refuse\"}",
            "{\"allOf\": [{\"jwt\": \"corp\"}, \"apiKey\"], \"optional\": true, \"invalidCredentials\": \"Refuse\"}",
            &["rules[3].authenticate.optional: contradicts allOf, both of which are needed"],
        ),
        Row(
            "/rules/3",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"actor\": {\"scopes\": [\"a\"]}}}",
            "{\"name\": \"both\", \"authenticate\": {\"anyOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"actor\": {\"scopes\": [\"a\"]}}}",
            &["rules[3].authorize: asks for an actor, whom only the requests of a rule with allOf have"],
        ),
        Row(
            "/rules/3",
            "{\"name\": \"both\", \"authenticate\": {\"anonymous\": true}, \"authorize\": {\"noneOf\": [{\"remoteAddress\": [\"::1\"]}]}}",
            "{\"name\": \"both\", \"authenticate\": {\"anonymous\": true}, \"authorize\": {\"actor\": {\"noneOf\": [{\"remoteAddress\": [\"::1\"]}]}}}",
            &[
                "rules[3].authorize: asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone",
                "rules[3].authorize: asks for an actor, whom only the requests of a rule with allOf have",
            ],
        ),
        Row(
            "/rules/3",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"stepUp\": {\"maxAge\": \"1h\"}}}",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [{\"jwt\": \"corp\"}, \"apiKey\"]}, \"authorize\": {\"stepUp\": {\"maxAge\": \"1h\"}}}",
            &[
                "rules[3].authorize: stepUp asks how a user logged in, which only a token of {jwt: ..} can say",
            ],
        ),
        Row(
            "/rateLimits/1/key",
            "[\"principal\"]",
            "[\"actor\"]",
            &[
                "rules[0].rateLimits[0]: limit \"per-user\" counts per actor, whom only the requests of a rule with allOf have",
            ],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"anonymous\": true}",
            "{\"anonymous\": true, \"optional\": true}",
            &["rules[3].authenticate.optional: has no effect without anyOf: anyone may pass"],
        ),
        Row(
            "/rules/3/authenticate",
            "{\"anyOf\": [\"apiKey\"], \"optional\": true, \"invalidCredentials\": \"Anonymous\"}",
            "{\"anyOf\": [\"apiKey\"], \"invalidCredentials\": \"Anonymous\"}",
            &["rules[3].authenticate.invalidCredentials: has no effect without optional: true"],
        ),
        Row(
            "/rules/3/authenticate/anonymous",
            "true",
            "false",
            &[
                "rules[3].authenticate.anonymous: only true is allowed; list ways to authenticate in anyOf instead",
            ],
        ),
        Row(
            "/rules/3/authorize",
            "-",
            "{\"owner\": {\"pathVariable\": \"id\"}}",
            &[
                "rules[3].authorize: asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone",
            ],
        ),
        Row(
            "/rules/3/rateLimits",
            "[\"per-route\"]",
            "[\"per-user\"]",
            &[
                "rules[3].rateLimits[0]: limit \"per-user\" counts per principal, which the requests of an anonymous rule do not have",
            ],
        ),
        Row(
            "/rules/0/rateLimits",
            "[\"per-user\"]",
            "[\"per-usr\"]",
            &["rules[0].rateLimits[0]: unknown limit \"per-usr\"; did you mean \"per-user\"?"],
        ),
        Row(
            "/rules/0/rateLimits",
            "[\"per-user\", \"per-route\"]",
            "[\"per-address\"]",
            &[
                "rules[0].rateLimits[0]: limit \"per-address\" applies before authentication, to every request; rules do not name it",
            ],
        ),
        Row(
            "/rules/3/transport",
            "{\"requireTls\": false}",
            "{}",
            &["rules[3].transport.requireTls: required"],
        ),
        Row(
            "/rules/0/transport",
            "{\"requireTls\": true}",
            "{\"requireTls\": false}",
            &[
                "rules[0].transport: takes plain HTTP together with credentials, which would be read on the way; only anonymous: true may",
            ],
        ),
        Row(
            "/rules/2/transport",
            "-",
            "{\"requireTls\": false}",
            &["rules[2].transport: contradicts action: Deny, which refuses every request that matches"],
        ),
        Row(
            "/maxPathLength",
            "65536",
            "65537",
            &["maxPathLength: must be a whole number from 256 to 65536, found 65537"],
        ),
        Row("/rules/0/rateLimits", "-", "[]", &["rules[0].rateLimits: no limits; leave the field out"]),
        Row(
            "/rules/0/rateLimits",
            "[\"per-route\"]",
            "[\"per-route\", \"per-route\"]",
            &["rules[0].rateLimits[1]: \"per-route\" is listed twice"],
        ),
        Row(
            "/rules/0/stepUp",
            "-",
            "{}",
            &[
                "rules[0].stepUp: unknown field; known here: name, hostnames, matches, encodedSlash, matrixParameters, action, authenticate, protectedResource, anyAudience, authorize, rateLimits, transport, corsPreflight, endStreams, shadow",
            ],
        ),
        Row(
            "/apiKeys",
            "{\"keys\": [{\"id\": \"a\", \"hash\": \"sha256:2123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}]}",
            "-",
            &[
                "rules[0].authenticate.anyOf[1]: the policy has no apiKeys section",
                "rules[1].authenticate.anyOf[1].apiKey: the policy has no apiKeys section",
            ],
        ),
    ]);
}

#[test]
fn requirements() {
    check(&[
        Row(
            "/rules/4",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"actor\": {\"scopes\": [\"a\"], \"noneOf\": [{\"remoteAddress\": [\"::1\"]}]}}}",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"actor\": {}}}",
            &[
                "rules[4].authorize.actor: asks for nothing; give scopes, permissions, roles, claims, owner or noneOf",
            ],
        ),
        Row(
            "/rules/4",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"remoteAddress\": [\"::1\"], \"actor\": {\"claims\": [{\"claim\": \"a\", \"equals\": 7}]}}}",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"actor\": {\"scopes\": [\"a\"], \"remoteAddress\": [\"::1\"]}}}",
            &[
                "rules[4].authorize.actor.remoteAddress: unknown field; known here: scopes, permissions, roles, claims, owner, noneOf",
            ],
        ),
        Row(
            "/rules/4",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"anyOf\": [{\"actor\": {\"scopes\": [\"a\"]}}, {\"scopes\": [\"b\"]}]}}",
            "{\"name\": \"both\", \"authenticate\": {\"allOf\": [\"apiKey\", {\"jwt\": \"corp\"}]}, \"authorize\": {\"anyOf\": [{\"actor\": {\"actor\": {\"scopes\": [\"a\"]}}}]}}",
            &[
                "rules[4].authorize.anyOf[0].actor: asks for nothing; give scopes, permissions, roles, claims, owner or noneOf",
                "rules[4].authorize.anyOf[0].actor.actor: unknown field; known here: scopes, permissions, roles, claims, owner, noneOf",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"sub\", \"equals\": \"a\"}]}",
            "{\"claims\": []}",
            &["rules[0].authorize.claims: asks for nothing; leave the field out"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"org.id\", \"equals\": 7}]}",
            "{\"claims\": [{\"claim\": \"org.id\", \"equals\": 7.5}]}",
            &[
                "rules[0].authorize.claims[0].equals: expected text, a whole number, true or false, found a number with a fraction or out of range",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": false}]}",
            "{\"claims\": [{\"claim\": \"a\"}]}",
            &[
                "rules[0].authorize.claims[0]: asks for nothing; give equals, in, contains, containsAny, matches or present",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": \"c\"}, {\"claim\": \"a\", \"equals\": \"b\"}]}",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": \"\"}]}",
            &["rules[0].authorize.claims[0].equals: must not be empty"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"in\": [\"b\", 7, true]}]}",
            "{\"claims\": [{\"claim\": \"a\", \"in\": []}]}",
            &["rules[0].authorize.claims[0].in: no value would do; leave the condition out"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"contains\": \"b\"}]}",
            "{\"claims\": [{\"claim\": \"a\", \"contains\": [\"b\"]}]}",
            &[
                "rules[0].authorize.claims[0].contains: expected text, a whole number, true or false, found a list",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"containsAny\": [\"b\"]}]}",
            "{\"claims\": [{\"claim\": \"a\", \"containsAny\": \"b\"}]}",
            &["rules[0].authorize.claims[0].containsAny: expected a list, found a string"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"present\": true}]}",
            "{\"claims\": [{\"claim\": \"a\", \"present\": false}]}",
            &[
                "rules[0].authorize.claims[0].present: write noneOf: [{claims: [{claim: .., present: true}]}] for a claim that must not be there",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": \"b\"}]}",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": \"b\", \"matches\": \"b\"}]}",
            &["rules[0].authorize.claims[0]: asks for several things; write a condition for each"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"claims\": [{\"claim\": \"a\", \"equals\": \"b\"}]}",
            "{\"claims\": [{\"equals\": \"b\"}]}",
            &["rules[0].authorize.claims[0].claim: required"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"remoteAddress\": [\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.1\", \"::1\"]}",
            "{\"remoteAddress\": [\"10.0.0.1/8\"]}",
            &[
                "rules[0].authorize.remoteAddress[0]: \"10.0.0.1/8\" has bits behind its prefix; did you mean \"10.0.0.0/8\"?",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"remoteAddress\": [\"0.0.0.0/0\"]}",
            "{\"remoteAddress\": [\"10.0.0.0/33\"]}",
            &[
                "rules[0].authorize.remoteAddress[0]: \"10.0.0.0/33\" is no network; write it as 10.0.0.0/8 or 2001:db8::/32",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"remoteAddress\": [\"2001:db8::/32\"]}",
            "{\"remoteAddress\": [\"::ffff:10.0.0.0/104\"]}",
            &[
                "rules[0].authorize.remoteAddress[0]: \"::ffff:10.0.0.0/104\" is IPv4 in IPv6 form; write it as IPv4",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"noneOf\": [{\"claims\": [{\"claim\": \"a\", \"present\": true}]}]}",
            "{\"noneOf\": [{}]}",
            &[
                "rules[0].authorize.noneOf[0]: excludes nobody; give scopes, permissions, roles, claims or remoteAddress",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"noneOf\": [{\"scopes\": [\"a\"], \"remoteAddress\": [\"10.0.0.0/8\"]}]}",
            "{\"noneOf\": []}",
            &["rules[0].authorize.noneOf: excludes nothing; leave the field out"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": [\"a\"]}",
            "{}",
            &[
                "rules[0].authorize: asks for nothing; give scopes, permissions, roles, claims, remoteAddress, owner, stepUp, noneOf or actor",
            ],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": {\"allOf\": [\"a\"]}}",
            "{\"scopes\": []}",
            &["rules[0].authorize.scopes: asks for nothing; leave the field out"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": {\"anyOf\": [\"a\"]}}",
            "{\"scopes\": {\"anyOf\": []}}",
            &["rules[0].authorize.scopes.anyOf: asks for nothing; leave the field out"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": {\"anyOf\": [\"a\"]}}",
            "{\"scopes\": {}}",
            &["rules[0].authorize.scopes: asks for nothing; give anyOf or allOf"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": {\"anyOf\": [\"a\"]}}",
            "{\"scopes\": {\"anyOf\": [\"a\"], \"allOf\": [\"b\"]}}",
            &["rules[0].authorize.scopes: give one of anyOf and allOf"],
        ),
        Row(
            "/rules/0/authorize",
            "{\"scopes\": [\"a\"]}",
            "{\"scopes\": \"a\"}",
            &["rules[0].authorize.scopes: expected a list, {anyOf: [..]} or {allOf: [..]}, found a string"],
        ),
        Row(
            "/rules/0/authorize/permissions/0",
            "\"invoices:pay\"",
            "\"orders:raed\"",
            &[
                "rules[0].authorize.permissions[0]: no role or level grants \"orders:raed\"; did you mean \"orders:read\"?",
            ],
        ),
        Row(
            "/rules/0/authorize/permissions/0",
            "\"invoices:a:b\"",
            "\"invoices\"",
            &[
                "rules[0].authorize.permissions[0]: no role or level grants \"invoices\"; did you mean \"invoices:*\"?",
            ],
        ),
        Row(
            "/rules/0/authorize/permissions/0",
            "\"orders:write\"",
            "\"orders:*\"",
            &[
                "rules[0].authorize.permissions[0]: \"orders:*\" asks for a wildcard: a rule names single permissions; roles and levels grant wildcards",
            ],
        ),
        Row(
            "/rules/1/authorize/anyOf/1/roles/0",
            "\"viewer\"",
            "\"viewr\"",
            &["rules[1].authorize.anyOf[1].roles[0]: unknown role \"viewr\"; did you mean \"viewer\"?"],
        ),
        Row(
            "/rules/1/authorize/anyOf",
            "[{\"roles\": [\"viewer\"]}]",
            "[]",
            &["rules[1].authorize.anyOf: no alternatives; nobody would pass"],
        ),
        Row(
            "/rules/1/authorize/anyOf/1",
            "{\"scopes\": [\"a\"]}",
            "{}",
            &[
                "rules[1].authorize.anyOf[1]: asks for nothing; give scopes, permissions, roles, claims, remoteAddress, owner, stepUp, noneOf or actor",
            ],
        ),
        Row(
            "/rules/1/authorize/roles",
            "-",
            "[\"viewer\"]",
            &["rules[1].authorize.roles: contradicts anyOf; move it into each alternative"],
        ),
        Row(
            "/rules/1/authorize/anyOf/0/owner",
            "{\"pathVariable\": \"user\"}",
            "{\"claim\": \"sub\"}",
            &["rules[1].authorize.anyOf[0].owner.pathVariable: required"],
        ),
        Row(
            "/rules/1/authorize/anyOf/0/owner",
            "{\"pathVariable\": \"user\", \"claim\": {\"path\": [\"a.b\"]}}",
            "{\"pathVariable\": \"user\", \"claim\": \"\"}",
            &["rules[1].authorize.anyOf[0].owner.claim: must not be empty"],
        ),
    ]);
}

#[test]
fn single_fields() {
    check(&[
        Row(
            "/realm",
            "\"my api\"",
            "\"a\\\"b\"",
            &["realm: must be at most 128 characters of printable ASCII without \" and \\"],
        ),
        Row("/realm", "-", "\"\"", &["realm: must not be empty"]),
        Row("/realm", "-", "\"a\\nb\"", &["realm: must not hold control characters"]),
        Row(
            "/rules",
            "[{\"name\": \"a\", \"authenticate\": {\"anonymous\": true}}]",
            "[]",
            &["rules: no rules; every request would be refused"],
        ),
        Row("/rules", "[{\"name\": \"a\", \"action\": \"Deny\"}]", "-", &["rules: required"]),
        Row(
            "/defaultAction",
            "-",
            "\"Allow\"",
            &[
                "defaultAction: must be Deny, found \"Allow\"; to allow what no other rule matches, write a last rule without matches",
            ],
        ),
        Row(
            "/decisionLog",
            "-",
            "{\"alowed\": true}",
            &[
                "decisionLog: says nothing; leave the field out",
                "decisionLog.alowed: unknown field; did you mean \"allowed\"?",
            ],
        ),
        Row(
            "/decisionLog",
            "{\"denied\": \"All\"}",
            "{\"denied\": \"None\"}",
            &["decisionLog.denied: \"None\" is not a choice (one of Sampled, All)"],
        ),
        Row(
            "/decisionLog",
            "{\"names\": \"Ecs\"}",
            "{\"names\": \"ecs\"}",
            &["decisionLog.names: \"ecs\" is not a choice (one of Portcullis, Ecs); did you mean \"Ecs\"?"],
        ),
        Row(
            "/decisionLog",
            "{\"chain\": true}",
            "{\"chain\": \"true\"}",
            &["decisionLog.chain: expected true or false, found a string"],
        ),
        Row("/metrics", "{\"byRule\": false}", "{}", &["metrics: says nothing; leave the field out"]),
        Row("/metrics/byRules", "-", "true", &["metrics.byRules: unknown field; did you mean \"byRule\"?"]),
        Row("/accessLog", "{\"fields\": [\"Rule\", \"Limit\"]}", "{}", &["accessLog.fields: required"]),
        Row(
            "/accessLog",
            "{\"fields\": [\"Authority\"]}",
            "{\"fields\": []}",
            &["accessLog.fields: says nothing; leave accessLog out"],
        ),
        Row(
            "/accessLog",
            "{\"fields\": [\"Kind\"]}",
            "{\"fields\": [\"Kinds\", \"Rule\", \"Rule\"]}",
            &[
                "accessLog.fields[0]: \"Kinds\" is not a field (one of Rule, Reason, Principal, Kind, Authority, Credential, Limit); did you mean \"Kind\"?",
                "accessLog.fields[2]: is listed twice",
            ],
        ),
        Row(
            "/interlock",
            "true",
            "\"on\"",
            &["interlock: expected true, false or an object, found a string"],
        ),
        Row(
            "/interlock",
            "{\"mark\": \"edge\"}",
            "{\"name\": \"edge\"}",
            &["interlock.mark: required", "interlock.name: unknown field; known here: mark"],
        ),
        Row("/interlock", "{\"mark\": \"a b\"}", "{\"mark\": \"\"}", &["interlock.mark: must not be empty"]),
        Row(
            "/rateLimitHeaders",
            "\"Denied\"",
            "\"Never\"",
            &["rateLimitHeaders: \"Never\" is not a choice (one of Denied, Always)"],
        ),
        Row(
            "/decisionLog/alow",
            "-",
            "true",
            &["decisionLog.alow: unknown field; known here: allowed, denied, names, chain"],
        ),
        Row("/rulez", "-", "[]", &["rulez: unknown field; did you mean \"rules\"?"]),
        Row("/a b.c", "-", "1", &["[\"a b.c\"]: unknown field"]),
        Row("/webauthn", "-", "{}", &["webauthn: unknown field"]),
    ]);
}

/// A key's own number is for a limit that has numbers, within its bound.
#[test]
fn own_requests_of_keys() {
    let with_key = |key: serde_json::Value, own: serde_json::Value| {
        let mut document = base();
        let hour = |requests: u32| serde_json::json!({"requests": requests, "unit": "Hour"});
        let own_hour =
            |max: u32| serde_json::json!({"requests": 1, "unit": "Hour", "ownRequests": {"max": max}});
        document["rateLimits"] = serde_json::json!([
            {"name": "per-address", "key": ["remoteAddress"], "limits": [hour(1)]},
            {"name": "per-user", "key": ["principal"], "limits": [own_hour(100)],
             "tiers": [{"name": "gold", "limits": [own_hour(200)]}, {"name": "flat", "limits": [hour(1)]}]},
            {"name": "per-route", "key": [{"claim": "org"}], "limits": [own_hour(100)]},
        ]);
        let rules = document["rules"].as_array_mut().unwrap();
        rules.iter_mut().for_each(|rule| drop(rule.as_object_mut().unwrap().shift_remove("rateLimits")));
        let entry = &mut document["apiKeys"]["keys"][1];
        entry["ownRequests"] = own;
        entry["tier"] = key;
        faults(&document)
    };
    let number = |limit: &str, requests: u32| serde_json::json!([{"limit": limit, "requests": requests}]);
    let at = "apiKeys.keys[1].ownRequests";
    let none = Vec::<String>::new();
    for (tier, own, expected) in [
        ("silver", number("per-user", 100), none.clone()),
        (
            "silver",
            number("per-user", 101),
            vec![format!("{at}[0].requests: is more than the max of limit \"per-user\", which is 100")],
        ),
        ("gold", number("per-user", 200), none),
        (
            "gold",
            number("per-user", 201),
            vec![format!("{at}[0].requests: is more than the max of limit \"per-user\", which is 200")],
        ),
        (
            "flat",
            number("per-user", 1),
            vec![format!(
                "{at}[0].limit: limit \"per-user\" has no window with ownRequests for tier \"flat\""
            )],
        ),
        (
            "silver",
            number("per-address", 1),
            vec![format!("{at}[0].limit: limit \"per-address\" has no window with ownRequests")],
        ),
        (
            "silver",
            number("per-route", 1),
            vec![format!(
                "{at}[0].limit: API keys share one count of limit \"per-route\"; add principal or apiKey to its key"
            )],
        ),
        (
            "silver",
            number("per-usr", 1),
            vec![format!("{at}[0].limit: unknown limit \"per-usr\"; did you mean \"per-user\"?")],
        ),
        (
            "silver",
            serde_json::json!([{"limit": "per-user", "requests": 1}, {"limit": "per-user", "requests": 2}]),
            vec![format!("{at}: names one limit twice")],
        ),
        ("silver", serde_json::json!([]), vec![format!("{at}: no numbers; leave the field out")]),
        (
            "silver",
            number("per-user", 0),
            vec![format!("{at}[0].requests: must be a whole number from 1 to 4294967295, found 0")],
        ),
    ] {
        assert_eq!(with_key(tier.into(), own.clone()), expected, "{tier} {own}");
    }
}
