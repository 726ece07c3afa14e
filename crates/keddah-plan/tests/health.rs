//! A healthy fleet, and what is found when one thing in it breaks: each finding is made once at least, and
//! nothing else is found with it than what follows from it.

#[path = "health/breaks.rs"]
mod breaks;
#[path = "health/world.rs"]
mod world;

use breaks::BREAKS;
use keddah_plan::health::{
    FINDINGS, Finding, Health, ServiceHealth, Severity, beside, in_the_way, not_said_by,
};
use keddah_plan::{Certainty, Plan, PlannedChange};
use keddah_resource::health::{Accepted, Asked, ByHand, KnownEtcd, UnitHealth};
use keddah_resource::{Action, Class, Difference, Kind, Module, ResourceId};
use keddah_resource::{Effect, ForeignSetting, IdleListener};
use std::collections::BTreeSet;
use world::{NOW, World, addresses, node, public};

fn names(findings: &[Finding]) -> Vec<&str> {
    let mut names: Vec<&str> = findings.iter().map(|finding| finding.name).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_healthy_fleet_has_no_findings() {
    let health = World::well().judged();
    assert_eq!(health.findings, []);
    assert!(health.is_well());
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"));
    let roles: Vec<&str> = health.clusters[0].members.iter().map(|member| member.role).collect();
    assert_eq!(roles, ["leader", "sync", "replica"]);
    assert!(health.etcd.expect("there is one").quorum);
}

#[test]
fn clients_are_led_where_the_load_balancers_say() {
    let mut world = World::well();
    let cluster = world.judged().clusters.remove(0);
    let serving = |health: &ServiceHealth| health.members.clone();
    assert_eq!(cluster.services[0].name, "pg-primary");
    assert_eq!(serving(&cluster.services[0]), Some(vec!["pg-1".to_owned()]));
    assert_eq!(cluster.addresses[0].held_by, [node(1)]);
    assert_eq!(cluster.dns_name.as_deref(), Some("pg.lab"));
    // All of them together, and what one of them alone sees.
    world.node(1).listeners[0].servers = vec!["pg-3".to_owned(), "pg-2".to_owned()];
    (2..=3).for_each(|number| world.node(number).listeners[0].servers.clear());
    let members = serving(&world.judged().clusters[0].services[0]);
    assert_eq!(members, Some(vec!["pg-2".to_owned(), "pg-3".to_owned()]));
    world.node(1).listeners[0].servers.clear();
    assert_eq!(serving(&world.judged().clusters[0].services[0]), Some(Vec::new()));
    (1..=3).for_each(|number| world.node(number).listeners.clear());
    assert_eq!(serving(&world.judged().clusters[0].services[0]), None, "nobody could be asked");
}

#[test]
fn a_note_that_a_finding_says_too_is_left_out() {
    let mut world = World::well();
    world.server(2).altered = vec!["work_mem = 1GB".to_owned()];
    world.etcd(2).members.push(KnownEtcd {
        id: "4f".to_owned(),
        name: "etcd-4".to_owned(),
        peer_urls: vec!["https://10.0.0.4:2380".to_owned()],
        learner: false,
    });
    let health = world.judged();
    let mut plan = Plan::default();
    let note = |text: &str| text.to_owned();
    plan.notes = vec![
        note(
            "pg-2 has settings of ALTER SYSTEM that nobody declared, which are left alone: work_mem",
        ),
        note(
            "etcd lists a member that …; otherwise strike it, as root on a member's node: keddah-etcdctl member remove 4f",
        ),
        note(
            "pg-3 has settings of ALTER SYSTEM that nobody declared, which are left alone: work_mem",
        ),
        note(
            "etcd lists a member that …; otherwise strike it, as root on a member's node: keddah-etcdctl member remove 5f",
        ),
    ];
    let shown: Vec<&Finding> = health.findings.iter().collect();
    assert_eq!(not_said_by(&plan, &shown), plan.notes[2..].iter().collect::<Vec<_>>());
    // A text shows what counts only: the other note stays.
    let counts: Vec<&Finding> = health.findings.iter().filter(|one| one.counts()).collect();
    assert_eq!(not_said_by(&plan, &counts).len(), 3);
}

/// Who reads JSON finds by fields what a person reads: on which nodes, and which member.
#[test]
fn a_finding_about_etcd_names_its_nodes_and_its_member() {
    let mut told = BTreeSet::new();
    for (_, breaks) in BREAKS {
        let mut world = World::well();
        breaks(&mut world);
        for finding in world.judged().findings {
            let Some(of_etcd) = finding.name.strip_prefix("etcd-") else { continue };
            let json = serde_json::to_value(&finding).expect("it is shown");
            let nodes = json["nodes"].as_array().expect("a list");
            assert!(!nodes.is_empty() && json["remedy"].is_string(), "{finding:?}");
            let one = finding.place != "etcd";
            if one {
                let number = finding.place.strip_prefix("etcd-").expect("a member's name");
                assert_eq!(nodes, &[serde_json::json!(format!("10.0.0.{number}"))], "{finding:?}");
            }
            // One that was struck has none any more.
            let id = match of_etcd {
                "unlisted" => None,
                "undeclared" => Some("4f".to_owned()),
                _ if one => finding.place.strip_prefix("etcd-").map(|number| format!("{number}f")),
                _ => None,
            };
            assert_eq!(json["member"].as_str(), id.as_deref(), "{finding:?}");
            told.insert(finding.name);
        }
    }
    assert!(told.len() >= 10, "{told:?}");
}

#[test]
fn one_thing_that_breaks_is_found_and_nothing_else() {
    for (at, (expected, breaks)) in BREAKS.iter().enumerate() {
        let mut world = World::well();
        breaks(&mut world);
        let health = world.judged();
        assert_eq!(names(&health.findings), *expected, "break {at}: {:#?}", health.findings);
        let counts = health.findings.iter().any(|one| one.severity != Severity::Note);
        assert_eq!(health.is_well(), !counts, "break {at}");
        for finding in &health.findings {
            assert!(!finding.remedy.is_empty() && !finding.place.is_empty(), "{finding:?}");
        }
    }
}

#[test]
fn every_finding_is_made_by_one_of_the_breaks() {
    let made: BTreeSet<&str> = BREAKS.iter().flat_map(|(names, _)| *names).copied().collect();
    let table: BTreeSet<&str> = FINDINGS.iter().map(|(name, ..)| *name).collect();
    assert_eq!(made, table);
}

#[test]
fn a_finding_that_is_accepted_is_shown_and_the_fleet_is_well() {
    let mut world = World::well();
    world.patroni(2).pending_restart = true;
    let accept =
        |number, finding: &str| Accepted { node: node(number), finding: finding.to_owned() };
    for elsewhere in [accept(2, "paused"), accept(3, "pending-restart")] {
        world.expected.accepted = vec![elsewhere];
        assert!(!world.judged().is_well(), "another finding, or another node's");
    }
    world.expected.accepted = vec![accept(2, "pending-restart")];
    let health = world.judged();
    assert!(health.is_well() && health.findings[0].accepted);
}

#[test]
fn public_passwords_that_were_allowed_are_shown_and_the_fleet_is_well() {
    let mut world = World::well();
    world.expected.public_passwords = Some(public(true));
    let health = world.judged();
    assert!(health.is_well() && names(&health.findings) == ["public-passwords"]);
}

#[test]
fn each_finding_can_be_accepted_where_it_is() {
    for (at, (expected, breaks)) in BREAKS.iter().enumerate() {
        let mut world = World::well();
        breaks(&mut world);
        for name in *expected {
            let everywhere =
                (1..=3).map(|number| Accepted { node: node(number), finding: (*name).to_owned() });
            world.expected.accepted.extend(everywhere);
        }
        let health = world.judged();
        assert!(health.is_well(), "break {at}, {expected:?}: {:#?}", health.findings);
    }
}

#[test]
fn a_fleet_of_which_nothing_answers_is_never_well() {
    let mut world = World::well();
    (1..=3).for_each(|number| world.silence(number));
    let health = world.judged();
    for name in ["no-leader", "etcd-no-quorum", "node-unknown", "address-missing"] {
        assert!(names(&health.findings).contains(&name), "{name}: {:#?}", health.findings);
    }
    assert_eq!(health.findings[0].severity, Severity::Critical, "the worst comes first");
}

#[test]
fn nobody_is_shown_to_stream_from_a_machine_that_does_not_answer() {
    let mut world = World::well();
    for number in [2, 3] {
        world.patroni(number).state = "streaming".to_owned();
    }
    let states = |world: &World| -> Vec<String> {
        world.judged().clusters[0].members.iter().map(|one| one.state.clone()).collect()
    };
    assert_eq!(states(&world)[1..], ["streaming", "streaming"]);
    world.silence(1);
    assert_eq!(states(&world), ["unknown", "running", "running"]);
}

#[test]
fn a_member_that_stays_behind_on_purpose_does_not_lag() {
    let mut world = World::well();
    world.server(3).position -= 200 << 20;
    world.expected.clusters[0].members[2].delayed = true;
    assert_eq!(world.judged().findings, []);
}

#[test]
fn a_silent_patroni_of_a_writable_server_does_not_make_its_cluster_leaderless() {
    let mut world = World::well();
    world.node(1).servers[0].patroni = Asked::unknown("Patroni did not answer within 1.2 s");
    let health = world.judged();
    assert_eq!(names(&health.findings), ["member-down"]);
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"));
}

#[expect(clippy::disallowed_methods, reason = "a developer's switch, read by a test")]
fn updating() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn the_page_for_whoever_is_on_call_has_every_finding_and_what_to_do() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/findings.md");
    let page = std::fs::read_to_string(path).expect("docs/findings.md");
    let mut rows: Vec<String> = FINDINGS
        .iter()
        .map(|(name, severity, meaning)| format!("| `{name}` | {severity} | {meaning} |\n"))
        .collect();
    rows.sort();
    let table = rows.concat();
    let begins = page.find("| `").expect("the table");
    let ends = begins + page[begins..].find("\n\n").expect("something below it") + 1;
    if updating() {
        let text = format!("{}{table}{}", &page[..begins], &page[ends..]);
        std::fs::write(path, text).expect("docs/findings.md");
    } else {
        assert_eq!(&page[begins..ends], table, "`make docs` writes docs/findings.md anew");
    }
    for (name, ..) in FINDINGS {
        let heading = page.lines().filter(|line| line.starts_with("### "));
        let named = heading.flat_map(|line| line[4..].split(", ")).any(|word| word == *name);
        assert!(named, "docs/findings.md does not say what to do about {name}");
    }
}

/// A plan of one change of `pg`.
fn plan(kind: Kind, name: &str, on: u8, action: Action, class: Class) -> Plan {
    let change = PlannedChange {
        id: ResourceId::new(&node(on), kind, name),
        module: Module::Pgsql,
        cluster: Some("pg".to_owned()),
        difference: Difference {
            action,
            class,
            fields: Vec::new(),
            reason: String::new(),
            impossible: None,
        },
        certainty: Certainty::Known,
        cause: None,
        caused_by: Vec::new(),
        wave: 0,
        after: Vec::new(),
        owes: Vec::new(),
        moves_services: false,
    };
    Plan { changes: vec![change], ..Plan::default() }
}

#[test]
fn what_a_plan_mends_is_not_told_beside_it() {
    let mut world = World::well();
    world.patroni(2).pending_restart = true;
    world.server(1).connections = 99;
    let health = world.judged();
    let restart = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::OrderedRestart);
    let told: Vec<&str> = beside(&restart, &health).iter().map(|finding| finding.name).collect();
    assert_eq!(told, ["connections-full"]);
    let other = plan(Kind::Postmaster, "pg-3", 3, Action::Update, Class::OrderedRestart);
    assert_eq!(beside(&other, &health).len(), 2);
    // A cluster that is being made has no illness of its own yet.
    let mut bare = World::well();
    for number in 1..=3 {
        bare.node(number).servers[0].patroni = Asked::unknown("Patroni does not run");
        bare.node(number).servers[0].server = Asked::unknown("PostgreSQL does not run");
    }
    let birth = plan(Kind::PgInstance, "pg-1", 1, Action::Create, Class::InPlace);
    let health = bare.judged();
    let about = |one: &&Finding| one.cluster.as_deref() == Some("pg");
    assert!(health.findings.iter().any(|one| about(&one)));
    assert!(!beside(&birth, &health).iter().any(about));
}

#[test]
fn what_a_plan_merely_touches_stays_told() {
    // A restart ends no alarm, and a member that joins makes no cluster well.
    let mut world = World::well();
    world.etcd(2).errors = vec!["alarm:NOSPACE".to_owned()];
    world.patroni(3).streams = Some(false);
    addresses(&mut world, 3).push("10.0.0.9".to_owned());
    let health = world.judged();
    let everything = ["etcd-alarm", "address-twice", "not-streaming"];
    let changes = [
        plan(Kind::Unit, "etcd.service", 2, Action::Update, Class::OrderedRestart),
        plan(Kind::Unit, "keddah-vip.service", 3, Action::Update, Class::Restart),
        plan(Kind::Unit, "patroni.service", 3, Action::Update, Class::Reload),
        plan(Kind::PgInstance, "pg-2", 2, Action::Create, Class::InPlace),
        plan(Kind::EtcdMember, "etcd-2", 2, Action::Create, Class::InPlace),
    ];
    for plan in changes {
        let told = beside(&plan, &health);
        for name in everything {
            assert!(
                told.iter().any(|one| one.name == name),
                "{name} beside {:?}",
                plan.changes[0].id
            );
        }
    }
    // Of a member that is started, that is told once.
    let mut down = World::well();
    down.node(3).servers[0].patroni = Asked::unknown("Patroni does not run");
    let unit = UnitHealth {
        unit: "patroni.service".to_owned(),
        state: "inactive".to_owned(),
        since: NOW - 60,
        replaced: None,
    };
    down.node(3).units = Asked::Told(vec![unit]);
    let health = down.judged();
    assert_eq!(names(&health.findings), ["member-down"]);
    let start = plan(Kind::Unit, "patroni.service", 3, Action::Create, Class::InPlace);
    assert_eq!(beside(&start, &health), Vec::<&Finding>::new());
}

#[test]
fn only_the_node_that_is_meant_mends_what_clients_meet() {
    // HAProxy hangs on one node: a reload there, or a restart elsewhere, ends no hang.
    let mut hung = World::well();
    hung.node(2).logins[2].answer = Asked::unknown("a new login gets no answer");
    let health = hung.judged();
    assert_eq!(names(&health.findings), ["service-silent"]);
    let unit = |name, on, action, class| plan(Kind::Unit, name, on, action, class);
    let haproxy = |on, class| unit("haproxy.service", on, Action::Update, class);
    assert_eq!(beside(&haproxy(2, Class::Reload), &health).len(), 1, "a reload");
    assert_eq!(beside(&haproxy(3, Class::Restart), &health).len(), 1, "elsewhere");
    assert_eq!(beside(&haproxy(2, Class::Restart), &health), Vec::<&Finding>::new());
    // It hangs on two, of which one restarts.
    hung.node(3).logins[2].answer = Asked::unknown("a new login gets no answer");
    assert_eq!(beside(&haproxy(2, Class::Restart), &hung.judged()).len(), 1);
    // A port that is not offered yet is, after a reload.
    let mut closed = World::well();
    closed.node(2).logins[2].answer = Asked::unknown("connection refused");
    assert_eq!(beside(&haproxy(2, Class::Reload), &closed.judged()), Vec::<&Finding>::new());
    // A cluster's address goes to its leader's node alone.
    let mut lost = World::well();
    addresses(&mut lost, 1).retain(|address| address != "10.0.0.9");
    let health = lost.judged();
    assert_eq!(names(&health.findings), ["address-missing"]);
    let vip = |on| unit("keddah-vip.service", on, Action::Create, Class::InPlace);
    assert_eq!(beside(&vip(2), &health).len(), 1, "a replica's node does not take it");
    assert_eq!(beside(&vip(1), &health), Vec::<&Finding>::new());
}

#[test]
fn nothing_restarts_into_a_sick_cluster_but_the_sick_member_itself() {
    let mut world = World::well();
    world.node(3).servers[0].server = Asked::unknown("no answer within 1.2 s");
    let health = world.judged();
    let restart = |instance: &str, on| {
        plan(Kind::Postmaster, instance, on, Action::Update, Class::OrderedRestart)
    };
    let plan_of_another = restart("pg-2", 2);
    let refused = in_the_way(&plan_of_another, &health);
    let told: Vec<(&str, &str)> =
        refused.iter().map(|one| (one.cluster.as_str(), one.finding.name)).collect();
    assert_eq!(told, [("pg", "server-silent")]);
    assert_eq!(in_the_way(&restart("pg-3", 3), &health), [], "it may be the cure");
    let reload = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::Reload);
    assert_eq!(in_the_way(&reload, &health), [], "nobody notices");
    let removal = plan(Kind::PgInstance, "pg-2", 2, Action::Delete, Class::Destroy);
    assert_eq!(in_the_way(&removal, &health).len(), 1);
    let mut down = World::well();
    down.silence(1);
    down.node(3).servers[0].server = Asked::unknown("PostgreSQL does not run");
    down.patroni(3).state = "stopped".to_owned();
    let start = plan(Kind::PgInstance, "pg-3", 3, Action::Update, Class::Restart);
    assert_eq!(in_the_way(&start, &down.judged()), [], "it does not serve: nobody loses it");
    let well = World::well().judged();
    assert_eq!(in_the_way(&plan_of_another, &well), []);
    // A node of which nothing is known has a member that nobody can count on.
    let mut silent = World::well();
    silent.silence(3);
    let names: Vec<&str> =
        in_the_way(&plan_of_another, &silent.judged()).iter().map(|one| one.finding.name).collect();
    assert!(names.contains(&"node-unknown"), "{names:?}");
}

#[test]
fn patroni_is_not_started_over_a_server_that_writes_for_itself() {
    let mut world = World::well();
    world.node(3).servers[0].patroni = Asked::unknown("Patroni does not run");
    world.server(3).in_recovery = false;
    let health = world.judged();
    assert_eq!(health.clusters[0].leader.as_deref(), Some("pg-1"), "Patroni's word goes first");
    assert_eq!(health.clusters[0].members[2].role, "writable");
    let start = plan(Kind::Unit, "patroni.service", 3, Action::Create, Class::InPlace);
    let refused = in_the_way(&start, &health);
    assert_eq!(refused[0].finding.name, "two-writable");
    assert!(refused[0].finding.remedy.contains("stop pg-3"), "{:?}", refused[0].finding);
}

#[test]
fn nothing_is_copied_where_nobody_leads() {
    let mut world = World::well();
    for number in 1..=2 {
        world.node(number).servers[0].patroni = Asked::unknown("Patroni does not run");
        world.node(number).servers[0].server = Asked::unknown("PostgreSQL does not run");
    }
    world.patroni(3).role = "replica".to_owned();
    let copy = plan(Kind::PgInstance, "pg-2", 2, Action::Create, Class::InPlace);
    let health = world.judged();
    assert_eq!(in_the_way(&copy, &health)[0].finding.name, "no-leader");
    assert!(beside(&copy, &health).iter().any(|one| one.name == "no-leader"));
}

#[test]
fn what_a_plan_declares_is_not_missed_before_it_is_there() {
    let mut world = World::well();
    world.patroni(1).synchronous = Some(Vec::new());
    let health = world.judged();
    let mut both = plan(Kind::Postmaster, "pg-2", 2, Action::Update, Class::OrderedRestart);
    assert_eq!(in_the_way(&both, &health).len(), 1);
    let settings = plan(Kind::PatroniConfig, "pg", 1, Action::Update, Class::Reload);
    both.changes.extend(settings.changes);
    assert_eq!(in_the_way(&both, &health), []);
    assert_eq!(beside(&both, &health), Vec::<&Finding>::new());
}

#[test]
fn what_was_told_at_the_socket_is_taken_back_by_its_own_command() {
    let mut world = World::well();
    world.node(2).idle_listeners = Asked::Told(vec![IdleListener {
        name: "pg-primary".to_owned(),
        because: "pg-1 gets no new clients (DRAIN)".to_owned(),
    }]);
    world.node(2).listeners[0].by_hand = vec![ByHand {
        server: "pg-1".to_owned(),
        what: "has the weight 0 and not 100".to_owned(),
        back: "set server pg-primary/pg-1 weight 100".to_owned(),
    }];
    let remedy = |world: &World, name: &str| {
        let found = world.judged().findings.into_iter().find(|one| one.name == name);
        found.map(|one| one.remedy)
    };
    for name in ["writes-lead-nowhere", "service-by-hand"] {
        let remedy = remedy(&world, name).expect("it is found");
        assert!(remedy.contains("`set server pg-primary/pg-1 weight 100`"), "{name}: {remedy}");
    }
    // Nobody writes to a cluster that follows another one.
    world.expected.clusters[0].follows = true;
    world.server(1).in_recovery = true;
    assert_eq!(remedy(&world, "writes-lead-nowhere"), None);
    assert!(remedy(&world, "service-leads-nowhere").is_some());
}

#[test]
fn nothing_restarts_where_its_disk_is_full_or_etcd_takes_no_writes() {
    let restart = |on: u8| {
        plan(Kind::Postmaster, &format!("pg-{on}"), on, Action::Update, Class::OrderedRestart)
    };
    let refused = |health: &Health, on: u8| -> Vec<&'static str> {
        in_the_way(&restart(on), health).iter().map(|one| one.finding.name).collect()
    };
    let mut full = World::well();
    (full.disk(1).taken, full.disk(1).free) = (49 << 30, 1 << 30);
    let full = full.judged();
    assert_eq!(refused(&full, 1), ["disk-full"], "it would not start again");
    assert_eq!(refused(&full, 2), [""; 0], "another one's disk");
    let mut complains = World::well();
    complains.etcd(2).errors = vec!["memberID:2 alarm:NOSPACE".to_owned()];
    assert_eq!(refused(&complains.judged(), 2), ["etcd-alarm"]);
}

#[test]
fn what_a_plan_makes_is_not_missed_beforehand() {
    let mut world = World::well();
    world.server(1).databases.retain(|one| one != "app");
    let health = world.judged();
    let made = plan(Kind::PgDatabase, "5432/app", 1, Action::Create, Class::InPlace);
    assert_eq!(beside(&made, &health), [] as [&Finding; 0]);
    let other = plan(Kind::PgDatabase, "5432/other", 1, Action::Create, Class::InPlace);
    assert_eq!(beside(&other, &health).len(), 1);
    // All members of etcd are started: none is missed. One of them would make no majority.
    let mut bare = World::well();
    for number in 1..=3 {
        bare.node(number).etcd = Some(Asked::unknown("connection refused"));
    }
    let health = bare.judged();
    let start = |on| plan(Kind::Unit, "etcd.service", on, Action::Create, Class::InPlace);
    let mut all = start(1);
    all.changes.extend((2..=3).flat_map(|on| start(on).changes));
    assert_eq!(beside(&all, &health), [] as [&Finding; 0]);
    let names: Vec<&str> = beside(&start(1), &health).iter().map(|one| one.name).collect();
    assert!(names.contains(&"etcd-no-quorum"), "{names:?}");
}

/// What a file of Keddah's own has beside its words, that file's change takes away; what another one has
/// stays told.
#[test]
fn a_member_of_etcd_is_mended_by_the_file_that_alone_leads_it_astray() {
    let own = "/etc/default/etcd";
    let force = |place: &str| ForeignSetting {
        effect: Effect::NotItself,
        name: "ETCD_FORCE_NEW_CLUSTER".to_owned(),
        value: Some("true".to_owned()),
        place: place.to_owned(),
    };
    let told = |settings: &[ForeignSetting], change: Plan| {
        let mut world = World::well();
        world.node(2).etcd_settings = settings.to_vec();
        let health = world.judged();
        beside(&change, &health).iter().any(|one| one.name == "etcd-next-start")
    };
    let file = |name: &str, on: u8| plan(Kind::File, name, on, Action::Update, Class::InPlace);
    assert!(!told(&[force(own)], file(own, 2)));
    assert!(told(&[force(own)], file(own, 3)), "another member's file");
    assert!(told(&[force(own)], file("/etc/default/other", 2)));
    assert!(told(&[force(own), force("/run/x.conf")], file(own, 2)), "another file has it, too");
    assert!(told(&[force("/run/x.conf")], file(own, 2)));
    let restart = plan(Kind::Unit, "etcd.service", 2, Action::Update, Class::OrderedRestart);
    assert!(told(&[force(own)], restart), "that is what is refused");
}
