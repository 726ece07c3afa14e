//! A cluster that is paused: somebody has told its Patronis to leave PostgreSQL alone. That is a finding,
//! which every command shows (`keddah_plan::health`).

use super::Cluster;

/// Patroni's name of it in the DCS (Patroni documentation, "Pause/Resume mode for the cluster").
pub(super) const SETTING: &str = "pause";

/// Whether one of the cluster's Patronis says that it is paused.
pub(super) fn is_paused(cluster: &Cluster<'_>) -> bool {
    let mut says =
        cluster.instances.iter().filter_map(|one| one.node.facts.patroni_of(&cluster.name));
    says.any(|patroni| patroni.paused)
}
