//! What a cluster that is gone has left in etcd. Patroni takes a cluster of the same name for one that
//! exists while `initialize` is there, and waits for its leader for ever.

use super::etcd_auth::Servers;
use crate::{Class, Difference};
use serde::{Deserialize, Serialize};

/// A member of a cluster, as Patroni writes it down in etcd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Living {
    /// Its name.
    pub name: String,
    /// The address at which it serves; empty where it says none.
    pub address: String,
}

/// What should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// All keys that begin with this, such as `/pg/pg-test/`.
    pub prefix: String,
    /// The members that are stopped before: nobody else may live by these keys.
    #[serde(default)]
    pub going: Vec<Living>,
    /// How long a member that did not stop in peace is alive in etcd, in seconds: its lease.
    #[serde(default)]
    pub lease_seconds: u32,
    /// How etcd is reached.
    pub servers: Servers,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// How many such keys there are.
    pub keys: u64,
    /// Who lives by them: who leads, and members whose Patroni has not stopped.
    #[serde(default)]
    pub living: Vec<Living>,
}

impl Spec {
    /// The prefix.
    pub fn name(&self) -> String {
        self.prefix.clone()
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        if observed.keys == 0 {
            return None;
        }
        let difference = Difference::delete(Class::Destroy, "the cluster goes as a whole");
        let others: Vec<Living> =
            observed.living.iter().filter(|one| !self.stops(one)).cloned().collect();
        Some(if others.is_empty() {
            difference
        } else {
            difference.impossible(self.lives(&others))
        })
    }

    /// Whether a member is among those that are stopped before.
    fn stops(&self, one: &Living) -> bool {
        let same = |going: &Living| going.name == one.name && going.address == one.address;
        self.going.iter().any(same)
    }

    /// Why keys stay by which somebody lives.
    pub fn lives(&self, others: &[Living]) -> String {
        let each: Vec<String> = others
            .iter()
            .map(|Living { name, address }| match address.as_str() {
                "" => name.clone(),
                address => format!("{name} on {address}"),
            })
            .collect();
        let verb = if each.len() == 1 { "lives" } else { "live" };
        format!(
            "{} {verb} by the keys below {}, and would lose leadership and etcd with them: what goes is not \
             all of the cluster. Put its host right in the inventory, or stop its Patroni, then remove",
            each.join(", "),
            self.prefix
        )
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        Observed { keys: 0, living: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_by_which_another_lives_stay() {
        let one = |name: &str, address: &str| Living { name: name.into(), address: address.into() };
        let servers = Servers { connections: Vec::new(), root: keddah_core::Secret::default() };
        let going = vec![one("pg-meta-1", "10.10.10.13")];
        let spec = Spec { prefix: "/pg/pg-meta/".to_owned(), going, lease_seconds: 30, servers };
        let change = |living: Vec<Living>| spec.diff(&Observed { keys: 5, living });
        assert_eq!(change(vec![one("pg-meta-1", "10.10.10.13")]).unwrap().impossible, None);
        assert_eq!(change(Vec::new()).unwrap().impossible, None);
        // The same name on another host is another one.
        let why = change(vec![one("pg-meta-1", "10.10.10.10")]).unwrap().impossible.unwrap();
        assert!(why.contains("pg-meta-1 on 10.10.10.10 lives"), "{why}");
        assert!(change(vec![one("pg-meta-2", "")]).unwrap().impossible.is_some());
    }
}
