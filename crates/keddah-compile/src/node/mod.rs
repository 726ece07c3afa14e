//! The NODE module: what every other module stands on.

mod haproxy;
mod resolver;
pub(crate) mod system;
mod tuning;
pub(crate) mod vip;

use crate::compiler::{Compiler, Node, Problem, problem};
use crate::pgsql::place::Place;
use keddah_inventory::parameters;
use keddah_resource::kind::directory::Permissions;
use keddah_resource::kind::{block, file, hostname, packages, unit, user};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use std::fmt::Write;

impl Compiler<'_> {
    /// Identity, packages, hosts, time, administrators, kernel and HAProxy of one node.
    pub(crate) fn node(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Node, spec);
        if node.params.get(parameters::NODENAME_OVERWRITE) || node.hostname == node.facts.hostname {
            self.fleet.add(resource(hostname::Spec { hostname: node.hostname.clone() }.into()));
        }
        let mut names: Vec<String> =
            node.release.node_packages().iter().map(|&name| name.to_owned()).collect();
        for list in [parameters::NODE_DEFAULT_PACKAGES, parameters::NODE_PACKAGES] {
            names.extend(node.params.get(list).iter().flat_map(|line| words(line)));
        }
        names.extend(system::zone_package(&node.params));
        names.sort();
        names.dedup();
        // What is started later may bind an address before the node holds it, if the kernel lets.
        let kernel = ResourceId::new(&node.name, Kind::Sysctl, "sysctl");
        let proxy = self.proxy(node)?;
        self.fleet.add(
            resource(packages::Spec { set: "node".to_owned(), names }.into())
                .after([kernel, proxy]),
        );
        self.hosts(node);
        self.time(node);
        self.administrator(node)?;
        self.crontab(node);
        self.kernel(node)?;
        self.timezone(node)?;
        self.aliases(node)?;
        self.haproxy(node)?;
        self.virtual_addresses(node)?;
        self.resolver(node);
        Ok(())
    }

    /// `/etc/hosts`: the node itself, and what the inventory lists.
    fn hosts(&mut self, node: &Node<'_>) {
        if !node.params.get(parameters::NODE_WRITE_ETC_HOSTS) {
            return;
        }
        let mut text = format!("{} {}\n", node.address, node.hostname);
        let declared = node.params.get(parameters::NODE_DEFAULT_ETC_HOSTS);
        for line in declared.iter().chain(&node.params.get(parameters::NODE_ETC_HOSTS)) {
            let _ = writeln!(text, "{}", line.trim());
        }
        let spec = block::Spec {
            path: "/etc/hosts".to_owned(),
            marker: "hosts".to_owned(),
            text,
            place: block::Place::End,
        };
        self.fleet.add(Resource::new(&node.name, Module::Node, spec));
    }

    /// chrony with the inventory's servers.
    fn time(&mut self, node: &Node<'_>) {
        if !node.params.get(parameters::NODE_NTP_ENABLED) {
            return;
        }
        let unit = ResourceId::new(&node.name, Kind::Unit, "chrony.service");
        let mut text = String::from("# Written by Keddah; edit the inventory instead.\n");
        for server in node.params.get(parameters::NODE_NTP_SERVERS) {
            let _ = writeln!(text, "{server}");
        }
        let file = self.fleet.add(
            Resource::new(
                &node.name,
                Module::Node,
                file::Spec::text(
                    "/etc/chrony/sources.d/keddah.sources",
                    text,
                    Permissions::root(0o644),
                )
                // A source that it cannot read, chronyd leaves out with a word in its log.
                .checked_by(&["chronyd", "-p", "-f", "{}"]),
            )
            .after([node.packages.clone()])
            .restarts(&unit),
        );
        let mut before = vec![file];
        if node.facts.sysctl_read_only {
            // A container shares its host's clock and may not set it.
            let text = "# Written by Keddah: a container may not set the clock.\nDAEMON_OPTS=\"-F 1 -x\"\n";
            before.push(
                self.fleet.add(
                    Resource::new(
                        &node.name,
                        Module::Node,
                        file::Spec::text("/etc/default/chrony", text, Permissions::root(0o644)),
                    )
                    .after([node.packages.clone()])
                    .restarts(&unit),
                ),
            );
        }
        let spec = unit::Spec::running("chrony.service");
        self.fleet.add(Resource::new(&node.name, Module::Node, spec).after(before));
    }

    /// The administrator's account, with sudo as `node_admin_sudo` says.
    fn administrator(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        if !node.params.get(parameters::NODE_ADMIN_ENABLED) {
            return Ok(());
        }
        let account = node.params.get(parameters::NODE_ADMIN_USERNAME);
        let mut authorized_keys = node.params.get(parameters::NODE_ADMIN_PK_LIST);
        if node.params.get(parameters::NODE_ADMIN_PK_CURRENT) {
            authorized_keys.extend(self.input.public_keys.iter().cloned());
        }
        authorized_keys.sort();
        authorized_keys.dedup();
        let user = self.fleet.add(
            Resource::new(
                &node.name,
                Module::Node,
                user::Spec {
                    account: account.clone(),
                    uid: u32::try_from(node.params.get(parameters::NODE_ADMIN_UID))
                        .ok()
                        .filter(|&uid| uid > 0),
                    home: format!("/home/{account}"),
                    shell: "/bin/bash".to_owned(),
                    groups: Vec::new(),
                    authorized_keys,
                },
            )
            .after([node.packages.clone()]),
        );
        let sudo = node.params.get(parameters::NODE_ADMIN_SUDO);
        self.sudoers(node, Module::Node, &account, &sudo, user)
    }

    /// What an account may do as root: `none`, `limit`, `all` (with a password) or `nopass`.
    pub(crate) fn sudoers(
        &mut self,
        node: &Node<'_>,
        module: Module,
        account: &str,
        privilege: &str,
        user: ResourceId,
    ) -> Result<(), Problem> {
        let path = format!("/etc/sudoers.d/keddah-{account}");
        let rule = match privilege {
            "none" | "no" => {
                self.fleet
                    .add(Resource::new(&node.name, module, file::Spec::absent(path)).after([user]));
                return Ok(());
            }
            "limit" => {
                let mut units: Vec<String> = Vec::new();
                for (cluster, member) in self.topology.instances_on(&node.name) {
                    let place = Place::of(cluster.name.as_str(), member);
                    if place.own_name().is_some() {
                        let own = [place.patroni_unit(), place.pgbouncer_unit()];
                        units.extend(own.map(|unit| unit.trim_end_matches(".service").to_owned()));
                    }
                }
                if units.is_empty() {
                    units.extend(["patroni", "pgbouncer"].map(str::to_owned));
                }
                units.extend(["haproxy", "keddah-vip"].map(str::to_owned));
                let verbs = ["start", "stop", "restart", "reload", "status"];
                let commands: Vec<String> = units
                    .iter()
                    .flat_map(|unit| {
                        verbs.iter().map(move |verb| format!("/usr/bin/systemctl {verb} {unit}"))
                    })
                    .collect();
                format!("{account} ALL=(root) NOPASSWD: {}", commands.join(", "))
            }
            "all" => format!("{account} ALL=(ALL:ALL) ALL"),
            "nopass" => format!("{account} ALL=(ALL:ALL) NOPASSWD: ALL"),
            other => {
                return Err(problem(
                    "invalid-sudo",
                    node.params.span(parameters::NODE_ADMIN_SUDO),
                    format!("`{other}` is not a sudo privilege; use none, limit, all or nopass"),
                ));
            }
        };
        let text = format!("# Written by Keddah; edit the inventory instead.\n{rule}\n");
        let spec = file::Spec::text(path, text, Permissions::root(0o440))
            .checked_by(&["visudo", "-c", "-f", "{}"]);
        self.fleet
            .add(Resource::new(&node.name, module, spec).after([user, node.packages.clone()]));
        Ok(())
    }

    /// `node_crontab`: lines with the account in the sixth field, as in `/etc/crontab`.
    fn crontab(&mut self, node: &Node<'_>) {
        let lines = node.params.get(parameters::NODE_CRONTAB);
        let path = "/etc/cron.d/keddah-node";
        let spec = if lines.is_empty() {
            file::Spec::absent(path)
        } else {
            file::Spec::text(path, cron_table(&lines, "/pg"), Permissions::root(0o644))
        };
        let table = self
            .fleet
            .add(Resource::new(&node.name, Module::Node, spec).after([node.packages.clone()]));
        if !lines.is_empty() {
            self.cron(node, Module::Node, table);
        }
    }

    /// The daemon that carries out a table: one that is declared where nobody reads it makes no backup.
    pub(crate) fn cron(&mut self, node: &Node<'_>, module: Module, table: ResourceId) {
        let id = ResourceId::new(&node.name, Kind::Unit, CRON);
        match self.fleet.get_mut(&id) {
            Some(unit) => unit.after.push(table),
            None => {
                let spec = unit::Spec::running(CRON);
                self.fleet.add(Resource::new(&node.name, module, spec).after([table]));
            }
        }
    }
}

/// The unit of Debian's package cron, which comes with every installation of Debian but the smallest.
pub(crate) const CRON: &str = "cron.service";

/// A table for `/etc/cron.d` with a path on which PostgreSQL's programs are found, and those of the
/// instance whose directory is `home`.
pub(crate) fn cron_table(lines: &[String], home: &str) -> String {
    let mut text = format!(
        "# Written by Keddah; edit the inventory instead.\n\
         SHELL=/bin/sh\n\
         PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/pgsql/bin:{home}/bin\n",
    );
    for line in lines {
        let _ = writeln!(text, "{}", line.trim());
    }
    text
}

/// Package lists may hold several names in one text, separated by blanks or commas.
pub(crate) fn words(line: &str) -> Vec<String> {
    line.split([' ', ',', '\t']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
