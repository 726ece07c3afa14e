//! Logins in etcd, against a real member of etcd: who reaches what, and that nobody is cut off.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its member has failed")]

mod scratch;

use keddah_core::Secret;
use keddah_host::{Host, HostError, RealHost};
use keddah_resource::kind::etcd_access::{self, Part};
use keddah_resource::kind::etcd_auth::{self, Servers, own_prefix};
use keddah_resource::kind::etcd_keys::{self, Living};
use keddah_resource::kind::etcd_login;
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::{Difference, EtcdLife, Observation, Observed, Probe, Spec};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;

struct Member {
    directory: TempDir,
    endpoint: String,
    process: Child,
    host: RealHost,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Member {
    async fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("keddah-etcd-").tempdir().unwrap();
        let (client, peer) = (free_port(), free_port());
        let endpoint = format!("http://127.0.0.1:{client}");
        let data = directory.path().join("data");
        let process = Command::new("/usr/bin/etcd")
            .args(["--data-dir", data.to_str().unwrap()])
            .args(["--listen-client-urls", &endpoint, "--advertise-client-urls", &endpoint])
            .args(["--listen-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{peer}")])
            .args(["--initial-cluster", &format!("default=http://127.0.0.1:{peer}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let host = RealHost::new(directory.path().join("state"));
        let member = Self { directory, endpoint, process, host };
        for _ in 0..100 {
            if let Ok(Observation::Known(_)) = member.look(&member.root("first")).await {
                return member;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("etcd does not start");
    }

    fn servers(&self, root: &str) -> Servers {
        let connection = EtcdConnection {
            endpoint: self.endpoint.clone(),
            ca_path: String::new(),
            certificate_path: String::new(),
            key_path: String::new(),
        };
        Servers { connections: vec![connection], root: Secret::new(root) }
    }

    fn password_file(&self) -> String {
        self.directory.path().join("root.password").to_str().unwrap().to_owned()
    }

    fn root(&self, password: &str) -> Spec {
        let part = etcd_auth::Part::Root { password_file: self.password_file() };
        etcd_auth::Spec { part, servers: self.servers(password) }.into()
    }

    fn required(&self, served: &[&str]) -> Spec {
        let part = etcd_auth::Part::Required {
            served: served.iter().map(|&prefix| prefix.to_owned()).collect(),
            patience_seconds: 3,
        };
        etcd_auth::Spec { part, servers: self.servers("first") }.into()
    }

    fn access(&self, cluster: &str, password: &str, part: Part) -> Spec {
        etcd_access::Spec {
            user: cluster.to_owned(),
            password: Secret::new(password),
            prefixes: vec![own_prefix(cluster), format!("/pg/{cluster}/")],
            part,
            settled_seconds: 0,
            patroni_port: None,
            servers: self.servers("first"),
        }
        .into()
    }

    fn login(&self, cluster: &str, instance: &str) -> Spec {
        etcd_login::Spec {
            cluster: cluster.to_owned(),
            instance: instance.to_owned(),
            connections: self.servers("").connections,
            unit: "keddah-no-such.service".to_owned(),
            settled_seconds: 0,
        }
        .into()
    }

    async fn look(&self, spec: &Spec) -> Result<Observation, HostError> {
        self.host.observe(std::slice::from_ref(spec)).await.pop().unwrap()
    }

    async fn known(&self, spec: &Spec) -> Observed {
        match self.look(spec).await {
            Ok(Observation::Known(observed)) => observed,
            other => panic!("{}: {other:?}", spec.name()),
        }
    }

    async fn because(&self, spec: &Spec) -> String {
        match self.look(spec).await {
            Ok(Observation::NotYet { because }) => because,
            other => panic!("{}: {other:?}", spec.name()),
        }
    }

    async fn difference(&self, spec: &Spec) -> Option<Difference> {
        spec.diff(&self.known(spec).await)
    }

    async fn try_to(&self, spec: &Spec) -> Result<(), HostError> {
        let observed = self.known(spec).await;
        let difference = spec.diff(&observed).expect("there is something to do");
        self.host.apply(spec, &observed, &difference, None).await
    }

    /// Applies, and finds no difference left.
    async fn converge(&self, spec: &Spec) {
        self.try_to(spec).await.unwrap();
        assert_eq!(self.difference(spec).await, None, "{}", spec.name());
    }

    /// A request as somebody else would make it: with a login, or without.
    fn call(&self, login: Option<(&str, &str)>, path: &str, body: &str) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail-with-body", "--max-time", "10"]);
        if let Some((user, password)) = login {
            let login = format!(r#"{{"name":"{user}","password":"{password}"}}"#);
            let answer = self.call(None, "/v3/auth/authenticate", &login);
            let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
            let Some(token) = answer.get("token").and_then(|token| token.as_str()) else {
                return Command::new("false").output().unwrap();
            };
            curl.args(["--header", &format!("Authorization: {token}")]);
        }
        curl.args(["--data", body, &format!("{}{path}", self.endpoint)]).output().unwrap()
    }

    fn put(&self, login: Option<(&str, &str)>, key: &str) -> bool {
        let body = format!(r#"{{"key":"{}","value":"eA=="}}"#, base64(key));
        self.call(login, "/v3/kv/put", &body).status.success()
    }

    fn get(&self, login: Option<(&str, &str)>, key: &str) -> bool {
        let body = format!(r#"{{"key":"{}"}}"#, base64(key));
        self.call(login, "/v3/kv/range", &body).status.success()
    }

    /// What Patroni writes of a member, for as many seconds where it has a lease.
    fn member(&self, key: &str, about: &str, login: Option<(&str, &str)>, seconds: Option<u32>) {
        let mut pair = serde_json::json!({ "key": base64(key), "value": base64(about) });
        if let Some(seconds) = seconds {
            let lease = self.call(login, "/v3/lease/grant", &format!(r#"{{"TTL":"{seconds}"}}"#));
            let lease: serde_json::Value = serde_json::from_slice(&lease.stdout).unwrap();
            pair["lease"] = lease["ID"].clone();
        }
        assert!(self.call(login, "/v3/kv/put", &pair.to_string()).status.success());
    }

    /// How often somebody has read keys, as etcd counts it.
    fn reads(&self) -> u32 {
        let url = format!("{}/metrics", self.endpoint);
        let told =
            Command::new("curl").args(["--silent", "--max-time", "10", &url]).output().unwrap();
        let text = String::from_utf8(told.stdout).unwrap();
        let is_read = |line: &&str| {
            line.starts_with("grpc_server_started_total{") && line.contains("\"Range\"")
        };
        let line = text.lines().find(is_read).expect("etcd counts them");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// A key of somebody who is alive, for as many seconds.
    fn alive(&self, key: &str, seconds: u32) {
        let lease = self.call(None, "/v3/lease/grant", &format!(r#"{{"TTL":"{seconds}"}}"#));
        let lease: serde_json::Value = serde_json::from_slice(&lease.stdout).unwrap();
        let body = format!(
            r#"{{"key":"{}","value":"eA==","lease":{}}}"#,
            base64(key),
            lease.get("ID").unwrap()
        );
        assert!(self.call(None, "/v3/kv/put", &body).status.success());
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

const A: Option<(&str, &str)> = Some(("pg-a", "pg-a"));
const SERVED: [&str; 4] = ["/pg/pg-a/", "/keddah/pg-a/", "/pg/pg-a2/", "/keddah/pg-a2/"];

#[tokio::test]
async fn one_clusters_login_reaches_nothing_of_anothers() {
    if scratch::skipped() {
        return;
    }
    let etcd = Member::start().await;
    // Whatever is there before.
    assert!(etcd.put(None, "/pg/pg-a/leader") && etcd.put(None, "/pg/pg-a2/leader"));
    etcd.converge(&etcd.root("first")).await;
    for cluster in ["pg-a", "pg-a2"] {
        etcd.converge(&etcd.access(cluster, cluster, Part::Role)).await;
        assert_eq!(etcd.difference(&etcd.access(cluster, cluster, Part::Password)).await, None);
    }
    assert!(
        etcd.put(None, "/pg/pg-a2/leader"),
        "users alone change nothing for those who are there"
    );
    for (cluster, seconds) in [("pg-a", 60), ("pg-a2", 60)] {
        etcd.alive(&format!("/pg/{cluster}/members/{cluster}-1"), seconds);
    }
    let required = etcd.required(&SERVED);
    let why = etcd.because(&required).await;
    assert!(why.contains("pg-a-1, pg-a2-1") || why.contains("pg-a2-1, pg-a-1"), "{why}");
    etcd.converge(&etcd.login("pg-a", "pg-a-1")).await;
    let why = etcd.because(&required).await;
    assert!(!why.contains("pg-a-1") && why.contains("pg-a2-1"), "{why}");
    etcd.converge(&etcd.login("pg-a2", "pg-a2-1")).await;
    // They are no Patronis, and end.
    for key in ["/pg/pg-a/members/pg-a-1", "/pg/pg-a2/members/pg-a2-1"] {
        assert!(etcd.put(None, key));
    }
    etcd.converge(&required).await;

    assert!(etcd.put(A, "/pg/pg-a/leader") && etcd.get(A, "/pg/pg-a/leader"));
    assert!(etcd.put(A, "/keddah/pg-a/x"));
    for key in ["/pg/pg-a2/leader", "/pg/pg-a", "/keddah/pg-a2/x", "/keddah-passwords/pg-a", "/x"] {
        assert!(!etcd.put(A, key) && !etcd.get(A, key), "{key}");
    }
    assert!(!etcd.put(None, "/pg/pg-a/leader") && !etcd.get(None, "/pg/pg-a/leader"));
    let own = format!(r#"{{"user":"pg-a","role":"{}"}}"#, "pg-a2");
    assert!(!etcd.call(A, "/v3/auth/user/grant", &own).status.success());

    // What the next plan sees, and a cluster that comes later.
    for spec in [etcd.root("first"), etcd.access("pg-a", "pg-a", Part::Role), required] {
        assert_eq!(etcd.difference(&spec).await, None, "{}", spec.name());
    }
    assert_eq!(
        etcd.difference(&etcd.login("pg-b", "pg-b-1")).await,
        None,
        "it needs no key any more"
    );
    etcd.converge(&etcd.access("pg-b", "other", Part::Role)).await;
    assert!(etcd.put(Some(("pg-b", "other")), "/pg/pg-b/leader"));

    // Somebody widens a role, and gives root's part away.
    let root = Some(("root", "first"));
    let wide = format!(
        r#"{{"name":"pg-a","perm":{{"permType":"READWRITE","key":"{}","range_end":"{}"}}}}"#,
        base64("/pg/pg-a"),
        base64("/pg/pg-b")
    );
    assert!(etcd.call(root, "/v3/auth/role/grant", &wide).status.success());
    let grant = r#"{"user":"pg-a","role":"root"}"#;
    assert!(etcd.call(root, "/v3/auth/user/grant", grant).status.success());
    assert!(etcd.put(A, "/pg/pg-a2/leader"));
    etcd.converge(&etcd.access("pg-a", "pg-a", Part::Role)).await;
    assert!(!etcd.put(A, "/pg/pg-a2/leader") && etcd.put(A, "/pg/pg-a/leader"));

    // Another password for one.
    etcd.converge(&etcd.access("pg-a", "another", Part::Password)).await;
    assert!(!etcd.put(A, "/pg/pg-a/leader"));
    assert!(etcd.put(Some(("pg-a", "another")), "/pg/pg-a/leader"));

    // It goes as a whole, and leaves nothing.
    let keys: Spec = etcd_keys::Spec {
        prefix: "/pg/pg-b/".to_owned(),
        going: vec![Living { name: "pg-b-1".to_owned(), address: "10.0.0.1".to_owned() }],
        lease_seconds: 3,
        servers: etcd.servers("first"),
    }
    .into();
    // While somebody leads by them who does not go, they stay.
    let change = etcd.difference(&keys).await.unwrap();
    assert!(change.impossible.is_some_and(|why| why.starts_with("x lives by the keys")));
    let leader = format!(r#"{{"key":"{}"}}"#, base64("/pg/pg-b/leader"));
    assert!(etcd.call(root, "/v3/kv/deleterange", &leader).status.success());
    // One that goes and was killed lives for as long as its lease; one that stopped does not.
    let about =
        |state: &str| format!(r#"{{"conn_url":"postgres://10.0.0.1:5432/x","state":"{state}"}}"#);
    etcd.member("/pg/pg-b/members/pg-b-1", &about("running"), root, Some(2));
    etcd.member("/pg/pg-b/members/pg-b-2", &about("stopped"), root, None);
    assert_eq!(etcd.difference(&keys).await.unwrap().impossible, None);
    etcd.converge(&keys).await;
    // And one that goes on is not robbed of them after all.
    etcd.member("/pg/pg-b/members/pg-b-1", &about("running"), root, None);
    let alive = etcd.try_to(&keys).await.unwrap_err();
    assert!(alive.message.contains("pg-b-1 on 10.0.0.1 lives"), "{alive:?}");
    etcd.member("/pg/pg-b/members/pg-b-1", &about("stopped"), root, None);
    etcd.converge(&keys).await;
    etcd.converge(&etcd.access("pg-b", "", Part::Absent)).await;
    assert!(!etcd.put(Some(("pg-b", "other")), "/pg/pg-b/leader"));
}

#[tokio::test]
async fn etcd_is_entered_once_for_all_users() {
    if scratch::skipped() {
        return;
    }
    let etcd = Member::start().await;
    etcd.converge(&etcd.root("first")).await;
    let names: Vec<String> = (0..6).map(|number| format!("pg-{number}")).collect();
    for name in &names {
        etcd.converge(&etcd.access(name, name, Part::Role)).await;
    }
    etcd.converge(&etcd.required(&[])).await;
    let before = etcd.reads();
    let absent = etcd.access("pg-nobody", "pg-nobody", Part::Role);
    let mut specs: Vec<Spec> =
        names.iter().map(|name| etcd.access(name, name, Part::Role)).collect();
    specs.insert(3, absent);
    let seen = etcd.host.observe(&specs).await;
    for (at, (spec, answer)) in specs.iter().zip(seen).enumerate() {
        let Ok(Observation::Known(observed)) = answer else {
            panic!("{}: {answer:?}", spec.name())
        };
        assert_eq!(spec.diff(&observed).is_some(), at == 3, "{}", spec.name());
    }
    // Two to enter, and one for each password that it was given.
    let reads = etcd.reads() - before;
    assert!((2..=2 + 7).contains(&reads), "{reads} reads");
}

#[tokio::test]
async fn roots_password_is_changed_from_the_one_before_and_another_is_said() {
    if scratch::skipped() {
        return;
    }
    let etcd = Member::start().await;
    etcd.converge(&etcd.root("zero")).await;
    // Nobody asks for logins yet: the password is told by its mark.
    etcd.converge(&etcd.root("first")).await;
    etcd.converge(&etcd.required(&[])).await;
    std::fs::write(etcd.password_file(), "first").unwrap();
    etcd.converge(&etcd.root("second")).await;
    assert!(etcd.put(Some(("root", "second")), "/x") && !etcd.put(Some(("root", "first")), "/x"));
    std::fs::write(etcd.password_file(), "second").unwrap();
    // Somebody else changes it.
    let login = r#"{"name":"root","password":"unknown"}"#;
    let root = Some(("root", "second"));
    assert!(etcd.call(root, "/v3/auth/user/changepw", login).status.success());
    let refused = etcd.look(&etcd.root("second")).await.unwrap_err();
    assert!(refused.message.contains("`etcd_root_password`"), "{refused:?}");
    assert!(refused.hint.unwrap().contains("operations.md"));
    let why = etcd.because(&etcd.access("pg-a", "pg-a", Part::Role)).await;
    assert!(why.contains("`etcd_root_password`"), "{why}");
    assert!(!etcd.put(A, "/pg/pg-a/x"), "nothing was made");
}

#[tokio::test]
async fn logins_are_taken_back_where_somebody_is_cut_off() {
    if scratch::skipped() {
        return;
    }
    let etcd = Member::start().await;
    etcd.converge(&etcd.root("first")).await;
    etcd.alive("/pg/stranger/leader", 60);
    let required = etcd.required(&SERVED);
    let why = etcd.because(&required).await;
    assert!(why.contains("/pg/stranger/leader"), "{why}");
    let all = etcd.required(&[&SERVED[..], &["/pg/stranger/"]].concat());
    let failed = etcd.try_to(&all).await.unwrap_err();
    assert!(failed.message.contains("/pg/stranger/leader"), "{failed:?}");
    assert!(etcd.put(None, "/pg/stranger/leader"), "it is let in as before");
    assert!(etcd.difference(&all).await.is_some());
}

/// A member's data says whose it is, also when the member does not run.
#[tokio::test]
async fn data_says_of_which_life_it_is() {
    if scratch::skipped() {
        return;
    }
    let mut etcd = Member::start().await;
    let port = etcd.endpoint.rsplit_once(':').unwrap().1.parse().unwrap();
    let data = etcd.directory.path().join("data").display().to_string();
    let probe = Probe { etcd_port: Some(port), etcd_data: Some(data), ..Probe::default() };
    let runs = etcd.host.facts(&probe).await.unwrap();
    let says = runs.etcd.expect("it answers");
    let life = EtcdLife { cluster: says.cluster, member: says.member };
    assert!(runs.etcd_has_data && life.member.len() > 5, "{life:?}");
    assert_eq!(runs.etcd_life.as_ref(), Some(&life));
    etcd.process.kill().unwrap();
    etcd.process.wait().unwrap();
    let off = etcd.host.facts(&probe).await.unwrap();
    assert_eq!((off.etcd, off.etcd_life), (None, Some(life)));
}

/// Somebody changes it in etcd itself: the next login by the declared one would fail.
#[tokio::test]
async fn a_password_that_was_changed_by_hand_is_noticed_and_put_back() {
    if scratch::skipped() {
        return;
    }
    let etcd = Member::start().await;
    etcd.converge(&etcd.root("first")).await;
    etcd.converge(&etcd.access("pg-a", "pg-a", Part::Role)).await;
    let password = etcd.access("pg-a", "pg-a", Part::Password);
    assert_eq!(etcd.difference(&password).await, None, "no login is needed");
    etcd.converge(&etcd.required(&[])).await;
    assert_eq!(etcd.difference(&password).await, None);
    let other = r#"{"name":"pg-a","password":"other"}"#;
    let root = Some(("root", "first"));
    assert!(etcd.call(root, "/v3/auth/user/changepw", other).status.success());
    assert!(!etcd.put(A, "/pg/pg-a/x"), "it is refused");
    assert_eq!(etcd.difference(&etcd.access("pg-a", "pg-a", Part::Role)).await, None);
    etcd.converge(&password).await;
    assert!(etcd.put(A, "/pg/pg-a/x"));
}

/// What a person types at three in the morning works whether etcd asks for logins already or not, and with
/// any password.
#[tokio::test]
async fn etcds_tool_logs_in_wherever_that_is_asked_for() {
    const PASSWORD: &str = "of:root's \"own\" $HOME";
    let member = Member::start().await;
    let port = member.endpoint.rsplit(':').next().unwrap();
    // This member has no TLS.
    let lines = include_str!("../../../templates/etcd/etcdctl").lines();
    let lines: Vec<&str> = lines.filter(|line| !line.contains("ETCDCTL_CACERT=")).collect();
    let text = lines
        .join("\n")
        .replace("https://", "http://")
        .replace("{{ port }}", port)
        .replace("{{ password_file }}", &member.password_file());
    assert!(!text.contains("{{"), "{text}");
    let tool = member.directory.path().join("keddah-etcdctl");
    std::fs::write(&tool, text).unwrap();
    let typed = |words: &[&str]| Command::new("/bin/sh").arg(&tool).args(words).output().unwrap();
    let works = |words: &[&str], says: &str| {
        let output = typed(words);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && told.contains(says), "{words:?}: {output:?}");
    };
    works(&["member", "list"], "default");
    std::fs::write(member.password_file(), PASSWORD).unwrap();
    works(&["member", "list"], "default");

    member.converge(&member.root(PASSWORD)).await;
    assert!(member.call(None, "/v3/auth/enable", "{}").status.success());
    works(&["alarm", "list"], "");
    works(&["put", "/kept here", "a b"], "OK");
    works(&["get", "--print-value-only", "/kept here"], "a b");
    works(&["endpoint", "status", "--cluster", "--write-out=json"], "\"revision\":");
    // Others are asked as one says.
    works(&["--endpoints", &member.endpoint, "user", "list"], "root");
    let nowhere = typed(&["--endpoints=http://127.0.0.1:1", "--command-timeout=1s", "get", "a"]);
    assert!(!nowhere.status.success(), "{nowhere:?}");

    std::fs::write(member.password_file(), "another").unwrap();
    let refused = typed(&["put", "/kept here", "c"]);
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && told.contains("authentication failed"), "{told}");
    // What is said goes before what the tool knows, and an option that begins alike is another one.
    works(&["--user", &format!("root:{PASSWORD}"), "get", "/kept here"], "a b");
    works(&[&format!("--user=root:{PASSWORD}"), "get", "--keys-only", "/kept"], "");
}
