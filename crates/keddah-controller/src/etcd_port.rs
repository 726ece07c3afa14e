//! A member of etcd that runs keeps the port that it serves clients on: the others, and every Patroni, know
//! it by that, and its quorum is asked there before anything is restarted.

use crate::CommandError;
use keddah_core::NodeName;
use keddah_plan::Outcome;
use keddah_resource::{DesiredFleet, Kind, Observed, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};

/// What tells a member its ports.
const ENVIRONMENT: &str = "/etc/default/etcd";

/// Refuses another `etcd_port` where a member runs, by its files, on the old one. `answering` are the nodes
/// whose member answers on the declared port: there, only the file is to be put right.
///
/// # Errors
/// With the port to put back.
pub fn etcd_keeps_its_port(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
    answering: &BTreeSet<NodeName>,
) -> Result<(), CommandError> {
    let mut members = desired.iter().filter(|one| one.id.name == ENVIRONMENT);
    let moved = members.find_map(|one| {
        let node = &one.id.node;
        let unit = ResourceId::new(node, Kind::Unit, "etcd.service");
        let runs = matches!(observed.get(&unit), Some(Outcome::Observed(Observed::Unit(unit))) if unit.running);
        if !runs || answering.contains(node) {
            return None;
        }
        let Spec::File(wanted) = &one.spec else { return None };
        let wanted = port(wanted.present.as_ref()?.content.reveal())?;
        let Some(Outcome::Observed(Observed::File(found))) = observed.get(&one.id) else {
            return None;
        };
        let found = port(found.present.as_ref()?.text.as_deref()?)?;
        (found != wanted).then_some((node, found, wanted))
    });
    let Some((node, found, wanted)) = moved else { return Ok(()) };
    Err(CommandError::user(format!(
        "etcd on {node} serves its clients on port {found}, and the inventory now says {wanted}: the other \
         members and each Patroni know it by the old one"
    ))
    .hint(format!("set `etcd_port: {found}`"))
    .hint(
        "to have another port, `keddah remove` one member after another with the old value, and add each \
         with the new one: it joins those that stay",
    ))
}

/// The port on which a member is told to serve clients.
fn port(environment: &str) -> Option<u16> {
    let mut lines = environment.lines();
    let urls = lines.find_map(|line| line.trim().strip_prefix("ETCD_ADVERTISE_CLIENT_URLS="))?;
    urls.rsplit(':').next()?.trim_end_matches(['/', '"']).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::kind::directory::Permissions;
    use keddah_resource::kind::{file, unit};
    use keddah_resource::{Module, Resource};

    fn environment(port: u16) -> String {
        format!(
            "ETCD_NAME=etcd-1\nETCD_LISTEN_CLIENT_URLS=https://10.0.0.1:{port},https://127.0.0.1:{port}\n\
             ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.1:{port}\n"
        )
    }

    /// What is said where the inventory wants 2479.
    fn judged(found: Option<&str>, running: bool, answers: bool) -> Result<(), CommandError> {
        let node = NodeName::new("10.0.0.1");
        let mut desired = DesiredFleet::default();
        let wanted = file::Spec::text(ENVIRONMENT, environment(2479), Permissions::root(0o644));
        let text = desired.add(Resource::new(&node, Module::Etcd, wanted));
        let service =
            desired.add(Resource::new(&node, Module::Etcd, unit::Spec::running("etcd.service")));
        let present = found.map(|text| file::ObservedFile {
            digest: String::new(),
            text: Some(text.to_owned()),
            entries: BTreeMap::new(),
            permissions: Permissions::root(0o644),
            sample: false,
        });
        let state =
            unit::Observed { exists: true, enabled: true, running, owes: None, process: None };
        let observed = BTreeMap::from([
            (text, Outcome::Observed(Observed::File(file::Observed { present }))),
            (service, Outcome::Observed(Observed::Unit(state))),
        ]);
        let answering = answers.then_some(node).into_iter().collect();
        etcd_keeps_its_port(&desired, &observed, &answering)
    }

    #[test]
    fn a_member_that_runs_keeps_its_port() {
        let old = environment(2379);
        let refused = judged(Some(&old), true, false).expect_err("it runs on the other one");
        assert!(
            refused.message.contains("port 2379, and the inventory now says 2479"),
            "{refused:?}"
        );
        assert!(refused.hints.join(" ").contains("`etcd_port: 2379`"), "{refused:?}");
        assert!(judged(Some(&old), false, false).is_ok(), "it does not run");
        assert!(
            judged(Some(&old), true, true).is_ok(),
            "it runs on the declared one: the way back"
        );
        assert!(judged(Some(&environment(2479)), true, false).is_ok(), "it only does not answer");
        assert!(judged(Some("# etcd's own\n"), true, false).is_ok(), "nothing is said of a port");
        assert!(judged(None, false, false).is_ok(), "nothing was there");
    }
}
