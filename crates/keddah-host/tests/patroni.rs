//! The kinds that speak with Patroni, against a real Patroni over etcd, its REST API under TLS.

#![expect(clippy::unwrap_used, reason = "a test that cannot prepare its cluster has failed")]

mod scratch;

use keddah_core::{NodeName, Secret};
use keddah_host::rest::{NoAnswer, Patroni, cluster_facts, patroni_facts};
use keddah_host::sql::{Purpose, Session};
use keddah_host::{Host, HostError, RealHost};
use keddah_resource::health::{Asked, HealthProbe, PostgresHealth, ServerProbe};
use keddah_resource::kind::pg_instance::{self, Origin};
use keddah_resource::kind::postmaster::{self, PatroniApi};
use keddah_resource::kind::{PgConnection, patroni_config};
use keddah_resource::{
    Class, Difference, Kind, Observation, Observed, ResourceId, Spec, TriggerAction,
};
use scratch::{append, as_superuser, is_root, skipped};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const PASSWORD: &str = "Patroni.API";

/// One etcd member and one Patroni, with files in one directory.
struct Cluster {
    directory: TempDir,
    api: PatroniApi,
    connection: PgConnection,
    host: RealHost,
    processes: Vec<Child>,
}

/// A free port on loopback; taken by nobody else within the moment it needs.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A CA of its own.
fn authority(certificate: &str, key: &str) {
    succeed(
        Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=scratch CA"])
            .args(["-keyout", key, "-out", certificate]),
    );
}

impl Cluster {
    fn prepare() -> Self {
        let directory = tempfile::Builder::new().prefix("keddah-patroni-").tempdir().unwrap();
        let path = directory.path();
        let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
        authority(&file("ca.pem"), &file("ca.key"));
        succeed(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-days", "2", "-subj", "/CN=pg-scratch-1"])
                .args(["-addext", "subjectAltName=IP:127.0.0.1"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args(["-CA", &file("ca.pem"), "-CAkey", &file("ca.key")])
                .args(["-keyout", &file("key.pem"), "-out", &file("certificate.pem")]),
        );
        let (etcd, peer, rest, port) = (free_port(), free_port(), free_port(), free_port());
        let programs = scratch::programs();
        let configuration = format!(
            "scope: pg-scratch\nname: pg-scratch-1\n\
             restapi: {{listen: '127.0.0.1:{rest}', connect_address: '127.0.0.1:{rest}', \
             certfile: {pem}, keyfile: {key}, \
             authentication: {{username: admin, password: {PASSWORD}}}}}\n\
             etcd3: {{host: '127.0.0.1:{etcd}'}}\n\
             bootstrap:\n  dcs:\n    ttl: 20\n    loop_wait: 2\n    retry_timeout: 5\n    \
             postgresql:\n      parameters: {{work_mem: 4MB, max_connections: 50}}\n  \
             initdb: [{{encoding: UTF8}}, {{locale: C.UTF-8}}, no-sync]\n\
             postgresql:\n  listen: '127.0.0.1:{port}'\n  connect_address: '127.0.0.1:{port}'\n  \
             data_dir: {data}\n  bin_dir: {programs}\n  pgpass: {pgpass}\n  use_unix_socket: true\n  \
             parameters: {{unix_socket_directories: /var/run/postgresql, fsync: 'off'}}\n  \
             pg_hba: ['local all all peer', 'host all all 127.0.0.1/32 scram-sha-256']\n  \
             authentication:\n    superuser: {{username: postgres}}\n    \
             replication: {{username: replicator, password: replicator}}\n",
            pem = file("certificate.pem"),
            key = file("key.pem"),
            data = file("data"),
            programs = programs.display(),
            pgpass = file("pgpass"),
        );
        std::fs::write(path.join("patroni.yml"), configuration).unwrap();
        let arguments = format!(
            "--data-dir {} --listen-client-urls http://127.0.0.1:{etcd} \
             --advertise-client-urls http://127.0.0.1:{etcd} \
             --listen-peer-urls http://127.0.0.1:{peer} \
             --initial-advertise-peer-urls http://127.0.0.1:{peer} \
             --initial-cluster default=http://127.0.0.1:{peer}",
            file("etcd")
        );
        std::fs::write(path.join("etcd.arguments"), arguments).unwrap();
        succeed(Command::new("chown").args(["-R", "postgres:"]).arg(path));
        let api = PatroniApi {
            unit: "patroni.service".to_owned(),
            address: "127.0.0.1".to_owned(),
            port: rest,
            ca_path: Some(file("ca.pem")),
            username: "admin".to_owned(),
            password: Secret::new(PASSWORD),
        };
        let connection = PgConnection {
            socket_directory: "/var/run/postgresql".to_owned(),
            port,
            superuser: "postgres".to_owned(),
        };
        let host = RealHost::new(path.join("state"));
        Self { directory, api, connection, host, processes: Vec::new() }
    }

    fn start(&mut self) {
        let path = self.directory.path();
        let log = || std::fs::File::create(path.join("patroni.log")).unwrap();
        let arguments = std::fs::read_to_string(path.join("etcd.arguments")).unwrap();
        let etcd = as_superuser(Path::new("/usr/bin/etcd"))
            .args(arguments.split_whitespace())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let patroni = as_superuser(Path::new("/usr/bin/patroni"))
            .arg(path.join("patroni.yml"))
            .stdout(log())
            .stderr(log())
            .spawn()
            .unwrap();
        self.processes = vec![patroni, etcd];
    }

    fn instance(&self) -> Spec {
        pg_instance::Spec {
            starts_first: false,
            promoted_within: 0,
            paused: false,
            instance: "pg-scratch-1".to_owned(),
            data_directory: self.directory.path().join("data").to_str().unwrap().to_owned(),
            origin: Origin::Bootstrap,
            api: self.api.clone(),
            patience_seconds: 120,
        }
        .into()
    }

    fn postmaster(&self) -> postmaster::Spec {
        postmaster::Spec {
            instance: "pg-scratch-1".to_owned(),
            api: self.api.clone(),
            connection: self.connection.clone(),
            patience_seconds: 60,
            settled_seconds: 5,
            restarts: true,
            at_once: false,
            parameters: BTreeMap::new(),
        }
    }

    fn configuration(&self, parameters: &[(&str, &str)]) -> Spec {
        let pairs = parameters.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        patroni_config::Spec {
            cluster: "pg-scratch".to_owned(),
            settings: BTreeMap::from([("ttl".to_owned(), 20.into())]),
            parameters: pairs.collect(),
            sized: BTreeSet::new(),
            away: Vec::new(),
            postgresql: BTreeMap::from([("use_slots".to_owned(), true.into())]),
            api: self.api.clone(),
            connection: self.connection.clone(),
        }
        .into()
    }

    async fn observe(&self, spec: &Spec) -> Observation {
        self.host.observe(std::slice::from_ref(spec)).await.remove(0).unwrap()
    }

    async fn difference(&self, spec: &Spec) -> (Observed, Option<Difference>) {
        let Observation::Known(observed) = self.observe(spec).await else { panic!("not yet") };
        let difference = spec.diff(&observed);
        (observed, difference)
    }

    /// Applies what differs and returns it; nothing may differ afterwards.
    async fn converge(&self, spec: &Spec) -> Difference {
        let (observed, difference) = self.difference(spec).await;
        let difference = difference.expect("something should differ");
        if let Err(error) = self.host.apply(spec, &observed, &difference, None).await {
            let log = std::fs::read_to_string(self.directory.path().join("patroni.log"));
            panic!("{error} {:?}\n{}", error.log, log.unwrap_or_default());
        }
        assert_eq!(self.difference(spec).await.1, None);
        difference
    }

    async fn value(&self, query: &str) -> String {
        let session = Session::open(&self.connection, "postgres", Purpose::Observe).await.unwrap();
        session.scalar(query).await.unwrap().unwrap_or_default()
    }
}

impl Cluster {
    fn end(&mut self) {
        for process in &mut self.processes {
            let pid = rustix::process::Pid::from_child(process);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            let _ = process.wait();
        }
        self.processes.clear();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end();
    }
}

#[tokio::test]
async fn a_cluster_under_patroni() {
    if skipped() || !is_root() {
        return;
    }
    let mut cluster = Cluster::prepare();
    let instance = cluster.instance();
    let configuration = cluster.configuration(&[("work_mem", "4MB"), ("max_connections", "50")]);

    // Before anything runs.
    let (_, difference) = cluster.difference(&instance).await;
    assert_eq!(difference.unwrap().reason, "the cluster does not exist yet");
    let Observation::NotYet { because } = cluster.observe(&configuration).await else {
        panic!("known")
    };
    assert_eq!(because, "Patroni does not run yet");
    let (_, difference) = cluster.difference(&cluster.postmaster().into()).await;
    assert_eq!(difference, None);
    assert!(patroni_facts(cluster.api.port, None).await.is_none());

    cluster.start();
    cluster.converge(&instance).await;
    let ca = cluster.api.ca_path.as_deref();
    let facts = patroni_facts(cluster.api.port, ca).await.unwrap();
    assert_eq!((facts.scope.as_str(), facts.state.as_str()), ("pg-scratch", "running"));
    let members = cluster_facts(cluster.api.port, ca, &facts).await;
    assert_eq!(members.len(), 1, "{members:?}");
    assert!(members[0].leads && members[0].serves() && members[0].scope == "pg-scratch");
    assert_eq!(members[0].host, "127.0.0.1", "{members:?}");
    assert!(Patroni::new(&cluster.api).healthy().await.unwrap());
    assert!(Patroni::new(&cluster.api).status().await.unwrap().leads());

    // Apart on the heap: together they are more than a test's stack holds.
    Box::pin(settings_and_restart(&cluster, &configuration)).await;
    Box::pin(reloads(&cluster)).await;
    Box::pin(lets_in_again(&cluster)).await;
    Box::pin(altered_settings(&cluster)).await;
    Box::pin(unarchived(&cluster)).await;
    Box::pin(unlike_what_is_declared(&cluster)).await;
    Box::pin(refusals(&cluster)).await;
    Box::pin(waits_for_a_leader(&mut cluster)).await;
}

/// The data is lost, and the keys in etcd say that the cluster has been made: Patroni waits for a leader
/// for ever, and that is said, not waited for.
async fn waits_for_a_leader(cluster: &mut Cluster) {
    cluster.end();
    std::fs::remove_dir_all(cluster.directory.path().join("data")).unwrap();
    let spec = cluster.instance();
    let (observed, difference) = cluster.difference(&spec).await;
    let difference = difference.expect("it is to be made");
    cluster.start();
    let made = cluster.host.apply(&spec, &observed, &difference, None);
    let said = tokio::time::timeout(std::time::Duration::from_secs(60), made).await;
    let error = said.expect("it waits on").unwrap_err();
    assert!(error.message.contains("waits for a leader of pg-scratch"), "{error} {:?}", error.log);
    assert!(error.hint.unwrap_or_default().contains("remove pg-scratch"));
}

async fn settings_and_restart(cluster: &Cluster, configuration: &Spec) {
    // `use_slots` is declared and not there yet.
    cluster.converge(configuration).await;
    let reload = cluster.configuration(&[("work_mem", "8MB"), ("max_connections", "50")]);
    assert_eq!(cluster.converge(&reload).await.class, Class::Reload);
    assert_eq!(cluster.value("select current_setting('work_mem')").await, "8MB");
    let restart = cluster.configuration(&[("max_connections", "60")]);
    let difference = cluster.converge(&restart).await;
    assert_eq!(difference.class, Class::OrderedRestart);
    assert_eq!(difference.fields.len(), 2);

    // What the plan says of the postmaster then.
    let postmaster = cluster.postmaster();
    let difference =
        postmaster.triggered(TriggerAction::Restart, "because patroni-config pg-scratch changes");
    let started = "select pg_postmaster_start_time()::text";
    let before = cluster.value(started).await;
    let spec = postmaster.clone().into();
    let (observed, _) = cluster.difference(&spec).await;
    cluster.host.apply(&spec, &observed, &difference, None).await.unwrap();
    assert_ne!(cluster.value(started).await, before);
    assert_eq!(cluster.value("select current_setting('max_connections')").await, "60");
    assert_eq!(cluster.difference(&spec).await.1, None);

    // A restart that is pending for another reason is found, too.
    let by_hand = cluster.configuration(&[("max_connections", "70")]);
    cluster.converge(&by_hand).await;
    for _ in 0..100 {
        if cluster.difference(&spec).await.1.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (observed, _) = cluster.difference(&spec).await;
    let Observed::Postmaster(server) = observed else { panic!("{observed:?}") };
    assert_eq!(server.limits.get("max_connections"), Some(&60), "what it runs with until then");
    let waits = &server.waiting[0];
    assert_eq!((waits.setting.name.as_str(), waits.runs_with.as_str()), ("max_connections", ""));
    let target = ResourceId::new(&NodeName::new("node"), Kind::Postmaster, spec.name());
    // Declared as it runs, it is restarted for nothing.
    let parameters = BTreeMap::from([("max_connections".to_owned(), "60".to_owned())]);
    let declared = postmaster::Spec { parameters, ..cluster.postmaster() }.into();
    assert_eq!(cluster.difference(&declared).await.1, None);
    assert_eq!(cluster.converge(&spec).await.class, Class::OrderedRestart);
    assert_eq!(cluster.value("select current_setting('max_connections')").await, "70");

    // What an apply owed that did not get to it, and that nothing waits for any more, is owed no longer.
    cluster.host.owe(&target, TriggerAction::Restart).await.unwrap();
    let due = || async { cluster.difference(&spec).await.1.map(|difference| difference.class) };
    assert_eq!(due().await, Some(Class::OrderedRestart), "its Patroni may not have looked yet");
    tokio::time::sleep(std::time::Duration::from_millis(5100)).await;
    assert_eq!(due().await, None);
}

async fn reloads(cluster: &Cluster) {
    let spec: Spec = cluster.postmaster().into();
    let target = ResourceId::new(&NodeName::new("node"), Kind::Postmaster, spec.name());
    cluster.host.owe(&target, TriggerAction::Reload).await.unwrap();
    let hba = cluster.directory.path().join("data/pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    append(&hba, "host all all nonsense/99 scram-sha-256\n");
    let (observed, difference) = cluster.difference(&spec).await;
    let difference = difference.unwrap();
    assert_eq!(difference.class, Class::Reload);
    let error: HostError =
        cluster.host.apply(&spec, &observed, &difference, None).await.unwrap_err();
    let line = rules.lines().count() + 1;
    assert!(error.message.contains(&format!("pg_hba.conf:{line}: ")), "{error}");
    // It is still owed, and done as soon as the file is right.
    std::fs::write(&hba, format!("{rules}host all kept 127.0.0.1/32 scram-sha-256\n")).unwrap();
    cluster.converge(&spec).await;
}

/// Rules that keep the superuser out, and that the server has read, are put right in their file: the server reads
/// that, though nobody can ask it to.
async fn lets_in_again(cluster: &Cluster) {
    let spec: Spec = cluster.postmaster().into();
    let hba = cluster.directory.path().join("data/pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    let before = cluster.value("select pg_postmaster_start_time()::text").await;
    for way in ["reject", "scram-sha-256"] {
        std::fs::write(&hba, format!("local all all {way}\n{rules}")).unwrap();
        executes(cluster, &["select pg_reload_conf()"]).await;
        let kept_out = || async {
            let session = Session::open_new(&cluster.connection, "postgres", Purpose::Observe);
            session.await.is_err()
        };
        for _ in 0..50 {
            if kept_out().await {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        assert!(kept_out().await, "{way}");
        std::fs::write(&hba, &rules).unwrap();
        assert_eq!(cluster.converge(&spec).await.class, Class::Reload, "{way}");
    }
    assert_eq!(cluster.value("select pg_postmaster_start_time()::text").await, before);
}

/// What the server says of itself, in the one query that a look at its health costs.
async fn health(cluster: &Cluster) -> PostgresHealth {
    let probe = ServerProbe {
        instance: "pg-scratch-1".to_owned(),
        cluster: "pg-scratch".to_owned(),
        patroni_port: cluster.api.port,
        connection: cluster.connection.clone(),
        data_directory: cluster.directory.path().join("data").to_str().unwrap().to_owned(),
        patroni_directory: "/nowhere".to_owned(),
        backups: false,
    };
    let probe = HealthProbe { servers: vec![probe], patience: 5000, ..HealthProbe::default() };
    let health = cluster.host.health(&probe).await;
    match &health.servers[0].server {
        Asked::Told(server) => server.clone(),
        unsaid => panic!("{:?}", unsaid.why()),
    }
}

/// Waits until the server says so.
async fn says(cluster: &Cluster, about: &str, is: fn(&PostgresHealth) -> bool) {
    for _ in 0..150 {
        if is(&health(cluster).await) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("{about}: {:?}", health(cluster).await);
}

/// Runs each statement for itself, as `ALTER SYSTEM` wants it.
async fn executes(cluster: &Cluster, statements: &[&str]) {
    let session = Session::open(&cluster.connection, "postgres", Purpose::Change).await.unwrap();
    for statement in statements {
        session.execute(statement).await.unwrap();
    }
}

/// A primary whose archiver fails is told, until it succeeds; and so is one that archives elsewhere.
async fn unarchived(cluster: &Cluster) {
    const RELOAD: &str = "select pg_reload_conf()";
    const SWITCH: &str = "select pg_switch_wal()";
    let well = health(cluster).await;
    assert_eq!((&well.archiver, &well.other_archiver), (&None, &None), "it archives nothing");
    executes(cluster, &["alter system set archive_mode to on"]).await;
    Patroni::new(&cluster.api).restart(std::time::Duration::from_secs(60)).await.unwrap();
    let set = "alter system set archive_command to '/bin/false'";
    executes(cluster, &[set, RELOAD, SWITCH]).await;
    says(cluster, "nothing gets into the archive", |server| {
        let archiver = server.archiver.clone().unwrap_or_default();
        archiver.failed_at.is_some() && archiver.archived_at.is_none() && archiver.waiting >= 1
    })
    .await;
    assert_eq!(health(cluster).await.other_archiver.as_deref(), Some("/bin/false"));
    let set = "alter system set archive_command to '/bin/true'";
    executes(cluster, &[set, RELOAD, SWITCH]).await;
    says(cluster, "it archives", |server| {
        let archiver = server.archiver.clone().unwrap_or_default();
        archiver.archived_at >= archiver.failed_at && archiver.waiting == 0
    })
    .await;
}

/// Settings by which a server that answers does not do what it is there for.
async fn unlike_what_is_declared(cluster: &Cluster) {
    const RELOAD: &str = "select pg_reload_conf()";
    let well = health(cluster).await;
    // Patroni's scratch cluster runs without it, so that it is quick.
    assert!(!well.read_only && well.unsafe_settings == ["fsync = off"], "{well:?}");
    assert!(well.synchronous_names.is_empty() && well.unloaded.is_empty(), "{well:?}");
    // PostgreSQL tells the time of a file in whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let shut = ["create database shut", "alter database shut allow_connections off"];
    executes(cluster, &shut).await;
    executes(
        cluster,
        &[
            "alter system set default_transaction_read_only to on",
            "alter system set full_page_writes to off",
            "alter system set synchronous_standby_names to 'nobody'",
        ],
    )
    .await;
    let before = health(cluster).await;
    assert!(
        before.unloaded.iter().any(|path| path.ends_with("postgresql.auto.conf")),
        "{before:?}"
    );
    executes(cluster, &[RELOAD]).await;
    says(cluster, "the settings are in effect", |server| {
        server.read_only
            && server.unsafe_settings == ["fsync = off", "full_page_writes = off"]
            && server.synchronous_names == "nobody"
            && server.synchronous_standbys == 0
            && server.altered.iter().any(|one| one.starts_with("full_page_writes"))
            && server.unloaded.is_empty()
    })
    .await;
    let databases = health(cluster).await.databases;
    assert!(databases.contains(&"postgres".to_owned()), "{databases:?}");
    assert!(!databases.contains(&"shut".to_owned()), "{databases:?}");
    executes(
        cluster,
        &[
            "alter system reset default_transaction_read_only",
            "alter system reset full_page_writes",
            "alter system reset synchronous_standby_names",
            RELOAD,
        ],
    )
    .await;
    says(cluster, "they are gone", |server| {
        !server.read_only && server.synchronous_names.is_empty()
    })
    .await;
    executes(cluster, &["drop database shut"]).await;
    shut_out(cluster).await;
}

/// Roles that cannot log in, and those whose transactions are read-only.
async fn shut_out(cluster: &Cluster) {
    executes(
        cluster,
        &[
            "create database business",
            "create role works login",
            "create role idle login connection limit 0",
            "create role late login valid until '2020-01-01'",
            "create role group_only",
        ],
    )
    .await;
    says(cluster, "who cannot log in", |server| {
        let told = |name: &str| server.shut_out.iter().any(|one| one == name);
        told("idle") && told("late") && told("group_only") && !told("works") && !told("postgres")
    })
    .await;
    executes(cluster, &["revoke connect on database business from public"]).await;
    says(cluster, "who may connect to nothing", |server| {
        server.shut_out.iter().any(|one| one == "works") && server.read_only_for.is_empty()
    })
    .await;
    executes(
        cluster,
        &[
            "alter role works in database business set default_transaction_read_only to on",
            "alter database business set default_transaction_read_only to on",
        ],
    )
    .await;
    says(cluster, "for whom transactions are read-only", |server| {
        let mut told = server.read_only_for.clone();
        told.sort();
        told == ["everybody in business", "works in business"]
    })
    .await;
    assert!(!health(cluster).await.data_gone);
    executes(
        cluster,
        &[
            "drop database business",
            "drop role works",
            "drop role idle",
            "drop role late",
            "drop role group_only",
        ],
    )
    .await;
}

/// `ALTER SYSTEM` wins over what Patroni writes: for what is declared it is taken back.
async fn altered_settings(cluster: &Cluster) {
    let declared = [("work_mem", "8MB"), ("shared_buffers", "96MB")];
    cluster.converge(&cluster.configuration(&declared)).await;
    let parameters: BTreeMap<String, String> =
        declared.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let postmaster = postmaster::Spec { parameters, ..cluster.postmaster() };
    let spec: Spec = postmaster.clone().into();
    for _ in 0..100 {
        if cluster.difference(&spec).await.1.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    cluster.converge(&spec).await;
    let session = Session::open(&cluster.connection, "postgres", Purpose::Observe).await.unwrap();
    for set in ["work_mem to '5MB'", "application_name to 'left alone'"] {
        session.execute(&format!("alter system set {set}")).await.unwrap();
    }
    session.execute("select pg_reload_conf()").await.unwrap();
    let (observed, difference) = cluster.difference(&spec).await;
    let difference = difference.expect("the server uses another value than the declared one");
    assert_eq!(difference.class, Class::Reload);
    let fields: Vec<&str> = difference.fields.iter().map(|field| field.field()).collect();
    assert_eq!(fields, ["ALTER SYSTEM RESET work_mem"]);
    let Observed::Postmaster(present) = &observed else { panic!("something else") };
    let alone = present.settings.iter().find(|setting| setting.name == "application_name");
    assert_eq!(alone.map(|setting| setting.value.as_str()), Some(""), "its value stays there");
    cluster.converge(&spec).await;
    assert_eq!(cluster.value("select current_setting('work_mem')").await, "8MB");

    // What is set for all roles wins in every session; it is somebody's own, and named.
    session
        .execute("begin read write; alter role all set work_mem to '6MB'; commit")
        .await
        .unwrap();
    let (observed, difference) = cluster.difference(&spec).await;
    assert!(difference.is_none(), "it is left alone");
    let Observed::Postmaster(present) = &observed else { panic!("something else") };
    let stray = present.settings.iter().find(|setting| setting.name == "work_mem");
    let told = stray.map(|setting| (setting.value.as_str(), setting.place.as_str()));
    assert_eq!(told, Some(("6MB", "ALTER ROLE ALL SET")));
    session.execute("begin read write; alter role all reset work_mem; commit").await.unwrap();

    // What Patroni does not hand over, or drops, is seen on the server, whatever was declared.
    let declared = [("max_replication_slots", "3"), ("archive_cleanup_command", "true")];
    let declared = declared.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let asked = postmaster::Spec { parameters: declared, ..postmaster.clone() };
    let (observed, _) = cluster.difference(&asked.into()).await;
    let Observed::Postmaster(present) = &observed else { panic!("something else") };
    let place = |name: &str| {
        let setting = present.settings.iter().find(|setting| setting.name == name);
        setting.map(|setting| setting.place.as_str()).unwrap_or_default()
    };
    assert_eq!(place("max_replication_slots"), "Patroni's own judgement", "{observed:?}");
    assert!(place("archive_cleanup_command").starts_with("default"), "{observed:?}");

    // One that counts from the next start on: where nothing may restart, it goes and waits.
    session.execute("alter system set shared_buffers to '64MB'").await.unwrap();
    drop(session);
    Patroni::new(&cluster.api).restart(std::time::Duration::from_secs(60)).await.unwrap();
    assert_eq!(cluster.value("select current_setting('shared_buffers')").await, "64MB");
    let (_, difference) = cluster.difference(&spec).await;
    assert_eq!(difference.map(|difference| difference.class), Some(Class::OrderedRestart));
    let patient: Spec = postmaster::Spec { restarts: false, ..postmaster }.into();
    assert_eq!(cluster.converge(&patient).await.class, Class::Reload);
    assert_eq!(cluster.value("select current_setting('shared_buffers')").await, "64MB");
    for _ in 0..100 {
        if cluster.difference(&spec).await.1.is_some() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(cluster.converge(&spec).await.class, Class::OrderedRestart);
    assert_eq!(cluster.value("select current_setting('shared_buffers')").await, "96MB");

    // A restart that is owed hides no reload where nothing may restart.
    let target = ResourceId::new(&NodeName::new("node"), Kind::Postmaster, spec.name());
    for action in [TriggerAction::Restart, TriggerAction::Reload] {
        cluster.host.owe(&target, action).await.unwrap();
    }
    assert_eq!(cluster.converge(&patient).await.class, Class::Reload);
    cluster.converge(&spec).await;
}

async fn refusals(cluster: &Cluster) {
    let wrong = PatroniApi { password: Secret::new("wrong"), ..cluster.api.clone() };
    let error = Patroni::new(&wrong).reload().await.unwrap_err();
    assert!(error.message.contains("401"), "{error}");
    let other = cluster.directory.path().join("other.pem");
    authority(other.to_str().unwrap(), "/dev/null");
    let stranger =
        PatroniApi { ca_path: Some(other.to_str().unwrap().to_owned()), ..cluster.api.clone() };
    let Err(NoAnswer::Failed(error)) = Patroni::new(&stranger).status().await else {
        panic!("a certificate of a stranger was trusted")
    };
    assert!(error.message.contains("certificate"), "{error}");
}
