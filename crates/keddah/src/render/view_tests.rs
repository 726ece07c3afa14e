//! What people read, as snapshots.

use super::theme::Theme;
use super::{findings, plan, report, status};
use keddah_core::NodeName;
use keddah_plan::health::{Finding, Health, Severity};
use keddah_plan::{
    Blocked, Certainty, Event, Failure, Plan, PlannedChange, Report, SkipReason, Unobserved,
};
use keddah_resource::{Action, Class, Difference, FieldChange, Kind, Module, ResourceId};

const PLAIN: Theme = Theme::new(false);

fn id(node: &str, kind: Kind, name: &str) -> ResourceId {
    ResourceId::new(&NodeName::new(node), kind, name)
}

fn change(id: ResourceId, difference: Difference) -> PlannedChange {
    PlannedChange {
        id,
        module: Module::Node,
        cluster: None,
        difference,
        certainty: Certainty::Known,
        cause: None,
        caused_by: Vec::new(),
        wave: 0,
        after: Vec::new(),
        owes: Vec::new(),
        moves_services: false,
    }
}

fn value(field: &str, before: Option<&str>, after: Option<&str>) -> FieldChange {
    let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
    FieldChange::Value { field: field.to_owned(), before, after }
}

fn text(before: &str, after: &str) -> FieldChange {
    let (before, after) = (before.to_owned(), after.to_owned());
    FieldChange::Text { field: "content".to_owned(), before, after }
}

fn example() -> Plan {
    let mut changes = Vec::new();
    for node in ["10.10.10.11", "10.10.10.12", "10.10.10.13"] {
        let update =
            Difference::new(Action::Update, Class::InPlace, "it differs from what is declared")
                .with(vec![
                    text("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n"),
                    value("mode", Some("0600"), Some("0644")),
                ]);
        changes.push(change(id(node, Kind::File, "/etc/haproxy/haproxy.cfg"), update));
        let create = Difference::create("it does not exist")
            .with(vec![text("", "one\ntwo\n"), value("owner", None, Some("root:root"))]);
        changes.push(change(id(node, Kind::File, "/etc/new.conf"), create));
        let reload = Difference::new(
            Action::Update,
            Class::Reload,
            "because file /etc/haproxy/haproxy.cfg changes",
        );
        changes.push(change(id(node, Kind::Unit, "haproxy.service"), reload));
    }
    let secret = FieldChange::Secret { field: "password".to_owned() };
    let mut role = change(
        id("10.10.10.11", Kind::PgRole, "5432/dbuser_meta"),
        Difference::new(Action::Update, Class::InPlace, "it differs from what is declared").with(
            vec![
                secret,
                value("member of", None, Some("dbrole_admin")),
                value("member of", Some("dbrole_old"), None),
            ],
        ),
    );
    role.module = Module::Pgsql;
    role.cluster = Some("pg-test".to_owned());
    changes.push(role.clone());
    let mut gone = role.clone();
    gone.id = id("10.10.10.11", Kind::PgRole, "5432/dbuser_old");
    gone.difference = Difference::delete(Class::Destroy, "its state is absent");
    changes.push(gone);
    let mut restart = role.clone();
    restart.id = id("10.10.10.12", Kind::Postmaster, "pg-test-2");
    restart.difference = Difference::new(
        Action::Update,
        Class::OrderedRestart,
        "PostgreSQL waits for a restart to take over changed parameters",
    );
    changes.push(restart);
    let mut later = role;
    let because = "the database test does not exist yet".to_owned();
    later.id = id("10.10.10.11", Kind::PgRole, "5432/test.monitor");
    later.difference = Difference::create(&because);
    later.certainty = Certainty::NotYet { because };
    changes.push(later);
    Plan {
        changes,
        resources: 217,
        nodes: 4,
        notes: vec!["kernel parameters are only written down: a container".to_owned()],
        ..Plan::default()
    }
}

#[test]
fn a_plan_reads_well() {
    insta::assert_snapshot!(plan::text(&example(), false, 100, PLAIN));
}

#[test]
fn a_long_plan_is_folded_and_keeps_every_name() {
    let node = "10.10.10.11";
    let new = |kind, name: &str| {
        let fields = vec![value("owner", None, Some("root:root"))];
        change(id(node, kind, name), Difference::create("it does not exist").with(fields))
    };
    let mut changes: Vec<PlannedChange> =
        ["/data", "/pg/log", "/pg/conf", "/etc/x"].map(|name| new(Kind::Directory, name)).into();
    for unit in ["patroni.service", "pgbouncer.service"] {
        changes.push(change(id(node, Kind::Unit, unit), Difference::create("it does not run")));
    }
    let later = |kind, name: &str| {
        let because = "PostgreSQL does not run on port 5432 yet".to_owned();
        let change = change(id(node, kind, name), Difference::create(&because));
        PlannedChange { certainty: Certainty::NotYet { because }, ..change }
    };
    changes.push(later(Kind::PgDatabase, "5432/test"));
    changes.extend(["a", "b", "c"].map(|name| later(Kind::PgRole, &format!("5432/{name}"))));
    let shipped = "# one\n# two\n#\n; three\n\nbind :80\n# four\n";
    let difference = Difference::new(Action::Update, Class::InPlace, "it differs")
        .with(vec![text(shipped, "# ours\nbind :5433\n")]);
    changes.push(change(id(node, Kind::File, "/etc/haproxy/haproxy.cfg"), difference));
    let names = ["chrony", "cron", "haproxy"];
    let difference = Difference::new(Action::Update, Class::InPlace, "3 packages are missing")
        .with(names.map(|name| value(name, None, Some("(version unknown)"))).into());
    changes.push(change(id(node, Kind::Packages, "node"), difference));
    let plan = Plan { changes, resources: 12, nodes: 1, ..Plan::default() };
    insta::assert_snapshot!(plan::text(&plan, false, 70, PLAIN));
    let whole = plan::text(&plan, true, 70, PLAIN);
    assert!(whole.contains("-; three") && whole.contains("pg-role 5432/c"), "{whole}");
    assert!(!whole.contains("-v shows"), "{whole}");
}

#[test]
fn a_packages_sample_is_told_in_a_line_unless_all_is_asked_for() {
    let shipped: String = (0..200).map(|number| format!("sample {number}\n")).collect();
    let file = |name: &str, reason: &str| {
        let difference = Difference::new(Action::Update, Class::InPlace, reason)
            .with(vec![text(&shipped, "ours\n"), value("mode", Some("0640"), Some("0644"))]);
        change(id("10.10.10.11", Kind::File, name), difference)
    };
    let sample = keddah_resource::kind::file::SAMPLE;
    let changes = vec![file("/etc/haproxy/haproxy.cfg", sample), file("/etc/mine", "it differs")];
    let plan = Plan { changes, resources: 2, nodes: 1, ..Plan::default() };
    let short = plan::text(&plan, false, 100, PLAIN);
    let (head, rest) = short.split_once("    ~ file /etc/mine").unwrap();
    assert_eq!(
        head,
        "node\n  10.10.10.11\n    ~ file /etc/haproxy/haproxy.cfg  it replaces the sample of its \
         package\n        content  1 line\n"
    );
    // Where somebody's work goes, that is seen; of much of it, the beginning.
    assert!(rest.contains("-sample 1\n"), "{rest}");
    assert!(rest.contains("(… 162 more lines: -v shows all)"), "{rest}");
    let whole = plan::text(&plan, true, 100, PLAIN);
    assert_eq!(whole.matches("-sample 199\n").count(), 2, "{whole}");
}

#[test]
fn new_files_are_shown_on_request() {
    let mut plan = example();
    plan.changes.retain(|change| change.id.name == "/etc/new.conf");
    insta::assert_snapshot!(plan::text(&plan, true, 100, PLAIN));
}

#[test]
fn nothing_to_change_is_one_line() {
    let plan = Plan { resources: 217, nodes: 4, ..Plan::default() };
    insta::assert_snapshot!(
        plan::text(&plan, false, 100, PLAIN),
        @"Nothing to change: 217 resources on 4 nodes are as declared."
    );
}

#[test]
fn a_server_with_other_settings_is_not_as_declared() {
    let plan = Plan { resources: 217, nodes: 4, otherwise: 1, ..Plan::default() };
    insta::assert_snapshot!(
        plan::with_health(&plan, Some(&Health::default()), false, 100, PLAIN),
        @"Nothing to change, but not all is as declared: 1 server with other settings among 217 resources on 4 nodes."
    );
}

#[test]
fn the_last_sentence_says_whether_all_is_well() {
    let plan = Plan { resources: 217, nodes: 4, ..Plan::default() };
    let mut health = Health::default();
    let shown = |health: &Health| plan::with_health(&plan, Some(health), false, 100, PLAIN);
    insta::assert_snapshot!(
        shown(&health),
        @"Nothing to change, and all is well: 217 resources on 4 nodes are as declared."
    );
    health.findings = vec![Finding {
        severity: Severity::Warning,
        name: "paused",
        place: "pg-test".to_owned(),
        cluster: Some("pg-test".to_owned()),
        message: "Patroni is paused".to_owned(),
        since: None,
        remedy: "`patronictl resume`".to_owned(),
        accepted: false,
        nodes: Vec::new(),
        member: None,
    }];
    insta::assert_snapshot!(shown(&health), @r"
    warning: pg-test: Patroni is paused [paused]
       -> `patronictl resume`

    Nothing to change: 217 resources on 4 nodes are as declared.
    Not well: 1 warning; `keddah status` shows it all.
    ");
    health.findings[0].accepted = true;
    assert!(shown(&health).starts_with("Nothing to change, and all is well: "));
}

#[test]
fn what_ails_many_in_the_same_way_is_told_once() {
    let of = |place: &str, name: &'static str, message: &str| Finding {
        severity: Severity::Warning,
        name,
        place: place.to_owned(),
        nodes: Vec::new(),
        member: None,
        cluster: None,
        message: message.to_owned(),
        since: None,
        remedy: format!("`keddah apply -l {place}`"),
        accepted: false,
    };
    let mut all: Vec<Finding> =
        ["a", "b", "c", "d", "e"].map(|place| of(place, "paused", "it is paused")).into();
    all.insert(2, of("x", "paused", "it is paused by somebody"));
    all.push(of("y", "clock-apart", "it is paused"));
    let mut text = String::new();
    findings::show(&mut text, &all, None, &PLAIN, 100);
    insta::assert_snapshot!(text, @r"
    warning: a and 4 others: it is paused [paused]
          the others: b, c, d, e
       -> `keddah apply -l a`
    warning: x: it is paused by somebody [paused]
       -> `keddah apply -l x`
    warning: y: it is paused [clock-apart]
       -> `keddah apply -l y`
    ");
    text.clear();
    findings::show(&mut text, &all[..2], None, &PLAIN, 100);
    assert_eq!(text.matches("warning: ").count(), 2, "a few are told each");
}

#[test]
fn nothing_is_well_that_could_not_be_read() {
    let health = Health::default();
    let view = |unread| status::View { health: &health, nodes: 3, unread, now: 0 };
    assert!(view(0).is_well() && !view(1).is_well());
    insta::assert_snapshot!(status::text(&view(1), &PLAIN, 100), @r"
    The inventory has 1 error: what is wrong there was not looked at; `keddah check` shows it.
    Nothing else was found: 0 clusters on 3 nodes.
    ");
}

#[test]
fn what_could_not_be_looked_at_is_an_error() {
    let failure = Failure::new("10.10.10.13 is out of reach: Connection timed out")
        .hint("try it by hand: ssh 10.10.10.13 true");
    let mut plan = Plan { resources: 3, nodes: 2, ..Plan::default() };
    plan.unreachable.insert(NodeName::new("10.10.10.13"), failure);
    let unseen = id("10.10.10.11", Kind::File, "/etc/x");
    let failure = Failure::new("cannot read /etc/x: Permission denied (os error 13)");
    plan.unobserved.push(Unobserved { id: unseen.clone(), failure });
    plan.blocked.push(Blocked { id: id("10.10.10.11", Kind::Unit, "x.service"), by: unseen });
    insta::assert_snapshot!(plan::text(&plan, false, 100, PLAIN));
}

#[test]
fn what_a_message_says_is_not_said_again_below_it() {
    let words = "ssh: connect to host 10.10.10.13 port 22: No route to host";
    let failure = Failure {
        log: vec![words.to_owned(), "a banner".to_owned()],
        ..Failure::new(format!("10.10.10.13 is out of reach: {words}"))
    };
    let mut plan = Plan { resources: 3, nodes: 2, ..Plan::default() };
    plan.unreachable.insert(NodeName::new("10.10.10.13"), failure);
    let text = plan::text(&plan, false, 200, PLAIN);
    assert_eq!(text.matches("No route to host").count(), 1, "{text}");
    assert!(text.contains("| a banner"), "{text}");
}

#[test]
fn an_impossible_change_says_why() {
    let difference =
        Difference::new(Action::Update, Class::Replace, "it was made with other properties")
            .with(vec![value("encoding", Some("LATIN1"), Some("UTF8"))])
            .impossible("PostgreSQL cannot change the encoding of an existing database");
    let id = id("10.10.10.11", Kind::PgDatabase, "5432/test");
    let plan =
        Plan { changes: vec![change(id, difference)], resources: 1, nodes: 1, ..Plan::default() };
    insta::assert_snapshot!(plan::text(&plan, false, 100, PLAIN));
}

#[test]
fn a_report_names_the_cause_and_the_next_step() {
    let plan = example();
    let ids: Vec<ResourceId> = plan.changes.iter().map(|change| change.id.clone()).collect();
    let failure = Failure {
        message: "haproxy.service did not start".to_owned(),
        log: vec!["[ALERT] cannot bind 0.0.0.0:5433".to_owned()],
        hint: Some("who listens there? ss -ltnp".to_owned()),
    };
    let mut events = vec![
        Event::ChangeFinished {
            id: ids[0].clone(),
            changed: Some(Class::InPlace),
            milliseconds: 12,
        },
        Event::ChangeFinished { id: ids[1].clone(), changed: None, milliseconds: 12 },
        Event::ChangeFailed { id: ids[2].clone(), failure, milliseconds: 3000 },
        Event::ChangeStarted { id: ids[3].clone() },
        Event::NodeLost {
            node: NodeName::new("10.10.10.12"),
            failure: Failure::new("10.10.10.12 is out of reach: Timeout, server not responding"),
        },
    ];
    for id in &ids[4..] {
        let because = SkipReason::DependencyFailed { id: ids[2].clone() };
        events.push(Event::ChangeSkipped { id: id.clone(), because });
    }
    insta::assert_snapshot!(report::text(
        &plan,
        &Report::new(&plan, &events),
        PLAIN,
        &report::Afterwards::default()
    ));
}

#[test]
fn success_is_one_line() {
    let plan = example();
    let events: Vec<Event> = plan
        .changes
        .iter()
        .map(|change| Event::ChangeFinished {
            id: change.id.clone(),
            changed: Some(change.difference.class),
            milliseconds: 1,
        })
        .collect();
    insta::assert_snapshot!(
        report::text(&plan, &Report::new(&plan, &events), PLAIN, &report::Afterwards::default()),
        @"Applied: 13 changes."
    );
}

#[test]
fn a_removal_says_what_is_left_to_do_and_is_what_goes_on() {
    let plan = example();
    let afterwards = report::Afterwards {
        again: "`keddah remove pg-test-3` again".to_owned(),
        lines: vec!["take 10.10.10.13 out of the inventory".to_owned()],
    };
    let broken = report::text(&plan, &Report::new(&plan, &[]), PLAIN, &afterwards);
    assert!(broken.contains("then `keddah remove pg-test-3` again; it goes on"), "{broken}");
    assert!(!broken.contains("out of the inventory"), "{broken}");
    let done: Vec<Event> = plan
        .changes
        .iter()
        .map(|change| Event::ChangeFinished {
            id: change.id.clone(),
            changed: None,
            milliseconds: 1,
        })
        .collect();
    let done = report::text(&plan, &Report::new(&plan, &done), PLAIN, &afterwards);
    assert!(done.ends_with("next: take 10.10.10.13 out of the inventory\n"), "{done}");
}

#[test]
fn colours_change_nothing_but_colour() {
    let colored = plan::text(&example(), false, 100, Theme::new(true));
    let mut plain = String::new();
    let mut rest = colored.as_str();
    while let Some(at) = rest.find('\u{1b}') {
        plain.push_str(&rest[..at]);
        let end = rest[at..].find('m').unwrap();
        rest = &rest[at + end + 1..];
    }
    plain.push_str(rest);
    assert_eq!(plain, plan::text(&example(), false, 100, PLAIN));
    assert_ne!(colored, plain);
}
