//! The fake machine does what a real one promises.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use keddah_core::{NodeName, Secret};
use keddah_host::{FakeEvent, FakeHost, Host, HostError};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{PgConnection, backup, block, file, hostname, packages};
use keddah_resource::kind::{pg_schema, stanza, symlink, trust_anchor, unit, user};
use keddah_resource::{Class, Kind, Observation, Observed, ResourceId, Spec, TriggerAction};

fn specs() -> Vec<Spec> {
    let connection = PgConnection {
        socket_directory: "/run/postgresql".to_owned(),
        port: 5432,
        superuser: "postgres".to_owned(),
    };
    vec![
        packages::Spec { set: "node".to_owned(), names: vec!["curl".to_owned()] }.into(),
        user::Spec {
            account: "dba".to_owned(),
            uid: Some(88),
            home: "/home/dba".to_owned(),
            shell: "/bin/bash".to_owned(),
            groups: vec!["sudo".to_owned()],
            authorized_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        }
        .into(),
        hostname::Spec { hostname: "pg-test-1".to_owned() }.into(),
        block::Spec {
            path: "/etc/hosts".to_owned(),
            marker: "hosts".to_owned(),
            text: "10.10.10.11 pg-test-1\n".to_owned(),
            place: block::Place::End,
        }
        .into(),
        directory::Spec::present("/pg", Permissions::root(0o755)).into(),
        directory::Spec::absent("/pg/old").into(),
        file::Spec::text("/etc/a", "a\n", Permissions::root(0o644)).into(),
        file::Spec::secret("/etc/b", Secret::new("b"), Permissions::root(0o600)).into(),
        file::Spec::absent("/etc/c").into(),
        symlink::Spec { path: "/pg/data".to_owned(), target: "/data".to_owned(), to_data: false }
            .into(),
        trust_anchor::Spec { anchor: "keddah".to_owned(), certificate: "PEM".to_owned() }.into(),
        unit::Spec::running("haproxy.service").into(),
        unit::Spec::stopped("postgresql.service").into(),
        pg_schema::Spec {
            connection,
            database: "test".to_owned(),
            schema: "app".to_owned(),
            owner: Some("dba".to_owned()),
            privileges: Default::default(),
            present: true,
        }
        .into(),
        stanza::Spec {
            stanza: "pg-test".to_owned(),
            account: "postgres".to_owned(),
            online: true,
            configuration: Secret::default(),
            data_directory: "/pg/data".to_owned(),
            ran_before: false,
        }
        .into(),
        backup::Spec {
            stanza: "pg-test".to_owned(),
            account: "postgres".to_owned(),
            patience_seconds: 60,
            not_before: None,
            moves: false,
            keeps: None,
            configuration: Secret::default(),
            repository: None,
        }
        .into(),
    ]
}

async fn known(host: &FakeHost, spec: &Spec) -> Observed {
    let answers = host.observe(std::slice::from_ref(spec)).await;
    match answers.into_iter().next().unwrap().unwrap() {
        Observation::Known(observed) => observed,
        Observation::NotYet { because } => panic!("{because}"),
    }
}

#[tokio::test]
async fn what_was_applied_needs_nothing_more() {
    let host = FakeHost::new("node-1");
    let mut changed = 0;
    for spec in specs() {
        let observed = known(&host, &spec).await;
        if let Some(difference) = spec.diff(&observed) {
            host.apply(&spec, &observed, &difference, None).await.unwrap();
            changed += 1;
        }
        assert_eq!(spec.diff(&known(&host, &spec).await), None, "{} {}", spec.kind(), spec.name());
    }
    // All but what should be absent or stopped, and is.
    assert_eq!(changed, specs().len() - 3);
}

#[tokio::test]
async fn a_unit_pays_what_it_owes_once() {
    let host = FakeHost::new("node-1");
    let spec = Spec::from(unit::Spec::running("haproxy.service"));
    let running =
        unit::Observed { exists: true, enabled: true, running: true, owes: None, process: None };
    host.set(Kind::Unit, "haproxy.service", running);
    assert_eq!(spec.diff(&known(&host, &spec).await), None);
    let id = ResourceId::new(&NodeName::new("node-1"), Kind::Unit, "haproxy.service");
    host.owe(&id, TriggerAction::Restart).await.unwrap();
    host.owe(&id, TriggerAction::Reload).await.unwrap();
    let observed = known(&host, &spec).await;
    let difference = spec.diff(&observed).unwrap();
    assert_eq!(difference.class, Class::Restart);
    host.apply(&spec, &observed, &difference, None).await.unwrap();
    assert_eq!(spec.diff(&known(&host, &spec).await), None);
}

#[tokio::test]
async fn trouble_shows_and_the_order_is_recorded() {
    let events = std::sync::Arc::default();
    let (one, two) = (FakeHost::sharing("1", &events), FakeHost::sharing("2", &events));
    let spec = Spec::from(hostname::Spec { hostname: "a".to_owned() });
    let observed = known(&one, &spec).await;
    let difference = spec.diff(&observed).unwrap();
    one.cannot_apply(Kind::Hostname, "hostname", HostError::new("no"));
    assert!(one.apply(&spec, &observed, &difference, None).await.is_err());
    two.apply(&spec, &observed, &difference, None).await.unwrap();
    one.heal(Kind::Hostname, "hostname");
    one.pretend(Kind::Hostname, "hostname");
    one.apply(&spec, &observed, &difference, None).await.unwrap();
    assert!(spec.diff(&known(&one, &spec).await).is_some());
    let resource = (Kind::Hostname, "hostname".to_owned());
    let begun = |node: &str| FakeEvent::Begun { node: node.to_owned(), resource: resource.clone() };
    let applied =
        |node: &str| FakeEvent::Applied { node: node.to_owned(), resource: resource.clone() };
    assert_eq!(one.events(), [begun("1"), begun("2"), applied("2"), begun("1"), applied("1")]);
    one.not_yet(Kind::Hostname, "hostname", "it sleeps");
    let answer = one.observe(&[spec]).await.remove(0).unwrap();
    assert_eq!(answer, Observation::NotYet { because: "it sleeps".to_owned() });
}
