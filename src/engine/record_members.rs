//! The members of the decision record, in the order in which they are written.

macro_rules! members {
    ($($name:ident = $text:literal;)*) => {
        /// A member of the decision record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Member {
            $($name,)*
        }

        impl Member {
            /// Every member, for whoever describes them.
            #[cfg(not(target_family = "wasm"))]
            pub(super) const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

members! {
    Decision = "decision";
    Reason = "reason";
    Detail = "detail";
    Missing = "missing";
    Party = "party";
    Rule = "rule";
    Method = "method";
    Path = "path";
    Actor = "actor";
    ActorKind = "actorKind";
    ActorAuthority = "actorAuthority";
    ActorCredential = "actorCredential";
    Principal = "principal";
    Kind = "kind";
    Authority = "authority";
    Credential = "credential";
    Provider = "provider";
    Issuer = "issuer";
    Audience = "audience";
    Kid = "kid";
    Certificate = "certificate";
    Unsent = "unsent";
    Limit = "limit";
    Address = "address";
    RequestId = "requestId";
    TraceId = "traceId";
    Repeated = "repeated";
}
