//! Host-based authentication: an instance's rules become its authentication file, which a plan can
//! compare by who gains and who loses access.

use super::{Cluster, Instance};
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::model::{AuthenticationFile, Dialect, memberships};
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::file;

impl Compiler<'_> {
    /// An instance's or its pool's authentication file.
    pub(super) fn hba(
        &self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        dialect: Dialect,
        path: &str,
        permissions: Permissions,
    ) -> Result<file::Spec, Problem> {
        let infra = &self.topology.infra;
        // All members of the inventory: one that does not answer now is not locked out for that.
        let model = self.topology.clusters.iter().find(|one| one.name.as_str() == cluster.name);
        let removed = &self.input.removing.pgsql;
        let members: Vec<String> = model
            .map(|model| model.members.iter())
            .into_iter()
            .flatten()
            .filter(|member| !removed.contains(&member.node))
            .map(|member| member.node.as_str().to_owned())
            .collect();
        let file = AuthenticationFile::of(&instance.member, dialect, infra, &members).map_err(
            |errors| {
                let first = &errors[0];
                problem("invalid-hba-rule", first.span, first.message.clone())
            },
        )?;
        let spec = file::Spec::text(path, file.text, permissions);
        Ok(spec.access_rules(memberships(&instance.member.params)))
    }
}
