//! A cluster that is paused: somebody has told its Patronis to leave PostgreSQL alone, and every command
//! says so, for nothing of what is said of failover is true meanwhile.

use super::Cluster;
use crate::compiler::Compiler;

/// Patroni's name of it in the DCS (Patroni documentation, "Pause/Resume mode for the cluster").
pub(super) const SETTING: &str = "pause";

/// Whether one of the cluster's Patronis says that it is paused.
pub(super) fn is_paused(cluster: &Cluster<'_>) -> bool {
    let mut says =
        cluster.instances.iter().filter_map(|one| one.node.facts.patroni_of(&cluster.name));
    says.any(|patroni| patroni.paused)
}

impl Compiler<'_> {
    /// Names a pause.
    pub(super) fn paused(&mut self, cluster: &Cluster<'_>) {
        if !is_paused(cluster) {
            return;
        }
        let name = &cluster.name;
        let how = if cluster.params.str("patroni_mode") == "pause" {
            "`patroni_mode: pause` says so".to_owned()
        } else {
            let directory = cluster.leader().place.patroni_directory();
            format!("`patronictl -c {directory} resume {name}` on a member ends it")
        };
        self.notes.push(format!(
            "warning: {name} is paused: nobody takes over where its primary fails, and no member is made or \
             started; restarts and settings that are planned are carried out all the same, and PostgreSQL runs \
             on without its Patroni; {how}"
        ));
    }
}
