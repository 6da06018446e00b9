//! Operations as rules: those of one path that ask the same are one.

use std::ops::Range;

use serde_json::{Map, Value as Json, json};

use super::{
    document::{Document, get, members, place},
    extensions,
    paths::Path,
    schemes::Schemes,
    servers::{Place, places},
};
use crate::command::{
    import::{
        arguments::OpenapiOptions,
        demand::{Demand, with_more},
        draft::{DraftRule, named},
        told::Told,
    },
    tree::{Member, Node},
};

/// Those that a path item may have.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Operations of one path at one place, and who may call them.
pub(super) struct PathRules {
    pub(super) path: Path,
    pub(super) hostnames: Vec<String>,
    /// As the document has it, for people.
    pub(super) text: String,
    pub(super) at: Range<usize>,
    pub(super) groups: Vec<Group>,
}

/// Operations that ask the same.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) methods: Vec<String>,
    pub(super) name: String,
    /// Members of the rule behind `matches`.
    pub(super) asks: Map<String, Json>,
    pub(super) from: Vec<String>,
    pub(super) at: Range<usize>,
    pub(super) comments: Vec<String>,
    /// Empty: that of the rules that it is of.
    pub(super) paths: Vec<Path>,
}

impl Group {
    pub(super) fn is_closed(&self) -> bool {
        self.asks.is_empty()
    }

    pub(super) fn close(&mut self, why: &str) {
        self.asks.clear();
        self.comments.push(format!("Closed: {why}."));
    }
}

/// A path as it stands in a mark, where a comma stands between two operations.
pub(super) fn in_mark(path: &str) -> String {
    path.replace(',', "%2C")
}

/// Reads every operation.
pub(super) struct Reading<'a> {
    pub(super) document: &'a Document<'a>,
    pub(super) schemes: &'a mut Schemes,
    pub(super) options: &'a OpenapiOptions,
    pub(super) told: &'a mut Told,
    /// Names that rules have.
    pub(super) names: Vec<String>,
    pub(super) operations: usize,
}

impl Reading<'_> {
    pub(super) fn all(&mut self) -> Vec<PathRules> {
        let root = self.document.root;
        let of_document = places(get(root, "servers"), "servers", self.options, self.told);
        let mut all: Vec<PathRules> = Vec::new();
        for member in get(root, "paths").map(members).unwrap_or_default() {
            // Other members are extensions.
            if member.name.text.starts_with('/') {
                self.item(member, &of_document, &mut all);
            }
        }
        all
    }

    fn item(&mut self, member: &Member, of_document: &[Place], all: &mut Vec<PathRules>) {
        let text = member.name.text.as_str();
        let item = match self.document.resolve(&member.value) {
            Ok(item) => item,
            Err(why) => {
                self.told.left(&place(member), text, format!("{why}; nothing of it is open"));
                for place in of_document {
                    let group = self.closed_item(text, member, &why);
                    self.add(text, member, place, vec![group], all, of_document);
                }
                return;
            }
        };
        for of_item in members(item).into_iter().filter(|own| METHODS.contains(&own.name.text.as_str())) {
            self.operations = self.operations.saturating_add(1);
            let method = of_item.name.text.to_ascii_uppercase();
            let about = format!("{method} {text}");
            let operation = self.document.resolve(&of_item.value);
            let own = operation.as_ref().ok().and_then(|operation| get(operation, "servers"));
            let places = match own.or_else(|| get(item, "servers")) {
                Some(servers) => places(Some(servers), &about, self.options, self.told),
                None => of_document.to_vec(),
            };
            for place in &places {
                let group = match &operation {
                    Ok(operation) => self.operation(operation, item, of_item, &about, place),
                    Err(why) => {
                        self.told.left(&of_item.name_span, &about, format!("{why}; it is closed"));
                        let mut group = self.group(&method, None, text, of_item);
                        group.comments.push(format!("Closed: {why}."));
                        group
                    }
                };
                self.add(text, member, place, vec![group], all, of_document);
            }
        }
    }

    /// All of a path of which nothing is known.
    fn closed_item(&mut self, text: &str, member: &Member, why: &str) -> Group {
        let mut group = self.group("ANY", None, text, member);
        group.methods.clear();
        group.comments.push(format!("Closed: {why}."));
        group
    }

    fn group(&mut self, method: &str, id: Option<&str>, text: &str, at: &Member) -> Group {
        let own = id.map(named).filter(|id| !id.is_empty());
        let name = own.unwrap_or_else(|| {
            named(&format!("{}:{}", method.to_ascii_lowercase(), text.replace(['{', '}'], "")))
        });
        Group {
            methods: vec![method.to_owned()],
            name,
            asks: Map::new(),
            from: vec![format!("{method} {}", in_mark(text))],
            at: at.name_span.clone(),
            comments: Vec::new(),
            paths: Vec::new(),
        }
    }

    fn operation(&mut self, operation: &Node, item: &Node, at: &Member, about: &str, place: &Place) -> Group {
        let (method, text) = about.split_once(' ').unwrap_or((about, ""));
        let id = get(operation, "operationId").and_then(Node::text);
        let mut group = self.group(method, id, text, at);
        if self.options.head && method == "GET" && get(item, "head").is_none() {
            group.methods.push("HEAD".to_owned());
        }
        let root = self.document.root;
        let security = get(operation, "security").or_else(|| get(root, "security"));
        let demand = self.schemes.demand(security, &at.name_span, about, self.told);
        let extensions = match extensions::read(operation, [item, root]) {
            Ok(extensions) => extensions,
            Err(why) => {
                self.told.left(&at.name_span, about, format!("{why}; it is closed"));
                group.close(&why);
                return group;
            }
        };
        let mut more = extensions.needs;
        if let Some((parameter, claim)) = &extensions.owner {
            let path = Path::new(&place.base, text).ok();
            let variable = path.as_ref().and_then(|path| path.variable(parameter));
            let Some(variable) = variable else {
                let why = format!("{parameter:?} is no parameter of the path, so nobody is its owner");
                self.told.left(&at.name_span, about, format!("{why}; it is closed"));
                group.close(&why);
                return group;
            };
            more.insert("owner".to_owned(), extensions::owner(variable, claim.as_ref()));
        }
        let demand = match demand {
            Demand::Anonymous if !more.is_empty() => {
                let why = "what it asks of callers needs a credential, and it asks for none";
                self.told.left(&at.name_span, about, format!("{why}; it is closed"));
                group.close(why);
                return group;
            }
            Demand::Ways { optional: true, alternatives } if !more.is_empty() => {
                let why = "what it asks of callers needs a credential; without one nobody passes";
                self.told.left(&at.name_span, about, why);
                Demand::Ways { optional: false, alternatives }
            }
            demand => demand,
        };
        let schemes = &*self.schemes;
        let (said, stricter) = demand.said(&|provider| schemes.issuer(provider));
        for reason in stricter {
            self.told.left(&at.name_span, about, reason.message());
        }
        let Some(said) = said else {
            group.close(match security {
                Some(_) => "nothing that the document asks for can be asked for here",
                None => "the document does not say who may call it",
            });
            return group;
        };
        group.asks.insert("authenticate".to_owned(), said.authenticate);
        match with_more(said.authorize, &more) {
            Some(authorize) if authorize.is_empty() => {}
            Some(authorize) => _ = group.asks.insert("authorize".to_owned(), Json::Object(authorize)),
            None => {
                let why = "one of several roles, and the role of the key, are not asked for together";
                self.told.left(&at.name_span, about, format!("{why}; it is closed"));
                group.close(why);
                return group;
            }
        }
        if !extensions.rate_limits.is_empty() {
            group.asks.insert("rateLimits".to_owned(), Json::Array(extensions.rate_limits));
        }
        group
    }

    /// Adds operations to those of their path and place.
    fn add(
        &mut self,
        text: &str,
        member: &Member,
        place: &Place,
        groups: Vec<Group>,
        all: &mut Vec<PathRules>,
        of_document: &[Place],
    ) {
        let path = match Path::new(&place.base, text) {
            Ok(path) => path,
            Err(why) => {
                self.told.left(&member.name_span, text, format!("{why}; no rule is made of it"));
                return;
            }
        };
        // Operations elsewhere, and those of further servers, are told apart by where they are.
        let is_usual = of_document.first() == Some(place);
        let host = place.hostnames.first().map_or("*", String::as_str);
        for mut group in groups {
            if !is_usual {
                for from in &mut group.from {
                    from.push_str(&format!(" at {host}{}", place.base));
                }
            }
            let is_here = |rules: &&mut PathRules| {
                rules.hostnames == place.hostnames && rules.path.covers(&path) && path.covers(&rules.path)
            };
            match all.iter_mut().find(is_here) {
                Some(rules) => rules.join(group, self.told),
                None => all.push(PathRules {
                    path: path.clone(),
                    hostnames: place.hostnames.clone(),
                    text: text.to_owned(),
                    at: member.name_span.clone(),
                    groups: vec![group],
                }),
            }
        }
    }

    /// A name that no other rule has.
    pub(super) fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut number = 1_usize;
        while self.names.contains(&unique) {
            number = number.saturating_add(1);
            unique = format!("{name}-{number}");
        }
        self.names.push(unique.clone());
        unique
    }
}

impl PathRules {
    /// Adds an operation. One path is written in several ways: with other variables, with a fragment behind it.
    fn join(&mut self, mut group: Group, told: &mut Told) {
        let about = group.from.join(", ");
        let is_there = |own: &Group, method: &String| own.methods.contains(method);
        for own in &mut self.groups {
            let twice: Vec<String> =
                group.methods.iter().filter(|method| is_there(own, method)).cloned().collect();
            if twice.is_empty() {
                continue;
            }
            group.methods.retain(|method| !twice.contains(method));
            if own.asks == group.asks {
                own.from.append(&mut group.from.clone());
                continue;
            }
            let why = format!("{} stands for the same requests and asks something else", own.from.join(", "));
            told.left(&group.at, &about, format!("{why}; both are closed"));
            own.close(&why.replace(&own.from.join(", "), &about));
            own.from.append(&mut group.from.clone());
        }
        if group.methods.is_empty() {
            return;
        }
        let same = |own: &&mut Group| own.asks == group.asks && own.comments == group.comments;
        match self.groups.iter_mut().find(same) {
            Some(own) => {
                own.methods.append(&mut group.methods);
                own.from.append(&mut group.from);
            }
            None => self.groups.push(group),
        }
    }

    /// The rules, in the order of the document.
    pub(super) fn rules(&self, name: &mut dyn FnMut(&str) -> String) -> Vec<DraftRule> {
        self.groups.iter().map(|group| self.rule(group, name)).collect()
    }

    fn rule(&self, group: &Group, name: &mut dyn FnMut(&str) -> String) -> DraftRule {
        let mut value = Map::from_iter([("name".to_owned(), Json::from(name(&group.name)))]);
        if !self.hostnames.is_empty() {
            value.insert("hostnames".to_owned(), json!(self.hostnames));
        }
        if group.is_closed() {
            value.insert("action".to_owned(), Json::from("Deny"));
        }
        let mut condition = Map::new();
        match group.methods.as_slice() {
            [] => {}
            [method] => _ = condition.insert("method".to_owned(), Json::from(method.as_str())),
            methods => _ = condition.insert("methods".to_owned(), json!(methods)),
        }
        let paths = if group.paths.is_empty() { std::slice::from_ref(&self.path) } else { &group.paths };
        let matches = paths.iter().map(|path| {
            let mut condition = condition.clone();
            condition.extend(path.said());
            Json::Object(condition)
        });
        value.insert("matches".to_owned(), matches.collect());
        value.extend(group.asks.clone());
        DraftRule { from: group.from.clone(), at: group.at.clone(), value, comments: group.comments.clone() }
    }
}
