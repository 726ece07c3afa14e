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
        let members: Vec<String> =
            self.members(cluster).map(|member| member.node.as_str().to_owned()).collect();
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
