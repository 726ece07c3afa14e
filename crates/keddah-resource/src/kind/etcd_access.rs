//! A cluster's own user in etcd, and the role by which it reaches its own keys and no others.
//!
//! Two resources: the user with its role comes before the first Patroni of a cluster starts; another
//! password comes after every Patroni of the cluster has it, for that ends the logins by the old one.

use super::etcd_auth::Servers;
use crate::difference::Fields;
use crate::{Class, Difference};
use keddah_core::Secret;
use serde::{Deserialize, Serialize};

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The user and its role; one that is made gets its password, too.
    Role,
    /// The password of a user that exists.
    Password,
    /// Neither user nor role.
    Absent,
}

/// What should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The user, and the role of the same name.
    pub user: String,
    /// Its password, `pg_etcd_password`.
    #[serde(with = "keddah_core::expose")]
    pub password: Secret,
    /// The prefixes that it reads and writes, sorted. Each ends with a slash: `/pg/pg-test` would reach
    /// the keys of `pg-test2`.
    pub prefixes: Vec<String>,
    /// Which of the two.
    pub part: Part,
    /// How long Patronis that run may take to read another password, in seconds, before etcd's own changes.
    #[serde(default)]
    pub settled_seconds: u32,
    /// The port of the REST API of this node's Patroni of the cluster: as long as that has heard etcd since its
    /// last turn, the password lets it in.
    #[serde(default)]
    pub patroni_port: Option<u16>,
    /// How etcd is reached.
    pub servers: Servers,
}

/// What is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the user is there.
    pub user: bool,
    /// Whether the role is there.
    pub role: bool,
    /// The roles that the user has, sorted.
    pub roles: Vec<String>,
    /// What the role reaches, sorted: a prefix that it reads and writes, or anything else in words.
    pub reaches: Vec<String>,
    /// Whether the user was given the declared password last, and nothing speaks against that it lets it in.
    pub password: bool,
}

impl Spec {
    /// The user, and what of it.
    pub fn name(&self) -> String {
        match self.part {
            Part::Role | Part::Absent => self.user.clone(),
            Part::Password => format!("{} password", self.user),
        }
    }

    /// Compares.
    pub fn diff(&self, observed: &Observed) -> Option<Difference> {
        let mut fields = Fields::default();
        let Observed { user, role, roles, reaches, password } = observed;
        match self.part {
            Part::Absent => (*user || *role)
                .then(|| Difference::delete(Class::Destroy, "the cluster goes as a whole")),
            Part::Role if !user => {
                fields.new_value("reaches", self.prefixes.join(", "));
                Some(Difference::create("etcd has no user for this cluster").with(fields.0))
            }
            Part::Role => {
                fields.value("roles", &roles.join(", "), &self.user);
                fields.value("reaches", &reaches.join(", "), &self.prefixes.join(", "));
                Difference::update(Class::InPlace, fields.0, "it reaches other keys")
            }
            Part::Password => {
                if !password {
                    fields.secret("password");
                }
                Difference::update(Class::InPlace, fields.0, "`pg_etcd_password` differs")
            }
        }
    }

    /// After apply.
    pub fn settled(&self) -> Observed {
        let present = self.part != Part::Absent;
        Observed {
            user: present,
            role: present,
            roles: vec![self.user.clone()],
            reaches: self.prefixes.clone(),
            password: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Action, FieldChange};

    fn spec(part: Part) -> Spec {
        Spec {
            user: "pg-test".to_owned(),
            password: Secret::new("hunter2"),
            prefixes: vec!["/keddah/pg-test/".to_owned(), "/pg/pg-test/".to_owned()],
            part,
            settled_seconds: 0,
            patroni_port: None,
            servers: Servers { connections: Vec::new(), root: Secret::default() },
        }
    }

    #[test]
    fn a_role_reaches_its_own_keys_and_no_others() {
        let role = spec(Part::Role);
        let there = role.settled();
        assert_eq!(role.diff(&there), None);
        let wide = Observed { reaches: vec!["/pg/pg-test".to_owned()], ..there.clone() };
        assert_eq!(role.diff(&wide).unwrap().fields[0].field(), "reaches");
        let more = Observed { roles: vec!["pg-test".to_owned(), "root".to_owned()], ..there };
        assert_eq!(role.diff(&more).unwrap().fields[0].field(), "roles");
    }

    #[test]
    fn another_password_is_a_change_of_its_own() {
        let (role, password) = (spec(Part::Role), spec(Part::Password));
        let there = Observed { password: false, ..role.settled() };
        assert_eq!(role.diff(&there), None);
        let change = password.diff(&there).unwrap();
        assert_eq!(change.fields, [FieldChange::Secret { field: "password".to_owned() }]);
        assert_eq!(password.diff(&password.settled()), None);
    }

    #[test]
    fn user_and_role_go_with_their_cluster() {
        let absent = spec(Part::Absent);
        let left = Observed { user: false, ..spec(Part::Role).settled() };
        assert_eq!(absent.diff(&left).unwrap().action, Action::Delete);
        assert_eq!(absent.diff(&absent.settled()), None);
    }
}
