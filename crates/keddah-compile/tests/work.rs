//! What the engine's bounds rely on: what waits for others is known as such, and what is begun can go on.

mod support;

use keddah_resource::{Difference, Kind, NodeFacts, ResourceId, Spec, Work};
use std::collections::BTreeSet;
use support::{compiled, facts};

const INVENTORY: &str = "all:
  children:
    etcd:
      hosts: { 10.10.10.10: { etcd_seq: 1 }, 10.10.10.11: { etcd_seq: 2 }, 10.10.10.12: { etcd_seq: 3 } }
    pg-test:
      hosts:
        10.10.10.10: { pg_seq: 1, pg_role: primary }
        10.10.10.11: { pg_seq: 2, pg_role: replica }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml, MORE }
";

fn fleet(more: &str) -> keddah_resource::DesiredFleet {
    let nodes = [10, 11, 12].map(|last: u8| {
        let interface = keddah_resource::Interface {
            name: "eth0".to_owned(),
            addresses: vec![format!("10.10.10.{last}/24")],
        };
        let facts = NodeFacts { interfaces: vec![interface], ..facts() };
        (keddah_core::NodeName::new(format!("10.10.10.{last}")), facts)
    });
    compiled(&INVENTORY.replace("MORE", more), &nodes.into()).fleet
}

#[test]
fn a_server_is_made_in_the_place_in_which_its_patroni_was_started() {
    let fleet = fleet("pg_parameters: {}");
    let start = Difference::create("it does not run");
    let mut seen = 0;
    for resource in fleet.iter().filter(|one| one.id.kind == Kind::PgInstance) {
        let [before] = &resource.after[..] else { panic!("{}: {:?}", resource.id, resource.after) };
        assert_eq!(before.node, resource.id.node);
        let unit = &fleet.get(before).expect("it is declared").spec;
        assert!(matches!(unit, Spec::Unit(unit) if unit.unit == "patroni.service"), "{before}");
        assert_eq!(unit.work(&start), Work::Heavy);
        assert_eq!(resource.spec.work(&start), Work::Heavy);
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[test]
fn members_of_etcd_wait_for_each_other_without_a_place() {
    let fleet = fleet("pg_parameters: {}");
    let start = Difference::create("it does not run");
    let units = fleet.iter().filter(|one| one.id.name == "etcd.service");
    let work: Vec<Work> = units.map(|unit| unit.spec.work(&start)).collect();
    assert_eq!(work, [Work::Waiting; 3]);
}

#[test]
fn what_waits_for_a_standby_in_any_case_is_begun_when_there_is_one() {
    let before = |more: &str| -> BTreeSet<ResourceId> {
        let fleet = fleet(more);
        let roles = fleet.iter().filter(|one| one.id.kind == Kind::PgRole);
        roles.flat_map(|role| role.after.clone()).filter(|id| id.kind == Kind::PgInstance).collect()
    };
    let replica =
        ResourceId::new(&keddah_core::NodeName::new("10.10.10.11"), Kind::PgInstance, "pg-test-2");
    let strict = "patroni_synchronous_mode: 'on', patroni_synchronous_mode_strict: true";
    assert!(before(strict).contains(&replica), "it would wait for what waits behind it");
    assert!(!before("patroni_synchronous_mode: 'on'").contains(&replica));
}
