//! Logins by passwords that everyone knows, which an apply outside of a sandbox must be allowed to
//! create: what opens each, unless it is there already or all its nodes are a sandbox's.

use crate::compiler::Compiler;
use crate::pgsql::place::Place;
use keddah_core::{NodeName, Secret};
use keddah_inventory::{Inventory, Params, is_public_password, model, parameters};
use keddah_resource::{Door, DoorProbe, ResourceId};
use std::collections::HashMap;

/// HAProxy's list of those who may see its admin page.
pub(crate) const HAPROXY_USERS: &str = "/etc/haproxy/auth.cfg";

/// Where Patroni's configuration has the password of its REST API.
pub(crate) fn patroni_secrets(place: &Place) -> String {
    format!("{}/90-secrets.yml", place.patroni_directory())
}

/// The line of Patroni's configuration with a password, as its YAML is written.
fn patroni_line(password: &Secret) -> String {
    let text = serde_saphyr::to_string(&HashMap::from([("password", password.reveal())]));
    text.unwrap_or_default().trim().to_owned()
}

/// The line of HAProxy's users with a password, as our template writes it.
fn haproxy_line(password: &Secret) -> String {
    format!("insecure-password {}", password.reveal())
}

/// The lines that each node is asked for: with them, a login is there already.
pub(crate) fn probes(inventory: &Inventory) -> HashMap<NodeName, Vec<DoorProbe>> {
    let mut probes: HashMap<NodeName, Vec<DoorProbe>> = HashMap::new();
    for cluster in model::pg_clusters(inventory) {
        for member in &cluster.members {
            let password = member.params.get(parameters::PATRONI_PASSWORD);
            if is_public_password(&password) {
                let path = patroni_secrets(&Place::of(cluster.name.as_str(), member));
                let probe = DoorProbe { path, line: patroni_line(&password) };
                probes.entry(member.node.clone()).or_default().push(probe);
            }
        }
    }
    for host in inventory.hosts() {
        let params = Params::new(inventory, &host.name);
        let password = params.get(parameters::HAPROXY_ADMIN_PASSWORD);
        if params.get(parameters::HAPROXY_ENABLED) && is_public_password(&password) {
            let path = HAPROXY_USERS.to_owned();
            let probe = DoorProbe { path, line: haproxy_line(&password) };
            probes.entry(host.name.clone()).or_default().push(probe);
        }
    }
    probes
}

impl Compiler<'_> {
    /// A login that a file of one node opens, when its password is public.
    pub(crate) fn door_by_file(&mut self, name: &str, password: &Secret, by: &ResourceId) {
        let stands = |node: &NodeName| {
            let facts = self.input.facts.get(node);
            facts.is_some_and(|facts| facts.doors.contains(&by.name))
        };
        if is_public_password(password) && !stands(&by.node) {
            self.door(name, by, &[&by.node], false);
        }
    }

    /// A login with a public password on these nodes; `presumed` where it must be taken to be there
    /// while nobody can look. A node that does not answer is no sandbox's.
    pub(crate) fn door(&mut self, name: &str, by: &ResourceId, on: &[&NodeName], presumed: bool) {
        let marked = |node: &&NodeName| {
            let facts = self.input.facts.get(*node);
            facts.is_some_and(|facts| facts.sandbox)
        };
        if !on.iter().all(marked) {
            self.doors.push(Door { password: name.to_owned(), by: by.clone(), presumed });
        }
    }
}
