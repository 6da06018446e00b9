//! Three members of one real etcd, on this machine alone. They speak to each other by way of us, so that one can be cut off
//! from the others while clients still reach it.

use std::{
    collections::HashMap,
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use super::{etcd, free_port};

pub(crate) const MEMBERS: usize = 3;

/// As long as it may take to elect a leader on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(30);

pub(crate) struct Members {
    members: Vec<Member>,
    links: Links,
    /// As whom we speak to them, once users have to log in.
    user: Option<&'static str>,
}

struct Member {
    /// `None`: its process was ended.
    child: Option<Child>,
    /// Whether it may be asked, as far as we had a hand in it.
    is_up: bool,
    /// For clients.
    port: u16,
    /// For the others, who come by way of us.
    peer_port: u16,
    /// Where the others believe it to be.
    advertised: SocketAddr,
    directory: TempDir,
}

impl Members {
    /// Starts them with nothing in them.
    pub(crate) async fn start() -> Self {
        Self::start_from(|_, _| {}).await
    }

    /// Starts each with what its snapshot holds, as if they had always agreed on that.
    pub(crate) async fn start_with(snapshots: [&NamedTempFile; MEMBERS]) -> Self {
        Self::start_from(|place, members| {
            let member = &members[place];
            let done = Command::new("etcdctl")
                .env("ETCDCTL_API", "3")
                .args(["snapshot", "restore", snapshots[place].path().to_str().unwrap()])
                .args(["--name", &name(place), "--initial-cluster", &initial_cluster(members)])
                .args(["--initial-advertise-peer-urls", &format!("http://{}", member.advertised)])
                .arg("--data-dir")
                .arg(member.directory.path().join("data"))
                .output()
                .unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        })
        .await
    }

    async fn start_from(prepare: impl Fn(usize, &[Member])) -> Self {
        let (mut members, mut links) = (Vec::new(), Links::new());
        for place in 0..MEMBERS {
            let (port, peer_port) = (free_port(), free_port());
            let advertised = links.lay(place, peer_port).await;
            let directory = tempfile::tempdir().unwrap();
            members.push(Member { child: None, is_up: true, port, peer_port, advertised, directory });
        }
        (0..MEMBERS).for_each(|place| prepare(place, &members));
        for place in 0..MEMBERS {
            members[place].child = Some(run(&members, place, "new"));
        }
        let members = Self { members, links, user: None };
        members.wait();
        members
    }

    /// As [`super::etcd::Etcd::require_login`].
    pub(crate) fn require_login(&mut self, prefix: &str) {
        etcd::require_login(prefix, |arguments| _ = self.ctl(arguments));
        self.user = Some(etcd::ROOT);
    }

    pub(crate) fn address(&self, place: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.members[place].port).into()
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        (0..MEMBERS).map(|place| self.address(place)).collect()
    }

    /// Which one leads, as those say who may be asked.
    pub(crate) fn leader(&self) -> usize {
        let mut leader = None;
        until("there is a leader", || {
            let told = self.up().filter_map(|place| {
                let status = self.status(place)?;
                (status["leader"] == status["header"]["member_id"])
                    .then(|| (status["raftTerm"].as_u64(), place))
            });
            // One that was cut off may not know that it leads no more.
            leader = told.max().map(|(_, place)| place);
            leader.is_some()
        });
        leader.unwrap()
    }

    pub(crate) fn follower(&self) -> usize {
        let leader = self.leader();
        self.up().find(|place| *place != leader).unwrap()
    }

    /// Has another one lead.
    pub(crate) fn move_leader(&self) {
        until("the leader is another one", || {
            let (leader, follower) = (self.leader(), self.follower());
            self.id(follower).is_some_and(|id| self.try_ctl(leader, &["move-leader", &id]).is_ok())
        });
    }

    /// Ends the process at once; what was written is there when it starts again.
    pub(crate) fn kill(&mut self, place: usize) {
        let member = &mut self.members[place];
        member.is_up = false;
        member.end();
    }

    pub(crate) fn restart(&mut self, place: usize) {
        self.members[place].end();
        self.members[place].child = Some(run(&self.members, place, "existing"));
        self.members[place].is_up = true;
        self.wait();
    }

    /// From now on it does nothing, and its connections stay as they are.
    pub(crate) fn pause(&mut self, place: usize) {
        self.members[place].is_up = false;
        self.members[place].signal("-STOP");
    }

    pub(crate) fn resume(&mut self, place: usize) {
        self.members[place].signal("-CONT");
        self.members[place].is_up = true;
        self.wait();
    }

    /// From now on it hears nothing of the others, nor they of it. Clients reach it.
    pub(crate) async fn cut_off(&mut self, place: usize) {
        self.members[place].is_up = false;
        self.links.cut.send_replace(Some(place));
        // Those who carry what they say hear of it first.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    pub(crate) fn join_again(&mut self) {
        self.links.cut.send_replace(None);
        self.members.iter_mut().for_each(|member| member.is_up = member.child.is_some());
        self.wait();
    }

    /// Another machine takes its place, with nothing on it.
    pub(crate) fn replace(&mut self, place: usize) {
        let id = self.id(place).unwrap();
        self.kill(place);
        let peer = format!("--peer-urls=http://{}", self.members[place].advertised);
        self.ctl(&["member", "remove", &id]);
        self.ctl(&["member", "add", &name(place), &peer]);
        self.members[place].directory = tempfile::tempdir().unwrap();
        self.restart(place);
        assert_ne!(self.id(place), Some(id));
    }

    /// Runs `etcdctl` on those who may be asked, until they do it.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        let mut done = None;
        until(&format!("{arguments:?} is done"), || {
            done = self.up().find_map(|place| self.try_ctl(place, arguments).ok());
            done.is_some()
        });
        done.unwrap()
    }

    /// Runs `etcdctl` on one, once. The error is what it said.
    pub(crate) fn try_ctl(&self, place: usize, arguments: &[&str]) -> Result<String, String> {
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.address(place).to_string(), "--command-timeout", "3s"])
            .args(self.user.iter().flat_map(|user| ["--user", user]))
            .args(arguments)
            .output()
            .expect("etcdctl runs: `make test` installs it");
        match done.status.success() {
            true => Ok(String::from_utf8(done.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// Has these commands done, all or none.
    pub(crate) fn transact(&self, commands: &[String]) {
        let commands = format!("\n{}\n\n\n", commands.join("\n"));
        let mut child = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.address(self.up().next().unwrap()).to_string(), "txn"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("etcdctl runs: `make test` installs it");
        child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }

    fn up(&self) -> impl Iterator<Item = usize> {
        (0..MEMBERS).filter(|place| self.members[*place].is_up)
    }

    fn status(&self, place: usize) -> Option<Value> {
        let told = self.try_ctl(place, &["endpoint", "status", "--write-out", "json"]).ok()?;
        let mut told: Value = serde_json::from_str(&told).ok()?;
        Some(told[0]["Status"].take())
    }

    /// As etcd writes it.
    fn id(&self, place: usize) -> Option<String> {
        Some(format!("{:x}", self.status(place)?["header"]["member_id"].as_u64()?))
    }

    /// Until all who are up agree with the others.
    fn wait(&self) {
        until("etcd answers", || self.up().all(|place| self.try_ctl(place, &["endpoint", "health"]).is_ok()));
        let ids = self.up().filter_map(|place| Some((self.id(place)?, place)));
        self.links.ids.lock().unwrap().extend(ids);
    }
}

impl Member {
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: &str) {
        let process = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn name(place: usize) -> String {
    format!("member{place}")
}

fn initial_cluster(members: &[Member]) -> String {
    let members = members.iter().enumerate();
    members
        .map(|(n, member)| format!("{}=http://{}", name(n), member.advertised))
        .collect::<Vec<_>>()
        .join(",")
}

fn run(members: &[Member], place: usize, state: &str) -> Child {
    let Member { port, peer_port, advertised, directory, .. } = &members[place];
    let client = format!("http://127.0.0.1:{port}");
    let data: &Path = directory.path();
    Command::new("etcd")
        .args(["--name", &name(place), "--data-dir"])
        .arg(data.join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer_port}")])
        .args(["--initial-advertise-peer-urls", &format!("http://{advertised}")])
        .args(["--initial-cluster", &initial_cluster(members), "--initial-cluster-state", state])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd starts: `make test` installs it")
}

/// The way to each member, for the others.
struct Links {
    /// Who is cut off from the others.
    cut: watch::Sender<Option<usize>>,
    /// Members by their ids, as etcd writes those.
    ids: Arc<Mutex<HashMap<String, usize>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Links {
    fn new() -> Self {
        Self { cut: watch::Sender::new(None), ids: Arc::default(), tasks: Vec::new() }
    }

    /// One to the member that listens at `port`; where it begins.
    async fn lay(&mut self, to: usize, port: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, ids) = (self.cut.subscribe(), Arc::clone(&self.ids));
        self.tasks.push(tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (mut cut, ids) = (cut.clone(), Arc::clone(&ids));
                tokio::spawn(async move {
                    let mut from = None;
                    let is_cut = |from: &Option<String>, cut: &Option<usize>| {
                        let place = from.as_ref().and_then(|id| ids.lock().unwrap().get(id).copied());
                        // Whoever does not say who it is may be the one.
                        cut.is_some_and(|cut| cut == to || place.is_none_or(|place| place == cut))
                    };
                    let Some((stream, head)) = read_head(stream, &mut from).await else { return };
                    // A member that is down is reached by nobody, which its process says by itself.
                    tokio::select! {
                        _ = cut.wait_for(|cut| is_cut(&from, cut)) => {}
                        _ = carry(stream, &head, port) => {}
                    }
                });
            }
        }));
        address
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The head of the first request, and who sends it; a connection is of one sender.
async fn read_head(mut stream: TcpStream, from: &mut Option<String>) -> Option<(TcpStream, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let sender = text.lines().filter_map(|line| line.split_once(": "));
    *from = sender
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-server-from"))
        .map(|(_, id)| id.to_owned());
    Some((stream, head))
}

async fn carry(mut stream: TcpStream, head: &[u8], port: u16) -> std::io::Result<()> {
    let mut member = TcpStream::connect(("127.0.0.1", port)).await?;
    member.write_all(head).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut member).await?;
    Ok(())
}
