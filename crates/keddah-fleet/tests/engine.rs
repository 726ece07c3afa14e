//! The engine over in-memory pipes and fake machines: order, failures, crashes, promises, locks.

#![allow(clippy::unwrap_used, reason = "a fleet that cannot be made fails its test")]

use keddah_core::NodeName;
use keddah_fleet::agent::{Settings, runtime, serve};
use keddah_fleet::pki::Authority;
use keddah_fleet::{
    ExecuteError, Execution, Fleet, Holder, Places, Session, SessionError, Stop, execute,
};
use keddah_host::{FakeEvent, FakeHost, HostError};
use keddah_plan::{Ending, Event, Plan, Report, SkipReason, plan};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{certificate, file, packages, unit};
use keddah_resource::{
    Class, DesiredFleet, IdleListener, Kind, Module, Observed, Resource, ResourceId, TriggerAction,
};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

const NOW: i64 = 1_800_000_000;
const BUILD: &str = "test";

/// Fake machines that share one list of events.
struct Machines {
    hosts: Vec<(String, FakeHost)>,
    events: Arc<Mutex<Vec<FakeEvent>>>,
    locks: PathBuf,
}

impl Machines {
    fn new(names: &[&str], test: &str) -> Self {
        let events = Arc::default();
        let hosts = names
            .iter()
            .map(|name| ((*name).to_owned(), FakeHost::sharing(name, &events)))
            .collect();
        let locks =
            std::env::temp_dir().join(format!("keddah-engine-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&locks);
        Self { hosts, events, locks }
    }

    fn host(&self, name: &str) -> &FakeHost {
        &self.hosts.iter().find(|(host, _)| host == name).unwrap().1
    }

    /// An agent of its own thread for each machine, as on real nodes.
    async fn connect(&self, names: &[&str]) -> Fleet {
        let mut fleet = Fleet::default();
        for (name, (_, host)) in names.iter().zip(&self.hosts) {
            let (ours, theirs) = tokio::io::duplex(1 << 20);
            let lock_path = Some(self.locks.join(name).join("lock"));
            let settings = Settings { build: BUILD.into(), lock_path };
            let host = Arc::new(host.clone());
            std::thread::spawn(move || {
                let runtime = runtime().unwrap();
                let (reader, writer) = tokio::io::split(theirs);
                runtime.block_on(serve(host, reader, writer, settings)).unwrap();
            });
            let (reader, writer) = tokio::io::split(ours);
            let node = NodeName::new(*name);
            fleet.add(Session::over(&node, BUILD, reader, writer).await.unwrap());
        }
        fleet
    }

    fn applied(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        let applied = events.iter().filter_map(|event| match event {
            FakeEvent::Applied { node, resource: (kind, name) } => {
                Some(format!("{node} {kind} {name}"))
            }
            _ => None,
        });
        applied.collect()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.locks);
    }
}

fn holder(user: &str) -> Holder {
    Holder {
        user: user.into(),
        host: "controller.example".into(),
        pid: 4711,
        since: "2026-01-01T00:00:00Z".into(),
        command: "keddah apply".into(),
        finishing: false,
    }
}

fn text(node: &str, path: &str) -> Resource {
    let spec = file::Spec::text(path, "wanted\n", Permissions::root(0o644));
    Resource::new(&NodeName::new(node), Module::Node, spec)
}

fn service(node: &str, name: &str) -> Resource {
    Resource::new(&NodeName::new(node), Module::Node, unit::Spec::running(name))
}

fn other_text() -> Observed {
    let permissions = Permissions::root(0o644);
    let text = Some("other\n".to_owned());
    let digest = file::digest(b"other\n");
    file::Observed {
        present: Some(file::ObservedFile {
            digest,
            text,
            entries: Default::default(),
            permissions,
            sample: false,
        }),
    }
    .into()
}

fn running() -> Observed {
    unit::Observed { exists: true, enabled: true, running: true, owes: None, process: None }.into()
}

struct Run {
    events: Vec<Event>,
    report: Report,
}

async fn planned(fleet: &Fleet, desired: &DesiredFleet) -> Plan {
    plan(desired, &fleet.observe(desired).await).unwrap()
}

/// Applies; `stop` is sent when the first event of the kind it names has come.
async fn apply(fleet: &Fleet, desired: &DesiredFleet, plan: &Plan) -> Result<Run, ExecuteError> {
    let (_wish, stop) = watch::channel(Stop::No);
    apply_until(fleet, desired, plan, stop).await
}

static AUTHORITY: LazyLock<Authority> =
    LazyLock::new(|| Authority::fresh("test", 10, NOW).unwrap());

async fn apply_until(
    fleet: &Fleet,
    desired: &DesiredFleet,
    plan: &Plan,
    stop: watch::Receiver<Stop>,
) -> Result<Run, ExecuteError> {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let execution = Execution {
        desired,
        plan,
        fleet,
        authorities: std::slice::from_ref(&*AUTHORITY),
        now: NOW,
        places: Places::default(),
        holder: holder("alice"),
        events: sender,
        stop,
    };
    execute(execution).await?;
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    let report = Report::new(plan, &events);
    Ok(Run { events, report })
}

fn ending<'a>(run: &'a Run, id: &ResourceId) -> &'a Ending {
    &run.report.changes.iter().find(|change| change.id == *id).unwrap().ending
}

#[tokio::test]
async fn everything_is_applied_in_order_and_then_nothing_is_left() {
    let machines = Machines::new(&["a", "b"], "order");
    let fleet = machines.connect(&["a", "b"]).await;
    let mut desired = DesiredFleet::default();
    let first = desired.add(text("a", "/1"));
    let second = desired.add(text("b", "/2").after([first]));
    let server = desired.add(service("a", "x.service").after([second.clone()]));
    desired.add(text("a", "/3").after([second]).restarts(&server));
    for other in 0..30 {
        desired.add(text("b", &format!("/other/{other}")));
    }
    let made = planned(&fleet, &desired).await;
    assert_eq!(made.changes.len(), 34);
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(run.report.is_success(), "{:?}", run.report);
    let applied = machines.applied();
    assert_eq!(applied.len(), 34);
    let at = |what: &str| applied.iter().position(|one| one == what).unwrap();
    assert!(at("a file /1") < at("b file /2"));
    assert!(at("b file /2") < at("a file /3"));
    assert!(at("a file /3") < at("a unit x.service"));

    let again = planned(&fleet, &desired).await;
    assert!(again.is_settled(), "{again:?}");
    assert_eq!(machines.applied().len(), 34, "a plan changes nothing");
}

#[tokio::test]
async fn a_failure_stops_what_waits_for_it_and_nothing_else() {
    let machines = Machines::new(&["a", "b"], "failure");
    let fleet = machines.connect(&["a", "b"]).await;
    let mut desired = DesiredFleet::default();
    let bad = desired.add(text("a", "/bad"));
    let next = desired.add(text("b", "/next").after([bad.clone()]));
    let last = desired.add(text("a", "/last").after([next.clone()]));
    let free = desired.add(text("a", "/free"));
    let error =
        HostError::new("disk full").with_log("first line\nsecond line").with_hint("make room");
    machines.host("a").cannot_apply(Kind::File, "/bad", error);
    let made = planned(&fleet, &desired).await;
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(!run.report.is_success());
    let Ending::Failed { failure, .. } = ending(&run, &bad) else { panic!("{:?}", run.report) };
    assert_eq!(failure.message, "disk full");
    assert_eq!(failure.log, ["first line", "second line"]);
    assert_eq!(failure.hint.as_deref(), Some("make room"));
    let because = SkipReason::DependencyFailed { id: bad.clone() };
    assert_eq!(*ending(&run, &next), Ending::Skipped { because: because.clone() });
    assert_eq!(*ending(&run, &last), Ending::Skipped { because });
    assert!(matches!(ending(&run, &free), Ending::Changed { class: Class::InPlace, .. }));

    machines.host("a").heal(Kind::File, "/bad");
    let made = planned(&fleet, &desired).await;
    assert_eq!(made.changes.len(), 3);
    assert!(apply(&fleet, &desired, &made).await.unwrap().report.is_success());
    assert!(planned(&fleet, &desired).await.is_settled());
}

#[tokio::test]
async fn what_haproxy_says_of_its_services_is_told() {
    let machines = Machines::new(&["a", "b", "c"], "services");
    let fleet = machines.connect(&["a", "b", "c"]).await;
    let listener = IdleListener { name: "pg-test-offline".into(), because: "L7STS".into() };
    machines.host("a").listeners(Ok(vec![listener.clone()]));
    machines.host("b").listeners(Err(HostError::new("it does not answer")));
    let mut desired = DesiredFleet::default();
    desired.add(service("a", "haproxy.service"));
    let made = planned(&fleet, &desired).await;
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(run.report.is_success(), "a service nobody answers is no failure of the apply");
    assert_eq!(run.report.idle, [(NodeName::new("a"), vec![listener])].into());
    let unseen: Vec<_> =
        run.report.unseen.iter().map(|(node, why)| (node.as_str(), &why.message)).collect();
    assert_eq!(unseen, [("b", &"it does not answer".to_owned())]);

    // Where no service moved, nobody is asked.
    desired.add(text("a", "/x"));
    let made = planned(&fleet, &desired).await;
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(run.report.idle.is_empty() && !run.events.contains(&Event::AwaitingServices));
}

#[tokio::test]
async fn a_restart_survives_a_crash_between_the_file_and_the_unit() {
    let machines = Machines::new(&["a", "b"], "owed");
    let fleet = machines.connect(&["a", "b"]).await;
    let mut desired = DesiredFleet::default();
    let here = desired.add(service("a", "x.service"));
    let there = desired.add(service("b", "x.service"));
    desired.add(text("a", "/x.conf").restarts(&here).reloads(&there));
    for node in ["a", "b"] {
        machines.host(node).set(Kind::Unit, "x.service", running());
    }
    machines.host("a").set(Kind::File, "/x.conf", other_text());
    let made = planned(&fleet, &desired).await;
    assert_eq!(made.changes.len(), 3);

    // The controller dies when the file is written: both units fail as if cut off.
    for node in ["a", "b"] {
        machines.host(node).cannot_apply(Kind::Unit, "x.service", HostError::new("cut off"));
    }
    assert!(!apply(&fleet, &desired, &made).await.unwrap().report.is_success());
    for node in ["a", "b"] {
        machines.host(node).heal(Kind::Unit, "x.service");
    }
    let made = planned(&fleet, &desired).await;
    let classes: Vec<(String, Class)> = made
        .changes
        .iter()
        .map(|change| (change.id.node.to_string(), change.difference.class))
        .collect();
    assert_eq!(classes, [("a".to_owned(), Class::Restart), ("b".to_owned(), Class::Reload)]);
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(run.report.is_success(), "{:?}", run.report);
    assert!(planned(&fleet, &desired).await.is_settled());

    // What was owed was written down before the file was changed, on both nodes.
    let events = machines.events.lock().unwrap().clone();
    let begun = events
        .iter()
        .position(|event| matches!(event, FakeEvent::Begun { resource: (Kind::File, _), .. }))
        .unwrap();
    for (node, action) in [("a", TriggerAction::Restart), ("b", TriggerAction::Reload)] {
        let owed =
            FakeEvent::Owed { node: node.into(), target: (Kind::Unit, "x.service".into()), action };
        assert!(events[..begun].contains(&owed), "{node}: {events:?}");
    }
}

#[tokio::test]
async fn what_a_selection_leaves_out_is_owed_all_the_same() {
    let machines = Machines::new(&["a", "b"], "outside");
    let fleet = machines.connect(&["a", "b"]).await;
    let mut whole = DesiredFleet::default();
    let there = whole.add(service("b", "x.service"));
    let file = whole.add(text("a", "/x.conf").restarts(&there));
    machines.host("b").set(Kind::Unit, "x.service", running());
    machines.host("a").set(Kind::File, "/x.conf", other_text());
    let mut chosen = whole.clone();
    chosen.retain(|resource| resource.id == file);
    let made = planned(&fleet, &chosen).await;
    assert!(made.notes.iter().any(|note| note.contains("x.service on b")), "{:?}", made.notes);

    // Where nobody could remember it, nothing is begun.
    let alone = machines.connect(&["a"]).await;
    let run = apply(&alone, &chosen, &made).await.unwrap();
    let Ending::Failed { failure, .. } = ending(&run, &file) else { panic!("{:?}", run.report) };
    assert!(failure.message.contains("b unit x.service"), "{failure}");
    assert!(machines.applied().is_empty());
    drop(alone);

    assert!(apply(&fleet, &chosen, &made).await.unwrap().report.is_success());
    let later = planned(&fleet, &whole).await;
    let classes: Vec<(&ResourceId, Class)> =
        later.changes.iter().map(|change| (&change.id, change.difference.class)).collect();
    assert_eq!(classes, [(&there, Class::Restart)]);
}

#[tokio::test]
async fn a_node_refuses_what_was_not_promised() {
    let machines = Machines::new(&["a"], "promise");
    let fleet = machines.connect(&["a"]).await;
    let mut desired = DesiredFleet::default();
    let changed = desired.add(text("a", "/x"));
    machines.host("a").set(Kind::File, "/x", other_text());
    let made = planned(&fleet, &desired).await;
    machines.host("a").forget(Kind::File, "/x");
    let run = apply(&fleet, &desired, &made).await.unwrap();
    let Ending::Failed { failure, .. } = ending(&run, &changed) else { panic!() };
    assert!(failure.message.contains("changed since the plan"), "{failure}");
    assert!(machines.applied().is_empty());

    // Done by hand in the meantime: nothing is left to do, and that is fine.
    machines.host("a").set(Kind::File, "/x", other_text());
    let made = planned(&fleet, &desired).await;
    let settled = desired.get(&changed).unwrap().spec.settled();
    machines.host("a").set(Kind::File, "/x", settled);
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert_eq!(*ending(&run, &changed), Ending::Settled);
    assert!(machines.applied().is_empty());
}

#[tokio::test]
async fn what_has_no_effect_is_not_called_done() {
    let machines = Machines::new(&["a"], "effect");
    let fleet = machines.connect(&["a"]).await;
    let mut desired = DesiredFleet::default();
    let changed = desired.add(text("a", "/x"));
    machines.host("a").pretend(Kind::File, "/x");
    let made = planned(&fleet, &desired).await;
    let run = apply(&fleet, &desired, &made).await.unwrap();
    let Ending::Failed { failure, .. } = ending(&run, &changed) else { panic!() };
    assert!(failure.message.contains("still differs: content"), "{failure}");
}

#[tokio::test]
async fn certificates_are_issued_when_their_change_is_carried_out() {
    let machines = Machines::new(&["a"], "certificate");
    let fleet = machines.connect(&["a"]).await;
    let mut desired = DesiredFleet::default();
    let spec = certificate::Spec {
        certificate_path: "/etc/x.crt".into(),
        key_path: "/etc/x.key".into(),
        common_name: "x".into(),
        dns_names: vec!["x".into()],
        addresses: vec!["10.0.0.1".into()],
        issuer: AUTHORITY.fingerprint().to_owned(),
        authority_path: "/etc/pki/ca.crt".into(),
        validity_days: 100,
        renew_days: 30,
        permissions: Permissions::root(0o600),
    };
    desired.add(Resource::new(&NodeName::new("a"), Module::Ca, spec));
    let made = planned(&fleet, &desired).await;
    let json = serde_json::to_string(&made).unwrap();
    assert!(!json.contains("PRIVATE"));
    let run = apply(&fleet, &desired, &made).await.unwrap();
    assert!(run.report.is_success(), "{:?}", run.report);
    assert!(!format!("{:?}", run.events).contains("PRIVATE"));
}

#[tokio::test]
async fn heavy_work_is_bounded_and_what_is_light_goes_by_it() {
    let names = ["a", "b", "c"];
    let machines = Machines::new(&names, "bounded");
    let fleet = machines.connect(&names).await;
    let mut desired = DesiredFleet::default();
    for (node, number) in names.iter().flat_map(|node| (0..6).map(move |number| (*node, number))) {
        let set = format!("set-{number}");
        let spec = packages::Spec { set: set.clone(), names: vec!["one".to_owned()] };
        desired.add(Resource::new(&NodeName::new(node), Module::Node, spec));
        machines.host(node).hang(Kind::Packages, &set);
        desired.add(text(node, &format!("/{number}")));
    }
    let made = planned(&fleet, &desired).await;
    let (wish, stop) = watch::channel(Stop::No);
    let watch = async {
        // Whatever may begin has begun by then.
        tokio::time::sleep(Duration::from_millis(500)).await;
        wish.send(Stop::Now).unwrap();
    };
    let (run, ()) = tokio::join!(apply_until(&fleet, &desired, &made, stop), watch);
    let run = run.unwrap();
    let begun = |event: &&FakeEvent| {
        matches!(event, FakeEvent::Begun { resource: (Kind::Packages, _), .. })
    };
    let begun = machines.events.lock().unwrap().iter().filter(begun).count();
    assert_eq!(begun, 6, "two on each node of one processor");
    let files = machines.applied().iter().filter(|one| one.contains(" file ")).count();
    assert_eq!(files, 18, "what is light does not wait behind it");
    let queued: Vec<usize> = run
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Queued { count } => Some(*count),
            _ => None,
        })
        .collect();
    assert_eq!(queued.last(), Some(&12), "{queued:?}");
}

#[tokio::test]
async fn a_killed_controller_leaves_a_fleet_that_converges() {
    // Killed before, while and after every change, in turn.
    for killed_after in 0..8 {
        let machines = Machines::new(&["a", "b"], &format!("killed-{killed_after}"));
        let mut desired = DesiredFleet::default();
        let server = desired.add(service("b", "x.service"));
        let mut before: Option<ResourceId> = None;
        for number in 0..6 {
            let node = if number % 2 == 0 { "a" } else { "b" };
            let resource = text(node, &format!("/{number}")).after(before).restarts(&server);
            before = Some(desired.add(resource));
        }
        machines.host("b").set(Kind::Unit, "x.service", running());
        {
            let fleet = machines.connect(&["a", "b"]).await;
            let made = planned(&fleet, &desired).await;
            let (sender, mut receiver) = mpsc::unbounded_channel();
            let (_wish, stop) = watch::channel(Stop::No);
            let execution = Execution {
                desired: &desired,
                plan: &made,
                fleet: &fleet,
                authorities: std::slice::from_ref(&*AUTHORITY),
                now: NOW,
                places: Places::default(),
                holder: holder("alice"),
                events: sender,
                stop,
            };
            let killed = async {
                for _ in 0..killed_after {
                    if receiver.recv().await.is_none() {
                        return;
                    }
                }
            };
            // Dropping the future and the fleet cuts every conversation, as kill -9 does.
            tokio::select! {
                _ = execute(execution) => {}
                () = killed => {}
            }
        }
        let fleet = machines.connect(&["a", "b"]).await;
        // Taking the lock waits for agents that still finish what they have begun.
        let mut rounds = 0;
        while !planned(&fleet, &desired).await.is_settled() {
            let made = planned(&fleet, &desired).await;
            let run = apply(&fleet, &desired, &made).await.unwrap();
            rounds += 1;
            assert!(rounds <= 2, "killed after {killed_after}: {:?}", run.report);
        }
        let restarts = machines
            .applied()
            .iter()
            .filter(|applied| applied.as_str() == "b unit x.service")
            .count();
        assert!(restarts >= 1, "killed after {killed_after}: the restart was lost");
    }
}

#[tokio::test]
async fn a_second_controller_is_told_who_holds_the_node() {
    let machines = Machines::new(&["a"], "lock");
    let first = machines.connect(&["a"]).await;
    let second = machines.connect(&["a"]).await;
    assert!(second.holders([&NodeName::new("a")]).await.is_empty());
    let mut desired = DesiredFleet::default();
    let hanging = desired.add(text("a", "/hangs"));
    machines.host("a").hang(Kind::File, "/hangs");
    let made = planned(&first, &desired).await;
    let (wish, stop) = watch::channel(Stop::No);
    let working = apply_until(&first, &desired, &made, stop);
    let intruding = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Looking is always allowed, and says who is at work; one that only looked is not.
        assert_eq!(planned(&second, &desired).await.changes.len(), 1);
        let node = NodeName::new("a");
        let holders = second.holders([&node]).await;
        assert_eq!(holders.get(&node).map(|holder| holder.pid), Some(4711), "{holders:?}");
        let refused = apply(&second, &desired, &made).await;
        let Err(ExecuteError::Locked(nodes)) = refused else { panic!("it was not refused") };
        let error = nodes.values().next().unwrap();
        assert!(matches!(error, SessionError::Busy(Some(_))), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("alice@controller.example") && text.contains("4711"), "{text}");
        wish.send(Stop::Now).unwrap();
    };
    let (run, ()) = tokio::join!(working, intruding);
    let run = run.unwrap();
    assert_eq!(*ending(&run, &hanging), Ending::Unknown);
    assert!(run.report.interrupted);
}

#[tokio::test]
async fn no_two_controllers_change_two_members_of_one_cluster() {
    let machines = Machines::new(&["a", "b", "c"], "members");
    let first = machines.connect(&["a", "b", "c"]).await;
    let second = machines.connect(&["a", "b", "c"]).await;
    let mut desired = DesiredFleet::default();
    desired.add(text("a", "/hangs").in_cluster("pg-test"));
    desired.add(text("b", "/x").in_cluster("pg-test"));
    desired.add(text("c", "/x").in_cluster("pg-other"));
    machines.host("a").hang(Kind::File, "/hangs");
    // Each controller has chosen one node.
    let only = |node: &str| {
        let mut chosen = desired.clone();
        chosen.retain(|resource| resource.id.node.as_str() == node);
        chosen
    };
    let made = planned(&first, &only("a")).await;
    assert_eq!(made.locks.iter().map(NodeName::as_str).collect::<Vec<_>>(), ["a", "b"]);
    let (wish, stop) = watch::channel(Stop::No);
    let here = only("a");
    let working = apply_until(&first, &here, &made, stop);
    let intruding = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (there, other) = (only("b"), only("c"));
        let refused = apply(&second, &there, &planned(&second, &there).await).await;
        let Err(ExecuteError::Locked(nodes)) = refused else { panic!("it was not refused") };
        assert_eq!(nodes.keys().map(NodeName::as_str).collect::<Vec<_>>(), ["a", "b"]);
        apply(&second, &other, &planned(&second, &other).await).await.expect("another cluster");
        wish.send(Stop::Now).unwrap();
    };
    let (run, ()) = tokio::join!(working, intruding);
    assert!(run.unwrap().report.interrupted);
    assert_eq!(machines.applied(), ["c file /x"]);
}

#[tokio::test]
async fn stopping_gently_finishes_what_runs() {
    let machines = Machines::new(&["a"], "gently");
    let fleet = machines.connect(&["a"]).await;
    let mut desired = DesiredFleet::default();
    let first = desired.add(text("a", "/1"));
    let second = desired.add(text("a", "/2").after([first.clone()]));
    let made = planned(&fleet, &desired).await;
    let (_wish, stop) = watch::channel(Stop::Gently);
    let run = apply_until(&fleet, &desired, &made, stop).await.unwrap();
    for id in [&first, &second] {
        assert_eq!(*ending(&run, id), Ending::Skipped { because: SkipReason::Interrupted });
    }
    assert!(run.report.interrupted && machines.applied().is_empty());
}

#[tokio::test]
async fn an_unseen_resource_leaves_the_rest_to_be_planned() {
    let machines = Machines::new(&["a", "b"], "unseen");
    let fleet = machines.connect(&["a", "b"]).await;
    let mut desired = DesiredFleet::default();
    let unseen = desired.add(text("a", "/unseen"));
    let blocked = desired.add(text("b", "/blocked").after([unseen.clone()]));
    let free = desired.add(text("b", "/free"));
    let nowhere = desired.add(text("nowhere", "/x"));
    machines.host("a").cannot_observe(Kind::File, "/unseen", HostError::new("is a directory"));
    let made = planned(&fleet, &desired).await;
    assert_eq!(made.changes.iter().map(|one| &one.id).collect::<Vec<_>>(), [&free]);
    assert_eq!(made.unobserved.iter().map(|one| &one.id).collect::<Vec<_>>(), [&unseen, &nowhere]);
    assert_eq!(made.blocked[0].id, blocked);
    assert!(!made.is_complete());
}
