//! `apiKeys.etcd` and `revocation.etcd`.

use super::{
    faults::quoted,
    model::{Bound, Field, Form, HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required},
    reader::Object,
};
use crate::{
    etcd::{Login, Password, Server},
    replica::ReplicaSpec,
};

/// Envoy is told of a longer one in bytes that the SDK of proxy-wasm does not take.
const LONGEST_GRPC_CLUSTER: usize = 125;

pub(super) const URI: Field =
    required("uri", Kind::Url { https: false }, "Where etcd's JSON gateway is: scheme, host and port.");
pub(super) const CLUSTER: Field =
    required("cluster", Kind::Text(Form::Label), "The Envoy cluster that reaches it.");
pub(super) const PREFIX: Field = default(
    "prefix",
    Kind::Text(Form::Any),
    "/portcullis/",
    "What the names of all its entries begin with; it ends with `/`.",
);
pub(super) const TIMEOUT: Field = default("timeout", Kind::Duration(SECOND / 10, MINUTE), "5s", "Per call.");
pub(super) const USER: Field = optional(
    "user",
    Kind::Text(Form::Any),
    "absent: etcd asks nobody who they are",
    "Our name in etcd, where its authentication is enabled. It need read no more than `prefix`, and write only what is said \
     to be written.",
);
pub(super) const PASSWORD: Field = optional(
    "password",
    Kind::Text(Form::Any),
    "required with `user`, else refused",
    "The password of `user`.",
);
pub(super) const LOGIN: Bound =
    Bound::Given(&["user"], &[Bound::Required("password")], &[Bound::Forbidden("password")]);

pub(super) static ETCD: Shape = Shape::bound(
    &[
        URI,
        CLUSTER,
        optional(
            "watchCluster",
            Kind::Text(Form::Label),
            "absent: it is polled, no more",
            "The Envoy cluster that reaches it by gRPC, for a watch: what is changed there counts at once, see below. At most 125 \
         bytes.",
        ),
        PREFIX,
        default(
            "pollInterval",
            Kind::Duration(SECOND / 4, MINUTE),
            "1s",
            "How often it is asked what has changed. One worker asks for all.",
        ),
        TIMEOUT,
        optional(
            "maxStale",
            Kind::Duration(SECOND, 168 * HOUR),
            "absent: for good",
            "How long what was read counts after etcd last confirmed it. Then requests with keys of etcd, or all with a \
         credential where revocations are there, are refused with 503. At least `pollInterval`.",
        ),
        USER,
        PASSWORD,
    ],
    &[LOGIN],
);

/// `section` is where it stands, `schema` what is kept there.
pub(super) fn etcd(mut o: Object<'_>, section: &'static str, schema: &'static str) -> Option<ReplicaSpec> {
    let mut watch_cluster = o.text("watchCluster");
    if watch_cluster.as_ref().is_some_and(|name| name.len() > LONGEST_GRPC_CLUSTER) {
        watch_cluster = o.fault_at("watchCluster", "is longer than 125 bytes");
    }
    let poll_interval = o.duration("pollInterval");
    let max_stale = o.duration("maxStale");
    let server = server(&mut o, section);
    if o.has("maxStale") && max_stale < poll_interval {
        o.fault_at::<()>("maxStale", "is shorter than pollInterval");
        return None;
    }
    Some(ReplicaSpec { server: server?, schema, watch_cluster, poll_interval: poll_interval?, max_stale })
}

/// Where an etcd is and who we are there. `section` is what it is called for operators.
pub(super) fn server(o: &mut Object<'_>, section: &'static str) -> Option<Server> {
    let mut endpoint = o.url("uri");
    if let Some(url) = &endpoint
        && url.path != "/"
    {
        endpoint = o.fault_at("uri", "must have no path: etcd's gateway has its own");
    }
    let cluster = o.text("cluster");
    let mut prefix = o.text("prefix");
    if let Some(text) = &prefix
        && !text.ends_with('/')
    {
        prefix = o.fault_at("prefix", format!("{} must end with /", quoted(text)));
    }
    let timeout = o.duration("timeout");
    let login = match (o.has("user"), o.has("password")) {
        (true, true) => Some(login(o)?),
        (true, false) => return o.fault_at("password", "required with user"),
        (false, true) => return o.fault_at("user", "required with password"),
        (false, false) => None,
    };
    Some(Server {
        section,
        endpoint: endpoint?,
        cluster: cluster?,
        prefix: prefix?,
        timeout: timeout?,
        login,
    })
}

fn login(o: &mut Object<'_>) -> Option<Login> {
    let (user, password) = (o.text("user"), o.text("password"));
    Some(Login { user: user?, password: Password(password?) })
}
