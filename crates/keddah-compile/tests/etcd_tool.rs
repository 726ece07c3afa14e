//! etcd's own tool on each member's node, with the login that it needs: what every remedy is typed with.

mod support;

use keddah_compile::{Compiled, Removing};
use keddah_core::NodeName;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::file::{self, Present};
use keddah_resource::{EtcdFacts, EtcdMemberFacts, Kind, NodeFacts, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};
use support::{compiled, facts, node, without};

const TOOL: &str = "/usr/local/sbin/keddah-etcdctl";

const PASSWORD: &str = "/etc/etcd/root.password";

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts:
        10.10.10.10: { etcd_seq: 1 }
        10.10.10.11: { etcd_seq: 2, etcd_port: 2479 }
        10.10.10.12: { etcd_seq: 3 }
      vars: { etcd_root_password: of-roots-own }
";

/// Three members that answer.
fn nodes() -> BTreeMap<NodeName, NodeFacts> {
    let listed = |last: u8| EtcdMemberFacts {
        id: format!("{last}000"),
        name: format!("etcd-{}", last - 9),
        peer_urls: vec![format!("https://10.10.10.{last}:2380")],
        learner: false,
    };
    let member = |last: u8| {
        let etcd = EtcdFacts {
            cluster: "7".to_owned(),
            member: format!("{last}000"),
            members: (10..13).map(listed).collect(),
        };
        (node(last), NodeFacts { etcd: Some(etcd), etcd_has_data: true, ..facts() })
    };
    (10..13).map(member).collect()
}

fn spec<'a>(compiled: &'a Compiled, last: u8, path: &str) -> &'a file::Spec {
    let id = ResourceId::new(&node(last), Kind::File, path);
    match &compiled.fleet.get(&id).unwrap_or_else(|| panic!("no {id}")).spec {
        Spec::File(spec) => spec,
        other => panic!("{id} is a {}", other.kind()),
    }
}

fn present<'a>(compiled: &'a Compiled, last: u8, path: &str) -> &'a Present {
    spec(compiled, last, path).present.as_ref().expect("it is to be there")
}

#[test]
fn each_member_has_the_tool_for_its_own_port_and_no_password_in_it() {
    for facts in [nodes(), (10..13).map(|last| (node(last), facts())).collect()] {
        let fleet = compiled(INVENTORY, &facts);
        for (last, port) in [(10, 2379), (11, 2479), (12, 2379)] {
            let tool = present(&fleet, last, TOOL);
            // Who reads it learns where the password is; who runs it needs what only root reads.
            assert_eq!(tool.permissions, Permissions::root(0o700));
            let text = tool.content.reveal();
            assert!(text.contains(&format!("https://127.0.0.1:{port}\n")), "{text}");
            assert!(!text.contains("of-roots-own"), "{text}");
            let password = present(&fleet, last, PASSWORD);
            assert_eq!(password.content.reveal(), "of-roots-own");
            assert_eq!(password.permissions, Permissions::root(0o600));
            assert!(spec(&fleet, last, PASSWORD).is_secret());
        }
    }
}

#[test]
fn a_password_that_changes_is_each_members_and_after_etcd_has_taken_it() {
    let changed = compiled(&INVENTORY.replace("of-roots-own", "another"), &nodes());
    for last in 10..13 {
        assert_eq!(present(&changed, last, PASSWORD).content.reveal(), "another");
        let id = ResourceId::new(&node(last), Kind::File, PASSWORD);
        let root = ResourceId::new(&node(10), Kind::EtcdAuth, "root");
        let after = &changed.fleet.get(&id).expect("it is there").after;
        assert!(after.contains(&root), "it is what root is known by until then: {after:?}");
    }
}

/// What a member's next start is measured by is what is written for it.
#[test]
fn what_a_member_is_known_by_is_what_its_file_says() {
    let fleet = compiled(INVENTORY, &nodes());
    for last in 10..13 {
        let id = ResourceId::new(&node(last), Kind::Unit, "etcd.service");
        let Spec::Unit(unit) = &fleet.fleet.get(&id).expect("it runs").spec else {
            panic!("{id} is no unit")
        };
        let own = unit.settings.as_ref().expect("others' settings are looked for");
        let written = present(&fleet, last, &own.files[0]).content.reveal();
        let names: Vec<&String> = own.fixed.keys().collect();
        assert_eq!(names, ["ETCD_DATA_DIR", "ETCD_NAME"]);
        for (name, value) in &own.fixed {
            assert!(written.contains(&format!("\n{name}={value}\n")), "{name}: {written}");
        }
        for name in &own.never {
            assert!(name.starts_with(&own.prefix) && !written.contains(name), "{written}");
        }
    }
    // Whoever asks how it does looks for the same.
    let mut sources = keddah_core::SourceMap::default();
    let (inventory, _) = keddah_inventory::load(&mut sources, "i.yml", INVENTORY.as_bytes());
    let asked = keddah_compile::health(&inventory.expect("it loads"), 1000).expect("one etcd");
    let id = ResourceId::new(&node(11), Kind::Unit, "etcd.service");
    let Spec::Unit(unit) = &fleet.fleet.get(&id).expect("it runs").spec else { return };
    assert_eq!(asked.probes[&node(11)].etcd_settings, unit.settings);
}

fn removing(last: &[u8]) -> Removing {
    let etcd: BTreeSet<NodeName> = last.iter().map(|&last| node(last)).collect();
    Removing { etcd, ..Removing::default() }
}

#[test]
fn a_member_that_goes_keeps_neither_the_tool_nor_the_password() {
    let fleet = without(INVENTORY, &nodes(), &removing(&[12])).expect("it compiles");
    let unit = ResourceId::new(&node(12), Kind::Unit, "etcd.service");
    for path in [TOOL, PASSWORD] {
        assert_eq!(spec(&fleet, 12, path).present, None, "{path} stays");
        let id = ResourceId::new(&node(12), Kind::File, path);
        let after = &fleet.fleet.get(&id).expect("it is there").after;
        assert!(after.contains(&unit), "{path} goes before the member has stopped: {after:?}");
        assert!(spec(&fleet, 10, path).present.is_some(), "that one stays a member");
    }
}

#[test]
fn a_removal_that_leaves_an_even_number_says_what_that_bears() {
    let said = |removing: &Removing| {
        let fleet = without(INVENTORY, &nodes(), removing).expect("it compiles");
        let of_number = |note: &&String| note.contains("an even number");
        fleet.notes.iter().find(of_number).cloned()
    };
    let two = said(&removing(&[12])).expect("two are left");
    assert!(two.contains("etcd is left with 2 members") && two.contains("none of them"), "{two}");
    assert_eq!(said(&removing(&[11, 12])), None, "one is left");
    assert_eq!(said(&Removing::default()), None);
    // A vote that nobody declared is a vote; a learner has none.
    let with_a_fourth = |learner: bool| {
        let mut nodes = nodes();
        for facts in nodes.values_mut() {
            let etcd = facts.etcd.as_mut().expect("it serves");
            let fourth =
                EtcdMemberFacts { name: "other".to_owned(), learner, ..etcd.members[0].clone() };
            let peer_urls = vec!["https://10.10.10.19:2380".to_owned()];
            etcd.members.push(EtcdMemberFacts { id: "19".to_owned(), peer_urls, ..fourth });
        }
        let fleet = without(INVENTORY, &nodes, &removing(&[12])).expect("it compiles");
        fleet.notes.iter().any(|note| note.contains("an even number"))
    };
    assert!(!with_a_fourth(false) && with_a_fourth(true));
}
