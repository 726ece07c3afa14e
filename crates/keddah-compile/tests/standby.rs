//! Standby clusters: what they are made with, and what they are set to once they run.

mod support;

use keddah_core::NodeName;
use keddah_resource::{Kind, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file};

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } } }
    pg-meta:
      hosts: { 10.10.10.11: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-meta, pg_conf: tiny.yml }
    pg-delay:
      hosts:
        10.10.10.12: { pg_seq: 1, pg_role: primary, pg_upstream: 10.10.10.11, pg_delay: 1h }
      vars: { pg_cluster: pg-delay, pg_conf: tiny.yml }
";

/// With WAL to replay, a server that stays behind receives nothing until it has waited.
#[test]
fn a_copy_stays_behind_only_once_it_receives() {
    let node = |last: u8| NodeName::new(format!("10.10.10.{last}"));
    let nodes: BTreeMap<_, _> = [10, 11, 12].map(|last| (node(last), facts())).into();
    let made = compiled(INVENTORY, &nodes);
    let path = "/etc/patroni/conf.d/05-bootstrap.yml";
    let born = file(&made, "10.10.10.12", path).expect("it is told");
    assert!(
        born.contains("standby_cluster:") && !born.contains("recovery_min_apply_delay"),
        "{born}"
    );
    let settings = made.fleet.iter().find_map(|one| match &one.spec {
        Spec::PatroniConfig(spec) if one.id.name == "pg-delay" => Some(&spec.settings),
        _ => None,
    });
    let followed = &settings.expect("its settings")["standby_cluster"];
    assert_eq!(followed["recovery_min_apply_delay"], "1h");
    assert_eq!(made.fleet.iter().filter(|one| one.id.kind == Kind::PatroniConfig).count(), 2);
}
