//! What a principal holds, as bits: set once when it is verified, tested on every request.
//!
//! The policy names a finite set of scopes, permissions and roles that any rule asks for. Each gets a bit;
//! wildcards and inheritance are resolved here, so that a check is a comparison of words.

use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use super::{
    ClaimCondition, ConditionsSpec, RequiredNames, RequirementSpec, RoleSpec, bits::Bits, claims::Verdict,
};
use crate::{
    identity::{Principal, PrincipalKind},
    json::Json,
};

/// Names that rules ask for, each with its bit.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    bits: HashMap<Rc<str>, usize>,
    /// By their bits.
    names: Vec<Rc<str>>,
}

impl Index {
    fn intern(&mut self, name: &str) {
        if !self.bits.contains_key(name) {
            let name: Rc<str> = name.into();
            self.bits.insert(Rc::clone(&name), self.names.len());
            self.names.push(name);
        }
    }

    fn bits<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Bits {
        let mut bits = Bits::default();
        for bit in names.into_iter().filter_map(|name| self.bits.get(name)) {
            bits.insert(*bit);
        }
        bits
    }

    fn matching(&self, pattern: &str) -> Bits {
        let mut bits = Bits::default();
        for (bit, name) in self.names.iter().enumerate() {
            if permits(pattern, name) {
                bits.insert(bit);
            }
        }
        bits
    }

    /// The names of what is in `needed` and not in `held`.
    pub(super) fn lacking<'a>(
        &'a self,
        needed: &'a Bits,
        held: &'a Bits,
    ) -> impl Iterator<Item = &'a str> + 'a {
        needed.without(held).filter_map(|bit| self.names.get(bit).map(|name| &**name))
    }
}

/// Whether holding `granted` gives `wanted`: equal, `*`, or `orders:*` for anything below `orders:`.
fn permits(granted: &str, wanted: &str) -> bool {
    match granted.strip_suffix('*') {
        None => granted == wanted,
        Some("") => true,
        Some(prefix) => prefix.ends_with(':') && wanted.len() > prefix.len() && wanted.starts_with(prefix),
    }
}

/// Everything that the policy's rules can ask for, and what each role gives of it.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    pub(super) scopes: Index,
    pub(super) permissions: Index,
    pub(super) roles: Index,
    /// Each once, with the claim's name; its place is its bit.
    claims: Vec<(Box<str>, ClaimCondition)>,
    audiences: Index,
    by_role: HashMap<Box<str>, RoleGrants>,
}

#[derive(Clone, Debug, Default)]
struct RoleGrants {
    /// The role and all that it inherits, as far as rules ask for them.
    roles: Bits,
    permissions: Bits,
}

/// What one principal holds of the [`Vocabulary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub(super) scopes: Bits,
    pub(super) permissions: Bits,
    pub(super) roles: Bits,
    /// Conditions on claims that hold.
    pub(super) claims_met: Bits,
    /// Conditions on claims that do not hold, for sure.
    pub(super) claims_unmet: Bits,
    /// There may be roles that could not be read, and permissions through them.
    pub(super) roles_unclear: bool,
    /// Whom a token is meant for.
    audiences: Bits,
}

/// Audiences, of which a token must have one.
#[derive(Clone, Debug)]
pub(crate) struct Audiences(Bits);

impl Grants {
    /// Nothing is held, and nothing is known of any claim.
    pub(super) const NONE: Self = Self {
        scopes: Bits::NONE,
        permissions: Bits::NONE,
        roles: Bits::NONE,
        claims_met: Bits::NONE,
        claims_unmet: Bits::NONE,
        roles_unclear: false,
        audiences: Bits::NONE,
    };

    /// Whether the token is meant for one of these. False of whatever is no token.
    pub(crate) fn are_for(&self, audiences: &Audiences) -> bool {
        self.audiences.meets(&audiences.0)
    }
}

impl Vocabulary {
    /// Collects what `requirements` ask for and resolves `roles` against it.
    ///
    /// Names of roles are unique, and what they inherit is there and leads in no circle: that was checked when they were
    /// read.
    pub fn compile<'a>(
        roles: &[RoleSpec],
        requirements: impl IntoIterator<Item = &'a RequirementSpec>,
    ) -> Self {
        let mut vocabulary = Self::default();
        for conditions in requirements.into_iter().flat_map(RequirementSpec::conditions) {
            vocabulary.intern(conditions);
        }
        let by_name: HashMap<&str, &RoleSpec> = roles.iter().map(|role| (role.name.as_str(), role)).collect();
        for role in roles {
            let all = closure(role, &by_name);
            let mut grants = RoleGrants {
                roles: vocabulary.roles.bits(all.iter().map(|role| role.name.as_str())),
                permissions: Bits::default(),
            };
            for pattern in all.iter().flat_map(|role| &role.permissions) {
                grants.permissions.extend(&vocabulary.permissions.matching(pattern));
            }
            vocabulary.by_role.insert(role.name.as_str().into(), grants);
        }
        vocabulary
    }

    fn intern(&mut self, conditions: &ConditionsSpec) {
        for condition in &conditions.claims {
            if !self.claims.iter().any(|(_, own)| own == condition) {
                self.claims.push((condition.claim.0.join(".").into(), condition.clone()));
            }
        }
        for (names, index) in [
            (&conditions.scopes, &mut self.scopes),
            (&conditions.permissions, &mut self.permissions),
            (&conditions.roles, &mut self.roles),
        ] {
            if let Some(RequiredNames::All(names) | RequiredNames::Any(names)) = names {
                for name in names {
                    index.intern(name);
                }
            }
        }
    }

    /// To be called before anybody's grants are asked for.
    pub(crate) fn audiences(&mut self, names: &[String]) -> Audiences {
        names.iter().for_each(|name| self.audiences.intern(name));
        Audiences(self.audiences.bits(names.iter().map(String::as_str)))
    }

    /// What `principal` holds: its scopes, its roles with all they inherit, and their permissions.
    /// Unknown roles grant nothing. Scopes never grant permissions: they bound what a client was
    /// delegated, roles say what the principal may do.
    pub fn grants(&self, principal: &Principal) -> Grants {
        let mut grants = self.held(
            principal.scopes.iter().map(AsRef::as_ref),
            principal.roles.iter().filter_map(|role| self.by_role.get(role)),
        );
        for pattern in &principal.permissions {
            grants.permissions.extend(&self.permissions.matching(pattern));
        }
        grants.roles_unclear = principal.roles_unclear;
        grants.audiences = self.audiences_of(principal);
        for (bit, (_, condition)) in self.claims.iter().enumerate() {
            match condition.judge(principal) {
                Verdict::Met => grants.claims_met.insert(bit),
                Verdict::Unmet => grants.claims_unmet.insert(bit),
                Verdict::Unclear => {}
            }
        }
        grants
    }

    /// RFC 7519 section 4.1.3: a string or a list of strings. Anything else is meant for nobody.
    fn audiences_of(&self, principal: &Principal) -> Bits {
        if principal.kind != PrincipalKind::Jwt || self.audiences.names.is_empty() {
            return Bits::default();
        }
        match principal.claims.object().get("aud") {
            Some(Json::String(audience)) => self.audiences.bits([audience]),
            Some(Json::List(list)) => {
                let audiences: Option<Vec<&str>> = list.iter().map(|audience| audience.as_str()).collect();
                self.audiences.bits(audiences.unwrap_or_default())
            }
            _ => Bits::default(),
        }
    }

    /// The most that the holder of a certificate can have that the policy gives these scopes and roles: it may have any
    /// name.
    pub(crate) fn granted(&self, scopes: &[String], roles: &[String]) -> Grants {
        let roles = roles.iter().filter_map(|role| self.by_role.get(role.as_str()));
        let mut grants = self.held(scopes.iter().map(String::as_str), roles);
        let of_name = self.claims.iter().enumerate().filter(|(_, (_, condition))| condition.is_of_subject());
        of_name.for_each(|(bit, _)| grants.claims_met.insert(bit));
        grants
    }

    /// The most that a token can hold: its issuer may write anything into it.
    pub(crate) fn most_of_a_token(&self, has_roles: bool) -> Grants {
        let roles = self.by_role.values().filter(|_| has_roles);
        let mut grants = self.held(self.scopes.names.iter().map(|name| &**name), roles);
        (0..self.claims.len()).for_each(|bit| grants.claims_met.insert(bit));
        grants
    }

    /// The most that a key can hold that the policy does not know: every scope and role, and what every level grants.
    pub(crate) fn most_of_a_key<'a>(&self, by_levels: impl IntoIterator<Item = &'a str>) -> Grants {
        let mut grants = self.held(self.scopes.names.iter().map(|name| &**name), self.by_role.values());
        for pattern in by_levels {
            grants.permissions.extend(&self.permissions.matching(pattern));
        }
        grants
    }

    /// Whether the role gives anything that a rule asks for, itself or by what it inherits.
    pub(crate) fn is_asked_for(&self, role: &str) -> bool {
        let nothing = Bits::default();
        self.by_role.get(role).is_some_and(|gives| gives.roles != nothing || gives.permissions != nothing)
    }

    fn held<'a>(
        &'a self,
        scopes: impl Iterator<Item = &'a str>,
        roles: impl Iterator<Item = &'a RoleGrants>,
    ) -> Grants {
        let mut grants = Grants { scopes: self.scopes.bits(scopes), ..Grants::default() };
        for held in roles {
            grants.roles.extend(&held.roles);
            grants.permissions.extend(&held.permissions);
        }
        grants
    }

    pub(super) fn scope_bits(&self, names: &[String]) -> Bits {
        self.scopes.bits(names.iter().map(String::as_str))
    }

    pub(super) fn permission_bits(&self, names: &[String]) -> Bits {
        self.permissions.bits(names.iter().map(String::as_str))
    }

    pub(super) fn claim_bits(&self, conditions: &[ClaimCondition]) -> Bits {
        let mut bits = Bits::default();
        let places = conditions.iter().map(|wanted| self.claims.iter().position(|(_, own)| own == wanted));
        places.flatten().for_each(|bit| bits.insert(bit));
        bits
    }

    /// Whether it depends on the subject what somebody holds.
    pub(crate) fn asks_for_subject(&self) -> bool {
        self.claims.iter().any(|(_, condition)| condition.is_of_subject())
    }

    /// How many values all conditions on claims are held against, each condition once.
    pub(crate) fn claim_comparisons(&self) -> usize {
        self.claims.iter().map(|(_, condition)| condition.comparisons()).sum()
    }

    /// The claims of the conditions in `needed` that are not in `held`.
    pub(super) fn claims_lacking<'a>(
        &'a self,
        needed: &'a Bits,
        held: &'a Bits,
    ) -> impl Iterator<Item = &'a str> + 'a {
        needed.without(held).filter_map(|bit| self.claims.get(bit).map(|(name, _)| &**name))
    }

    pub(super) fn role_bits(&self, names: &[String]) -> Bits {
        self.roles.bits(names.iter().map(String::as_str))
    }
}

/// The role and everything that it inherits.
fn closure<'a>(role: &'a RoleSpec, by_name: &HashMap<&str, &'a RoleSpec>) -> Vec<&'a RoleSpec> {
    let mut seen: HashSet<&str> = HashSet::from_iter([role.name.as_str()]);
    let mut all = vec![role];
    let mut next = 0;
    while let Some(current) = all.get(next).copied() {
        next = next.saturating_add(1);
        for parent in current.inherits.iter().filter_map(|parent| by_name.get(parent.as_str())) {
            if seen.insert(parent.name.as_str()) {
                all.push(parent);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::permits;

    #[test]
    fn permission_patterns() {
        for (granted, wanted, expected) in [
            ("orders:read", "orders:read", true),
            ("orders:read", "orders:write", false),
            ("orders:*", "orders:read", true),
            ("orders:*", "orders:read:own", true),
            ("orders:*", "orders:", false),
            ("orders:*", "orders", false),
            ("orders:*", "ordersX:read", false),
            ("*", "anything", true),
            ("ord*", "orders:read", false),
            ("orders", "orders:read", false),
        ] {
            assert_eq!(permits(granted, wanted), expected, "{granted} gives {wanted}");
        }
    }
}
