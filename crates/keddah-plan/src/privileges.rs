//! What is granted in a database, held against the privilege model (access control document).

use keddah_resource::kind::pg_database::Database;
use keddah_resource::kind::pg_grants::{ObjectKind, Objects};
use keddah_resource::kind::pg_privileges::{self, is_public};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The model of one database.
#[derive(Debug, Clone, Copy)]
pub struct PrivilegeModel<'a> {
    /// Default privileges, and whose objects carry them.
    pub privileges: &'a pg_privileges::Spec,
    /// The database's own definition, where it is declared.
    pub database: Option<&'a Database>,
}

/// Objects whose privileges are not those of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// The database.
    pub database: String,
    /// What kind they are.
    pub kind: ObjectKind,
    /// Who owns them.
    pub owner: String,
    /// How many there are.
    pub count: usize,
    /// The names of the first few.
    pub names: Vec<String>,
    /// What roles should be able to do and cannot.
    pub missing: BTreeMap<String, BTreeSet<String>>,
    /// What was granted that the model knows nothing of.
    pub beyond: BTreeMap<String, BTreeSet<String>>,
    /// Whether the owner is one of those whose objects carry the model's privileges from birth.
    pub made_by_model: bool,
}

impl PrivilegeModel<'_> {
    /// Those whose objects carry the right privileges from birth.
    pub fn creators(&self) -> BTreeSet<&str> {
        self.privileges.defaults.iter().map(|one| one.creator.as_str()).collect()
    }

    /// What differs.
    pub fn deviations(&self, objects: &[Objects]) -> Vec<Deviation> {
        objects.iter().filter_map(|objects| self.deviation(objects)).collect()
    }

    fn deviation(&self, objects: &Objects) -> Option<Deviation> {
        let Objects { kind, owner, count, names, held, granted } = objects;
        let expected = self.expected(*kind);
        let none = BTreeSet::new();
        let without = |all: &BTreeMap<String, BTreeSet<String>>,
                       has: &BTreeMap<String, BTreeSet<String>>| {
            all.iter()
                .filter_map(|(role, privileges)| {
                    let left = privileges - has.get(role).unwrap_or(&none);
                    (!left.is_empty()).then(|| (role.clone(), left))
                })
                .collect::<BTreeMap<_, _>>()
        };
        let missing = without(&expected, held);
        let mut allowed = expected;
        if let Some((role, privileges)) = self.built_in(*kind, names) {
            allowed.entry(role).or_default().extend(privileges);
        }
        let mut beyond = without(granted, &allowed);
        beyond.remove(owner);
        if missing.is_empty() && beyond.is_empty() {
            return None;
        }
        Some(Deviation {
            database: self.privileges.database.clone(),
            kind: *kind,
            owner: owner.clone(),
            count: *count,
            names: names.clone(),
            missing,
            beyond,
            made_by_model: self.creators().contains(owner.as_str()),
        })
    }

    /// What the model gives to whom on objects of this kind.
    fn expected(&self, kind: ObjectKind) -> BTreeMap<String, BTreeSet<String>> {
        let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        if let Some(word) = kind.in_default_privileges() {
            for one in self.privileges.defaults.iter().filter(|one| one.objects == word) {
                let grantee =
                    if is_public(&one.grantee) { "public".to_owned() } else { one.grantee.clone() };
                expected.entry(grantee).or_default().insert(one.privilege.clone());
            }
        } else if let Some(database) = self.database {
            let connect = || BTreeSet::from(["CONNECT".to_owned()]);
            if database.public_connect {
                expected.insert("public".to_owned(), connect());
            } else {
                expected
                    .extend(database.connect_roles.iter().map(|role| (role.clone(), connect())));
            }
        }
        expected
    }

    /// What PUBLIC has without anybody's doing (the manual's "Privileges").
    fn built_in(&self, kind: ObjectKind, names: &[String]) -> Option<(String, BTreeSet<String>)> {
        let open = self.database.is_none_or(|database| database.public_connect);
        let privileges: &[&str] = match kind {
            ObjectKind::Database if open => &["CONNECT", "TEMPORARY"],
            ObjectKind::Schema if names == ["public"] => &["USAGE"],
            ObjectKind::Function => &["EXECUTE"],
            ObjectKind::Type => &["USAGE"],
            _ => return None,
        };
        Some(("public".to_owned(), privileges.iter().map(|&one| one.to_owned()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::kind::PgConnection;
    use keddah_resource::kind::pg_privileges::DefaultPrivilege;

    fn model() -> pg_privileges::Spec {
        let default =
            |creator: &str, objects: &str, privilege: &str, grantee: &str| DefaultPrivilege {
                creator: creator.to_owned(),
                objects: objects.to_owned(),
                privilege: privilege.to_owned(),
                grantee: grantee.to_owned(),
            };
        pg_privileges::Spec {
            connection: PgConnection {
                socket_directory: "/run".to_owned(),
                port: 5432,
                superuser: "postgres".to_owned(),
            },
            database: "app".to_owned(),
            defaults: BTreeSet::from([
                default("postgres", "TABLES", "SELECT", "readers"),
                default("postgres", "TABLES", "INSERT", "writers"),
                default("admin", "TABLES", "SELECT", "readers"),
                default("admin", "TABLES", "INSERT", "writers"),
            ]),
            complete_for: BTreeSet::new(),
            public_schema: BTreeSet::new(),
            public_create: false,
        }
    }

    fn map(entries: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        entries
            .iter()
            .map(|(role, privileges)| {
                let privileges = privileges.iter().map(|&one| one.to_owned()).collect();
                ((*role).to_owned(), privileges)
            })
            .collect()
    }

    fn table(owner: &str, held: &[(&str, &[&str])], granted: &[(&str, &[&str])]) -> Objects {
        Objects {
            kind: ObjectKind::Table,
            owner: owner.to_owned(),
            count: 2,
            names: vec!["public.a".to_owned(), "public.b".to_owned()],
            held: map(held),
            granted: map(granted),
        }
    }

    #[test]
    fn what_is_missing_and_what_goes_beyond() {
        let privileges = model();
        let model = PrivilegeModel { privileges: &privileges, database: None };
        let right = table(
            "postgres",
            &[("readers", &["SELECT"]), ("writers", &["INSERT", "SELECT"])],
            &[
                ("postgres", &["SELECT", "DELETE"]),
                ("readers", &["SELECT"]),
                ("writers", &["INSERT"]),
            ],
        );
        assert_eq!(model.deviations(&[right]), []);

        let strange = table(
            "app",
            &[("readers", &["DELETE"])],
            &[("app", &["DELETE"]), ("readers", &["DELETE"])],
        );
        let found = model.deviations(&[strange]);
        assert_eq!(found[0].missing, map(&[("readers", &["SELECT"]), ("writers", &["INSERT"])]));
        assert_eq!(found[0].beyond, map(&[("readers", &["DELETE"])]));
        assert!(!found[0].made_by_model);
    }

    #[test]
    fn what_everybody_has_is_not_beyond_the_model() {
        let privileges = model();
        let model = PrivilegeModel { privileges: &privileges, database: None };
        let objects = |kind, name: &str, privilege: &str| Objects {
            kind,
            owner: "app".to_owned(),
            count: 1,
            names: vec![name.to_owned()],
            held: BTreeMap::new(),
            granted: map(&[("public", &[privilege])]),
        };
        assert_eq!(model.deviations(&[objects(ObjectKind::Function, "f", "EXECUTE")]), []);
        assert_eq!(model.deviations(&[objects(ObjectKind::Schema, "public", "USAGE")]), []);
        assert_eq!(model.deviations(&[objects(ObjectKind::Schema, "other", "USAGE")]).len(), 1);
        assert_eq!(model.deviations(&[objects(ObjectKind::Database, "app", "CREATE")]).len(), 1);
    }
}
