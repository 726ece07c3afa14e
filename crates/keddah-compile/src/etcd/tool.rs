//! etcd's own tool with all that it needs, on each member's node: what a person types at night is what a
//! finding or a refusal shows, and no password has to be looked for.

use super::connection;
use crate::compiler::{Compiler, Node, Problem};
use crate::topology::EtcdMember;
use keddah_core::NodeName;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::etcd_auth::ROOT_PASSWORD_FILE;
use keddah_resource::kind::etcd_member::TOOL_PATH;
use keddah_resource::kind::file;
use keddah_resource::{Module, Resource, ResourceId};
use serde_json::json;

impl Compiler<'_> {
    /// The command. It holds no secret; root's password is in a file of its own, which it reads when it is
    /// called.
    pub(super) fn etcd_tool(
        &mut self,
        node: &Node<'_>,
        member: &EtcdMember,
        packages: &ResourceId,
    ) -> Result<(), Problem> {
        let own = connection(String::new());
        let text = self.render(
            "etcd/etcdctl",
            json!({
                "port": member.port,
                "ca_path": own.ca_path,
                "certificate_path": own.certificate_path,
                "key_path": own.key_path,
                "password_file": ROOT_PASSWORD_FILE,
            }),
        )?;
        let spec = file::Spec::text(TOOL_PATH, text, Permissions::root(0o700));
        let tool = Resource::new(&node.name, Module::Etcd, spec)
            .in_cluster(&member.cluster)
            .after([packages.clone()]);
        self.fleet.add(tool);
        Ok(())
    }

    /// The command and root's password go from a node whose member has stopped for good: it is none of
    /// those any more that may do everything in etcd.
    pub(crate) fn no_etcd_tool(&mut self, node: &NodeName, cluster: &str, stopped: &ResourceId) {
        for path in [TOOL_PATH, ROOT_PASSWORD_FILE] {
            let absent = Resource::new(node, Module::Etcd, file::Spec::absent(path));
            self.fleet.add(absent.in_cluster(cluster).after([stopped.clone()]));
        }
    }
}
