//! The members of the decision record, in the order in which they are written, and their names.

use crate::config::RecordNames;

/// What the Elastic Common Schema calls a member; what it has no name for stands in a field set of our own.
macro_rules! ecs {
    ($own:literal) => {
        concat!("portcullis.", $own)
    };
    ($own:literal $ecs:literal) => {
        $ecs
    };
}

macro_rules! members {
    ($($name:ident = $own:literal $(as $ecs:literal)?;)*) => {
        /// A member of the decision record.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Member {
            $($name,)*
        }

        impl Member {
            /// Every member, for whoever describes them.
            #[cfg(not(target_family = "wasm"))]
            pub(super) const ALL: [Self; [$($own),*].len()] = [$(Self::$name),*];

            pub(super) const fn name(self, names: RecordNames) -> &'static str {
                match names {
                    RecordNames::Portcullis => match self {
                        $(Self::$name => $own,)*
                    },
                    RecordNames::Ecs => match self {
                        $(Self::$name => ecs!($own $($ecs)?),)*
                    },
                }
            }
        }
    };
}

members! {
    Decision = "decision" as "event.action";
    Reason = "reason" as "event.reason";
    Detail = "detail";
    Missing = "missing";
    Party = "party";
    Rule = "rule" as "rule.name";
    Method = "method" as "http.request.method";
    Path = "path" as "url.path";
    Actor = "actor";
    ActorKind = "actorKind";
    ActorAuthority = "actorAuthority";
    ActorCredential = "actorCredential";
    Principal = "principal" as "user.id";
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
    Shadow = "shadow";
    ShadowReason = "shadowReason";
    ShadowRule = "shadowRule";
    ShadowLimit = "shadowLimit";
    Address = "address" as "client.ip";
    RequestId = "requestId" as "http.request.id";
    TraceId = "traceId" as "trace.id";
    Repeated = "repeated";
    Chain = "chain";
    Sequence = "sequence" as "event.sequence";
    Previous = "previous";
}

/// What the Elastic Common Schema asks for beside: the version of it that the names are from.
pub(super) const ECS_VERSION: &str = "8.17.0";

/// The same of a decision: its outcome, and its type among events of the category `api`.
pub(super) fn ecs_outcome(decision: &str) -> [&'static str; 2] {
    match decision {
        "allow" => ["success", "allowed"],
        "end" => ["failure", "end"],
        _ => ["failure", "denied"],
    }
}
