//! Which logins by public passwords a plan would open.

use crate::{Certainty, Plan, PlannedChange};
use keddah_resource::{Action, Door, FieldChange, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// The passwords, each once, by which this plan would let in whoever has read the documents. What is
/// open already stays so and is not among them.
pub fn opened<'d>(plan: &Plan, doors: &'d [Door]) -> BTreeSet<&'d str> {
    if doors.is_empty() {
        return BTreeSet::new();
    }
    let changes: BTreeMap<_, &PlannedChange> =
        plan.changes.iter().map(|change| (&change.id, change)).collect();
    let opens = |door: &&Door| changes.get(&door.by).is_some_and(|change| opens(door, change));
    doors.iter().filter(opens).map(|door| door.password.as_str()).collect()
}

/// Logins that are there or not, whatever their password.
const LOGINS: [Kind; 3] = [Kind::PgRole, Kind::EtcdAuth, Kind::EtcdAccess];

fn opens(door: &Door, change: &PlannedChange) -> bool {
    if matches!(change.certainty, Certainty::NotYet { .. }) {
        return !door.presumed;
    }
    let difference = &change.difference;
    match difference.action {
        Action::Create => true,
        Action::Delete => false,
        // A role that is given the password. Of a file it is known that it has not got it.
        Action::Update if LOGINS.contains(&change.id.kind) => {
            difference.fields.iter().any(|field| {
                matches!(field, FieldChange::Secret { field } if field == "password")
                    || matches!(field, FieldChange::Value { field, after, .. }
                    if field == "login" && after.as_deref() == Some("true"))
            })
        }
        Action::Update => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_core::NodeName;
    use keddah_resource::{Class, Difference, Module, ResourceId};

    fn door(kind: Kind, password: &str, presumed: bool) -> Door {
        let by = ResourceId::new(&NodeName::new("10.10.10.11"), kind, password);
        Door { password: password.to_owned(), by, presumed }
    }

    fn change(door: &Door, difference: Difference, certainty: Certainty) -> PlannedChange {
        PlannedChange {
            id: door.by.clone(),
            module: Module::Pgsql,
            cluster: None,
            difference,
            certainty,
            cause: None,
            caused_by: Vec::new(),
            wave: 0,
            after: Vec::new(),
            owes: Vec::new(),
            moves_services: false,
        }
    }

    fn is_opened(door: &Door, difference: Difference, certainty: Certainty) -> bool {
        let changes = vec![change(door, difference, certainty)];
        let plan = Plan { changes, ..Plan::default() };
        !opened(&plan, std::slice::from_ref(door)).is_empty()
    }

    fn update(field: FieldChange) -> Difference {
        Difference::update(Class::InPlace, vec![field], "it differs").expect("it has a field")
    }

    fn not_yet() -> Certainty {
        Certainty::NotYet { because: "PostgreSQL does not run".to_owned() }
    }

    #[test]
    fn what_is_made_or_given_the_password_opens() {
        let role = door(Kind::PgRole, "pg_admin_password", true);
        let secret = |field: &str| FieldChange::Secret { field: field.to_owned() };
        let value = |field: &str, after: &str| FieldChange::Value {
            field: field.to_owned(),
            before: None,
            after: Some(after.to_owned()),
        };
        let known = || Certainty::Known;
        assert!(is_opened(&role, Difference::create("it is not there"), known()));
        assert!(is_opened(&role, update(secret("password")), known()));
        assert!(is_opened(&role, update(value("login", "true")), known()));
        assert!(!is_opened(&role, update(value("comment", "x")), known()));
        let gone = Difference::delete(Class::Destroy, "its state is absent");
        assert!(!is_opened(&role, gone, known()));
        let file = door(Kind::File, "patroni_password", false);
        assert!(is_opened(&file, update(secret("content")), known()));
    }

    #[test]
    fn what_cannot_be_seen_is_presumed_there_only_in_a_cluster_that_is() {
        let make = || Difference::create("it is not known");
        assert!(is_opened(&door(Kind::PgRole, "a", false), make(), not_yet()));
        assert!(!is_opened(&door(Kind::PgRole, "a", true), make(), not_yet()));
    }

    #[test]
    fn each_password_is_told_once_and_what_does_not_change_is_not() {
        let doors = ["pg_admin_password", "patroni_password", "user `app`"]
            .map(|name| door(Kind::File, name, false));
        let mut plan = Plan::default();
        for door in &doors[..2] {
            plan.changes.push(change(door, Difference::create("it is new"), Certainty::Known));
        }
        let mut twice = doors.to_vec();
        twice.push(doors[0].clone());
        let told: Vec<&str> = opened(&plan, &twice).into_iter().collect();
        assert_eq!(told, ["patroni_password", "pg_admin_password"]);
    }
}
