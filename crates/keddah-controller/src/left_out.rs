//! A password of etcd's that changes while some of those who log in by it are outside of the selection: etcd
//! has one password for all members of a cluster, and whoever has the other one is logged out.

use crate::CommandError;
use crate::selection::Selection;
use keddah_core::NodeName;
use keddah_inventory::{Inventory, model};
use keddah_plan::{Outcome, Plan};
use keddah_resource::kind::etcd_auth::ROOT;
use keddah_resource::{Action, DesiredFleet, Kind, Observed, Resource, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};

/// The password by which a Patroni logs in to etcd, in its file of secrets.
const LOGIN: &str = "etcd3.password";

/// Refuses such a change.
///
/// # Errors
/// With those who are left out, and what to select.
pub fn nobody_is_logged_out(
    inventory: &Inventory,
    selection: &Selection,
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
    plan: &Plan,
) -> Result<(), CommandError> {
    let files = desired.iter().filter(|one| login_differs(one, observed));
    let of_files = files.filter_map(|one| one.cluster.clone());
    let users = plan.changes.iter().filter(|change| {
        change.id.kind == Kind::EtcdAccess && change.difference.action == Action::Update
    });
    let of_users = users.filter_map(|change| {
        let name = change.id.name.strip_suffix(" password")?;
        Some(name.to_owned())
    });
    let changed: BTreeSet<String> = of_files.chain(of_users).collect();
    for cluster in model::pg_clusters(inventory) {
        let name = cluster.name.as_str();
        let is_left = |node: &&NodeName| {
            !selection.nodes().contains(*node) || !selection.wants_cluster(name, node)
        };
        let nodes = cluster.members.iter().map(|member| &member.node);
        let left: Vec<&str> = nodes.filter(is_left).map(NodeName::as_str).collect();
        if changed.contains(name) && !left.is_empty() {
            return Err(refused("pg_etcd_password", &left, name));
        }
    }
    let root_changes = plan.changes.iter().any(|change| {
        change.id.kind == Kind::EtcdAuth
            && change.id.name == ROOT
            && change.difference.action == Action::Update
    });
    if root_changes {
        for cluster in model::etcd_clusters(inventory) {
            let nodes = cluster.members.iter().map(|member| &member.node);
            let left = nodes.filter(|node| !selection.nodes().contains(*node));
            let left: Vec<&str> = left.map(NodeName::as_str).collect();
            if !left.is_empty() {
                return Err(refused("etcd_root_password", &left, &cluster.name));
            }
        }
    }
    Ok(())
}

/// Whether a file gives a Patroni another password than the one that it has there.
fn login_differs(resource: &Resource, observed: &BTreeMap<ResourceId, Outcome>) -> bool {
    let Spec::File(file) = &resource.spec else { return false };
    let (Some(entries), Some(wanted)) = (file.entries(), &file.present) else { return false };
    let Some(Outcome::Observed(Observed::File(found))) = observed.get(&resource.id) else {
        return false;
    };
    let Some(before) = found.present.as_ref().and_then(|found| found.entries.get(LOGIN)) else {
        return false;
    };
    entries.of(wanted.content.reveal()).get(LOGIN).is_some_and(|after| after != before)
}

fn refused(parameter: &str, left: &[&str], select: &str) -> CommandError {
    let (left, goes) = (left.join(", "), if left.len() == 1 { "goes" } else { "go" });
    CommandError::user(format!(
        "`{parameter}` changes, and {left}, outside of this selection, {goes} by the old one: etcd has one for \
         all of {select}"
    ))
    .hint(format!("select all of it, `-l {select}`; or put the old one back for now"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selection::Choice;
    use keddah_core::{Secret, SourceMap};
    use keddah_plan::{Certainty, PlannedChange};
    use keddah_resource::kind::directory::Permissions;
    use keddah_resource::kind::file::{self, Entries};
    use keddah_resource::{Class, Difference, Module};

    const INVENTORY: &str = "all:
  children:
    etcd:
      hosts: { 10.0.0.1: { etcd_seq: 1 }, 10.0.0.2: { etcd_seq: 2 } }
      vars: { etcd_cluster: etcd }
    pg-a:
      hosts: { 10.0.0.1: { pg_seq: 1, pg_role: primary }, 10.0.0.2: { pg_seq: 2, pg_role: replica } }
      vars: { pg_cluster: pg-a }
    pg-b: { hosts: { 10.0.0.3: { pg_seq: 1, pg_role: primary } }, vars: { pg_cluster: pg-b } }
";

    const SECRETS: &str = "/etc/patroni/conf.d/90-secrets.yml";

    fn secrets(password: &str) -> file::Spec {
        let text = format!(
            "restapi:\n  password: other\netcd3:\n  username: pg-a\n  password: {password}\n"
        );
        file::Spec::secret(SECRETS, Secret::new(text), Permissions::root(0o600))
            .listing(Entries::Settings)
    }

    fn change(kind: Kind, name: &str) -> PlannedChange {
        PlannedChange {
            id: ResourceId::new(&NodeName::new("10.0.0.1"), kind, name),
            module: Module::Etcd,
            cluster: None,
            difference: Difference::new(Action::Update, Class::InPlace, "it differs"),
            certainty: Certainty::Known,
            cause: None,
            caused_by: Vec::new(),
            wave: 0,
            after: Vec::new(),
            owes: Vec::new(),
            moves_services: false,
        }
    }

    /// What is said where the replica of `pg-a` has this password by its file, and these changes are planned.
    fn said(
        limit: &[&str],
        on_replica: Option<&str>,
        changes: Vec<PlannedChange>,
    ) -> Option<String> {
        let mut sources = SourceMap::default();
        let (inventory, _) = keddah_inventory::load(&mut sources, "i.yml", INVENTORY.as_bytes());
        let inventory = inventory.expect("it loads");
        let limit = limit.iter().map(|&name| name.to_owned()).collect();
        let args = Choice { limit, ..Choice::default() };
        let selection = Selection::of(&args, &inventory).expect("a part");
        let (mut desired, mut observed) = (DesiredFleet::default(), BTreeMap::new());
        let node = NodeName::new("10.0.0.2");
        let id =
            desired.add(Resource::new(&node, Module::Pgsql, secrets("new")).in_cluster("pg-a"));
        let mut found = file::Observed { present: None };
        if let Some(password) = on_replica {
            let spec = secrets(password);
            found = spec.settled();
            let text = spec.present.as_ref().expect("a file").content.reveal().to_owned();
            let present = found.present.as_mut().expect("a file");
            present.entries = Entries::Settings.of(&text);
        }
        observed.insert(id, Outcome::Observed(found.into()));
        let plan = Plan { changes, ..Plan::default() };
        nobody_is_logged_out(&inventory, &selection, &desired, &observed, &plan)
            .err()
            .map(|error| format!("{error:?}"))
    }

    #[test]
    fn a_login_changes_with_the_whole_cluster_or_not_at_all() {
        let user = || vec![change(Kind::EtcdAccess, "pg-a password")];
        // The replica alone, while etcd's own stays; the leader alone, of which etcd takes it.
        let replica = said(&["10.0.0.2"], Some("old"), Vec::new()).expect("it would be logged out");
        assert!(
            replica.contains("10.0.0.1, outside of this selection, goes by the old"),
            "{replica}"
        );
        let leader = said(&["10.0.0.1"], Some("new"), user()).expect("the other would be");
        assert!(leader.contains("pg_etcd_password") && leader.contains("10.0.0.2"), "{leader}");
        for whole in [&["pg-a"][..], &["10.0.0.1", "10.0.0.2"], &[]] {
            assert_eq!(said(whole, Some("old"), user()), None, "{whole:?}");
        }
        // Another cluster's; one that is made; one that has had no login; a reach that changes.
        let other = vec![change(Kind::EtcdAccess, "pg-b password")];
        assert_eq!(said(&["10.0.0.3"], Some("new"), other), None);
        assert_eq!(said(&["10.0.0.2"], None, Vec::new()), None);
        let reach = vec![change(Kind::EtcdAccess, "pg-a")];
        assert_eq!(said(&["10.0.0.1"], Some("new"), reach), None);
    }

    #[test]
    fn roots_password_changes_on_all_members_or_not_at_all() {
        let root = || vec![change(Kind::EtcdAuth, ROOT)];
        let one =
            said(&["10.0.0.1"], Some("new"), root()).expect("the other's file would be wrong");
        assert!(one.contains("etcd_root_password") && one.contains("10.0.0.2"), "{one}");
        assert_eq!(said(&["etcd"], Some("new"), root()), None);
        assert_eq!(said(&["10.0.0.1"], Some("new"), vec![change(Kind::EtcdAuth, "logins")]), None);
        let mut made = change(Kind::EtcdAuth, ROOT);
        made.difference.action = Action::Create;
        assert_eq!(said(&["10.0.0.1"], Some("new"), vec![made]), None);
    }
}
