//! The INFRA module: what the infrastructure nodes do for all others. So far, names.

mod dns;
pub(crate) mod records;

pub(crate) use dns::UNIT as DNS_UNIT;
pub(crate) use records::dns_name;

use crate::compiler::{Compiler, Node, Problem};

impl Compiler<'_> {
    /// The services of all infrastructure nodes that answer.
    pub(crate) fn infra(&mut self, nodes: &[Node<'_>]) -> Result<(), Problem> {
        for node in nodes {
            if self.topology.infra.contains(&node.address) {
                self.dns(node)?;
            }
        }
        Ok(())
    }
}
