//! What a change costs the machine that carries it out: what decides how many run at once.

use crate::kind::unit::Readiness;
use crate::{Class, Difference, Spec};
use serde::{Deserialize, Serialize};

/// What carrying out a change is like for its machine.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// A file, a row, a command: over in a moment.
    #[default]
    Light,
    /// Seconds of a processor or more: packages, a server that is made, started or copied, a backup.
    Heavy,
    /// Hardly any work: it waits, and for what other nodes do at the same time. It never waits in turn
    /// for a place that those it waits for may need.
    Waiting,
}

impl Spec {
    /// What a change of it is like. A change that waits for others of its plan without coming after them is
    /// [`Work::Waiting`], or an apply could stand still: all places taken by those who wait.
    pub fn work(&self, difference: &Difference) -> Work {
        let restarts = difference.class >= Class::Restart;
        match self {
            // Unpacking, and what the packages' scripts do.
            Spec::Packages(_) => Work::Heavy,
            // It reads every certificate of the system (`update-ca-certificates`).
            Spec::TrustAnchor(_) => Work::Heavy,
            // systemd holds a member of etcd for started when its cluster has a quorum.
            Spec::Unit(unit) if unit.quorum.is_some() => Work::Waiting,
            // A Patroni brings its server with it.
            Spec::Unit(unit) if matches!(unit.readiness, Readiness::Http { .. }) => {
                if difference.class == Class::Reload { Work::Light } else { Work::Heavy }
            }
            // `initdb`, a base backup, recovery.
            Spec::PgInstance(_) => Work::Heavy,
            Spec::Postmaster(_) if restarts => Work::Heavy,
            // SQL of somebody else's, as long as it likes.
            Spec::PgBaseline(_) => Work::Heavy,
            Spec::Stanza(_) | Spec::Backup(_) => Work::Heavy,
            // Heavy for etcd, which all share: each of its users is a few rounds of bcrypt there, and a
            // hundred at once wait longer than their limits.
            Spec::EtcdAccess(_) => Work::Heavy,
            // These wait for a quorum, for a round of each Patroni, for a learner that catches up.
            Spec::EtcdMember(_) | Spec::EtcdAuth(_) | Spec::EtcdLogin(_) => Work::Waiting,
            Spec::User(_)
            | Spec::Hostname(_)
            | Spec::Block(_)
            | Spec::Directory(_)
            | Spec::File(_)
            | Spec::Symlink(_)
            | Spec::Sysctl(_)
            | Spec::Certificate(_)
            | Spec::EtcdKeys(_)
            | Spec::Unit(_)
            | Spec::Postmaster(_)
            | Spec::PatroniConfig(_)
            | Spec::PgRole(_)
            | Spec::PgDatabase(_)
            | Spec::PgSchema(_)
            | Spec::PgExtension(_)
            | Spec::PgFunction(_)
            | Spec::PgPrivileges(_)
            | Spec::PgCensus(_)
            | Spec::PgGrants(_) => Work::Light,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TriggerAction;
    use crate::kind::etcd_member::EtcdConnection;
    use crate::kind::unit;

    #[test]
    fn a_patroni_is_heavy_to_start_and_a_member_of_etcd_waits_for_the_others() {
        let start = Difference::create("it does not run");
        let patroni =
            unit::Spec::running("patroni.service").ready_when_speaking("10.0.0.1", 8008, false);
        let reload = patroni.triggered(TriggerAction::Reload, "a file changed");
        let restart = patroni.triggered(TriggerAction::Restart, "a file changed");
        let patroni = Spec::from(patroni);
        assert_eq!(patroni.work(&start), Work::Heavy);
        assert_eq!(patroni.work(&restart), Work::Heavy);
        assert_eq!(patroni.work(&reload), Work::Light);
        let own = EtcdConnection {
            endpoint: "https://10.0.0.1:2379".to_owned(),
            ca_path: String::new(),
            certificate_path: String::new(),
            key_path: String::new(),
        };
        let mut etcd = unit::Spec::running("etcd.service");
        etcd.quorum = Some(unit::Quorum { own, others: Vec::new() });
        assert_eq!(Spec::from(etcd).work(&start), Work::Waiting);
        assert_eq!(Spec::from(unit::Spec::running("haproxy.service")).work(&start), Work::Light);
    }
}
