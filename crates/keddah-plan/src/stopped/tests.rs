//! Three members that are stopped, what each of them has, and which of them a plan starts.

use super::*;
use crate::{Certainty, PlannedChange};
use keddah_core::NodeName;
use keddah_resource::{Difference, Kind, Led, Module, ResourceId};

const MB: u64 = 1 << 20;

fn end(timeline: u32, position: u64, forks: &[(u32, u64)]) -> WalEnd {
    WalEnd { timeline, position, exact: true, forks: forks.to_vec() }
}

fn member(number: usize, wal: Option<WalEnd>) -> StoppedMember {
    let node = NodeName::new(format!("10.0.0.{number}"));
    StoppedMember {
        name: format!("pg-{number}"),
        unit: ResourceId::new(&node, Kind::Unit, "patroni.service"),
        holds_data: wal.is_some(),
        node,
        wal,
        restored: None,
        barred: false,
    }
}

/// Members by their numbers and what they have, the one to start first at the beginning.
fn cluster(members: &[(usize, WalEnd)], silent: &[&str]) -> StoppedCluster {
    StoppedCluster {
        name: "pg".to_owned(),
        members: members.iter().map(|(number, wal)| member(*number, Some(wal.clone()))).collect(),
        silent: silent.iter().map(|&name| name.to_owned()).collect(),
        lost: Vec::new(),
        led: None,
    }
}

/// A plan that starts the members with these numbers.
fn plan_of(starting: &[usize]) -> Plan {
    let change = |number: &usize| PlannedChange {
        id: member(*number, None).unit,
        module: Module::Pgsql,
        cluster: Some("pg".to_owned()),
        difference: Difference::create("it does not run"),
        certainty: Certainty::Known,
        cause: None,
        caused_by: Vec::new(),
        wave: 0,
        after: Vec::new(),
        owes: Vec::new(),
        moves_services: false,
    };
    Plan { changes: starting.iter().map(change).collect(), ..Plan::default() }
}

/// What a plan decides that starts the members with these numbers.
fn decides(
    cluster: &StoppedCluster,
    starting: &[usize],
) -> (String, Vec<String>, Vec<String>, bool) {
    let plan = plan_of(starting);
    let mut starts = starts(&plan, std::slice::from_ref(cluster));
    assert_eq!(starts.len(), 1, "{starts:?}");
    let start = starts.remove(0);
    let refused = start.is_refused();
    assert_eq!(start.note().contains("--despite"), refused, "{}", start.note());
    (start.message, start.losses, start.ways, refused)
}

#[test]
fn whoever_has_the_most_starts_first_and_nothing_is_lost() {
    let cluster = cluster(
        &[(3, end(1, 9 * MB, &[])), (2, end(1, 8 * MB, &[])), (1, end(1, 9 * MB, &[]))],
        &[],
    );
    let all = decides(&cluster, &[1, 2, 3]);
    assert_eq!(
        all.0,
        "nobody of pg runs, and pg-3 on 10.0.0.3 starts first: it has all that the others have, up to timeline 1, \
         0/900000; pg-2 lacks 1024 kB of it"
    );
    assert_eq!((all.1, all.3), (Vec::new(), false));
    assert!(!decides(&cluster, &[3]).3, "it alone");
    assert!(!decides(&cluster, &[1]).3, "one that has as much");
}

#[test]
fn one_that_is_behind_does_not_lead_alone() {
    let cluster = cluster(&[(3, end(1, 9 * MB, &[])), (1, end(1, 8 * MB, &[]))], &[]);
    let (message, losses, ways, refused) = decides(&cluster, &[1]);
    assert!(refused);
    assert_eq!(
        message,
        "nobody of pg runs, and pg-1 on 10.0.0.1 starts first and leads; what others have beyond it is thrown \
         away when they follow it"
    );
    assert_eq!(
        losses,
        [
            "pg-3 on 10.0.0.3 has 1024 kB of WAL that pg-1 lacks (timeline 1, 0/900000; timeline 1, 0/800000)"
        ]
    );
    assert_eq!(
        ways,
        [
            "start all (`keddah apply -l pg`): pg-3 on 10.0.0.3 starts first, for it has all that the others have"
        ]
    );
}

#[test]
fn what_cannot_be_asked_or_read_is_not_taken_for_nothing() {
    let mut cluster =
        cluster(&[(1, end(1, 9 * MB, &[])), (2, end(1, 8 * MB, &[]))], &["pg-3 on 10.0.0.3"]);
    let (_, losses, ways, refused) = decides(&cluster, &[1, 2]);
    assert!(refused && ways[0] == "bring pg-3 on 10.0.0.3 up", "{ways:?}");
    assert_eq!(losses, ["pg-3 on 10.0.0.3 cannot be asked what it has"]);
    cluster.silent.clear();
    cluster.members[1].wal = Some(WalEnd { exact: false, ..end(1, 8 * MB, &[]) });
    let (_, losses, _, refused) = decides(&cluster, &[1, 2]);
    assert!(refused);
    assert_eq!(
        losses,
        ["the WAL of pg-2 on 10.0.0.2 cannot be read behind timeline 1, at least 0/800000"]
    );
    cluster.members[1].wal = None;
    let (_, losses, _, refused) = decides(&cluster, &[1, 2]);
    assert!(refused);
    assert_eq!(losses, ["how far the WAL of pg-2 on 10.0.0.2 reaches cannot be read"]);
    // One that is not made yet has nothing, and does not begin.
    cluster.members[1].holds_data = false;
    let alone = StoppedCluster { members: cluster.members[..1].to_vec(), ..cluster.clone() };
    let plan = Plan::default();
    assert!(starts(&plan, &[alone]).is_empty(), "nothing is started");
    let (_, losses, _, refused) = decides(&cluster, &[2]);
    assert!(refused);
    assert_eq!(losses, ["pg-1 on 10.0.0.1 holds data, and pg-2 none"]);
}

#[test]
fn nobody_leads_unasked_while_one_has_lost_sight_of_its_data() {
    let mut cluster = cluster(&[(2, end(1, 9 * MB, &[])), (3, end(1, 9 * MB, &[]))], &[]);
    assert!(!decides(&cluster, &[2, 3]).3);
    cluster.lost = vec!["pg-1 on 10.0.0.1".to_owned()];
    let (_, losses, ways, refused) = decides(&cluster, &[2, 3]);
    assert!(refused);
    assert_eq!(
        losses,
        ["pg-1 on 10.0.0.1 has been made, and its data is not there: what it had is not known"]
    );
    assert!(ways[0].contains("mount it"), "{ways:?}");
}

#[test]
fn of_several_histories_somebody_chooses_one() {
    let restored = end(3, 6 * MB, &[(1, 2 * MB), (2, 5 * MB)]);
    let cluster = cluster(
        &[(3, restored), (1, end(2, 9 * MB, &[(1, 2 * MB)])), (2, end(2, 9 * MB, &[(1, 2 * MB)]))],
        &[],
    );
    let (_, losses, ways, refused) = decides(&cluster, &[1, 2, 3]);
    assert!(refused);
    assert_eq!(
        losses[0],
        "pg-1 on 10.0.0.1 has 4096 kB of WAL of its own behind the fork (timeline 2, 0/900000; pg-3 is on \
         timeline 3, 0/600000)"
    );
    assert_eq!(
        ways,
        [
            "choose who shall lead, and start that member alone: `keddah apply -l HOST`, HOST being 10.0.0.3 for \
          pg-3, whose timeline 3 is the newest; another one with `--despite pg`; once it leads, `keddah apply -l \
          pg --despite pg` has the others follow it"
        ]
    );
    let (_, losses, _, refused) = decides(&cluster, &[3]);
    assert_eq!((losses.len(), refused), (2, false), "that is the choice; the losses are named");
    assert!(decides(&cluster, &[3, 1]).3);
    let (_, losses, _, refused) = decides(&cluster, &[1]);
    assert!(refused, "an older timeline leads by a word alone");
    assert_eq!(
        losses,
        [
            "pg-3 on 10.0.0.3 has a history of its own (timeline 3, 0/600000; pg-1 is on timeline 2, 0/900000)"
        ]
    );
}

/// A cluster that pg-9 leads on timeline 2, which began at 5 MB; and a member of it that is stopped.
fn beside_a_leader(stopped: StoppedMember, wal: Option<WalEnd>) -> StoppedCluster {
    let led = Led { by: "pg-9 on 10.0.0.9".to_owned(), wal };
    let name = "pg".to_owned();
    StoppedCluster {
        name,
        members: vec![stopped],
        silent: Vec::new(),
        lost: Vec::new(),
        led: Some(led),
    }
}

fn leader() -> Option<WalEnd> {
    Some(WalEnd { exact: false, ..end(2, 9 * MB, &[(1, 5 * MB)]) })
}

/// What is lost when the one member of such a cluster starts.
fn loses(cluster: &StoppedCluster) -> Vec<String> {
    let (_, losses, _, refused) = decides(cluster, &[1]);
    assert!(refused, "{losses:?}");
    losses
}

#[test]
fn a_member_whose_history_has_parted_from_its_leaders_is_not_rewound_without_a_word() {
    let own = member(1, Some(end(1, 7 * MB, &[])));
    let (message, losses, ways, refused) = decides(&beside_a_leader(own, leader()), &[1]);
    assert!(refused);
    assert_eq!(
        message,
        "pg-1 would follow pg-9 on 10.0.0.9, which leads pg, and what that one has not is thrown away"
    );
    assert_eq!(
        losses,
        [
            "pg-1 on 10.0.0.1 has 2048 kB of WAL of its own behind the fork (timeline 1, 0/700000; the leader is on \
          timeline 2)"
        ]
    );
    assert!(ways[0].contains("`keddah remove pg-1` moves its data aside"), "{ways:?}");
    let restored = member(1, Some(end(3, 6 * MB, &[(1, 4 * MB)])));
    assert_eq!(
        loses(&beside_a_leader(restored, leader())),
        [
            "pg-1 on 10.0.0.1 has 2048 kB of WAL of its own behind the fork (timeline 3, 0/600000; the leader is on \
          timeline 2)"
        ],
        "restored to a point in time, and recovered"
    );
    let back = member(1, Some(end(2, 10 * MB, &[(1, 5 * MB)])));
    assert!(loses(&beside_a_leader(back, leader()))[0].contains("that the leader lacks"));
}

#[test]
fn what_cannot_be_compared_with_a_leader_is_not_taken_for_nothing() {
    let mut restoring = member(1, Some(end(2, 6 * MB, &[(1, 5 * MB)])));
    restoring.restored = Some("/pg/data".to_owned());
    assert!(loses(&beside_a_leader(restoring, leader()))[0].contains("/pg/data/recovery.signal"));
    let unread = member(1, Some(WalEnd { exact: false, ..end(1, 4 * MB, &[]) }));
    assert!(loses(&beside_a_leader(unread, leader()))[0].contains("cannot be read behind"));
    let stopped = member(1, Some(end(1, 4 * MB, &[])));
    assert!(loses(&beside_a_leader(stopped, None))[0].contains("cannot be compared"));
    let unknown = member(1, Some(end(4, 4 * MB, &[])));
    assert!(loses(&beside_a_leader(unknown, leader()))[0].contains("cannot be told apart"));
}

#[test]
fn a_member_that_has_nothing_of_its_own_starts_beside_its_leader() {
    let silent = |stopped: StoppedMember| {
        let cluster = beside_a_leader(stopped, leader());
        let plan = plan_of(&[1]);
        starts(&plan, std::slice::from_ref(&cluster)).is_empty()
    };
    assert!(silent(member(1, Some(end(1, 5 * MB, &[])))), "it stopped before the fork");
    assert!(silent(member(1, Some(end(2, 8 * MB, &[(1, 5 * MB)])))), "it followed");
    let unread = WalEnd { exact: false, ..end(2, 8 * MB, &[(1, 5 * MB)]) };
    assert!(silent(member(1, Some(unread))), "on the leader's own timeline");
    assert!(silent(member(1, None)), "half a copy");
    assert!(!silent(member(1, Some(end(1, 6 * MB, &[])))));
}

#[test]
fn one_that_may_not_lead_is_not_started_alone() {
    let mut cluster = cluster(&[(1, end(1, 8 * MB, &[])), (3, end(1, 8 * MB, &[]))], &[]);
    cluster.members[1].barred = true;
    let (message, losses, ways, refused) = decides(&cluster, &[3]);
    assert!(refused);
    assert_eq!(
        message,
        "nobody of pg runs, and pg-3 on 10.0.0.3 stays behind on purpose (`pg_delay`): Patroni never lets it lead"
    );
    assert_eq!(losses, ["nobody would take writes"]);
    assert_eq!(ways, ["start others as well: `keddah apply -l pg`"]);
    assert!(!decides(&cluster, &[1, 3]).3);
}

#[test]
fn what_only_one_that_may_not_lead_has_is_not_thrown_away_unasked() {
    let mut cluster = cluster(&[(1, end(1, 8 * MB, &[])), (3, end(1, 9 * MB, &[]))], &[]);
    cluster.members[1].barred = true;
    let (message, losses, ways, refused) = decides(&cluster, &[1, 3]);
    assert!(refused && message.contains("pg-1 on 10.0.0.1 starts first"), "{message}");
    assert!(
        losses[0].starts_with("pg-3 on 10.0.0.3 has 1024 kB of WAL that pg-1 lacks"),
        "{losses:?}"
    );
    assert_eq!(
        ways,
        ["to keep what pg-3 has, take its `pg_delay` away: then it may lead, and starts first"]
    );
}
