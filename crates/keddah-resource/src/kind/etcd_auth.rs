//! etcd's own root user, and whether etcd lets in nobody without a login ("Role-based access control" in
//! etcd's operations guide).
//!
//! Two resources: the root user comes before all others, and the demand for logins when each Patroni that
//! is alive in etcd has its login.

use super::etcd_member::EtcdConnection;
use crate::difference::Fields;
use crate::{Class, Difference};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};

/// The user that may do everything: etcd's own name for it, and for its role.
pub const ROOT: &str = "root";

/// Where a member's node keeps root's password, for root of the operating system alone.
pub const ROOT_PASSWORD_FILE: &str = "/etc/etcd/root.password";

/// What only root reads: by which password each user has been made.
pub const MARKS: &str = "/keddah-passwords/";

/// Where a cluster's own keys of Keddah's stand.
pub fn own_prefix(cluster: &str) -> String {
    format!("/keddah/{cluster}/")
}

/// What says that an instance's Patroni has its login.
pub fn evidence(cluster: &str, instance: &str) -> String {
    format!("{}logins/{instance}", own_prefix(cluster))
}

/// How to act in etcd as root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Servers {
    /// Ways to etcd's members; the first that answers is asked.
    pub connections: Vec<EtcdConnection>,
    /// Root's password, `etcd_root_password`.
    #[serde(with = "keddah_core::expose")]
    pub root: Secret,
}

/// Which of the two it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The root user with its role and password.
    Root {
        /// Where this node keeps the password that root was given last, to change it with.
        password_file: String,
    },
    /// That logins are asked for.
    Required {
        /// The prefixes of all clusters that the inventory knows: whoever else is alive in etcd would be
        /// cut off.
        served: Vec<String>,
        /// How long every Patroni may take until it has been heard of again, in seconds; if one is not,
        /// logins are not asked for after all.
        patience_seconds: u32,
    },
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Which of the two.
    pub part: Part,
    /// How etcd is reached.
    pub servers: Servers,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observed {
    /// Of root.
    Root {
        /// Whether the user is there, with its role.
        present: bool,
        /// Whether it has the declared password.
        password: bool,
    },
    /// Of logins.
    Required(bool),
}

impl Spec {
    /// What it is.
    pub fn name(&self) -> String {
        match self.part {
            Part::Root { .. } => ROOT.to_owned(),
            Part::Required { .. } => "logins".to_owned(),
        }
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        match observed {
            Observed::Root { present: false, .. } => {
                Some(Difference::create("etcd has no root user yet"))
            }
            Observed::Root { password, .. } => {
                if !password {
                    fields.secret("password");
                }
                Difference::update(Class::InPlace, fields.0, "`etcd_root_password` differs")
            }
            Observed::Required(required) => {
                let word = |required| if required { "required" } else { "not asked for" };
                fields.value("login", &word(*required), &word(true));
                let reason = "whoever has a certificate of etcd's writes every cluster's state";
                Difference::update(Class::InPlace, fields.0, reason)
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        match self.part {
            Part::Root { .. } => Observed::Root { present: true, password: true },
            Part::Required { .. } => Observed::Required(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, FieldChange};

    fn spec(part: Part) -> Spec {
        Spec { part, servers: Servers { connections: Vec::new(), root: Secret::new("hunter2") } }
    }

    #[test]
    fn root_is_made_and_its_password_changed_where_it_is() {
        let root = spec(Part::Root { password_file: String::new() });
        let made = root.diff(&Observed::Root { present: false, password: false }).unwrap();
        assert_eq!(made.action, Action::Create);
        let changed = root.diff(&Observed::Root { present: true, password: false }).unwrap();
        assert_eq!(changed.fields, [FieldChange::Secret { field: "password".to_owned() }]);
        assert_eq!(changed.class, Class::InPlace);
        assert_eq!(root.diff(&root.settled()), None);
    }

    #[test]
    fn logins_are_asked_for_once() {
        let part = Part::Required { served: Vec::new(), patience_seconds: 25 };
        let required = spec(part);
        assert_eq!(required.diff(&Observed::Required(false)).unwrap().fields[0].field(), "login");
        assert_eq!(required.diff(&required.settled()), None);
    }
}
