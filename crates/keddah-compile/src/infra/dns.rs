//! dnsmasq on an infrastructure node, and the names that follow primaries
//! (`docs/decisions/names-that-follow.md`).

use crate::compiler::{Compiler, Node, Problem};
use keddah_inventory::parameters;
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, packages, unit};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use serde_json::json;

/// Debian's unit.
pub(crate) const UNIT: &str = "dnsmasq.service";
const CONFIGURATION: &str = "/etc/dnsmasq.d/keddah.conf";
const FIXED_DIRECTORY: &str = "/etc/hosts.d";
const FIXED: &str = "/etc/hosts.d/keddah";

/// Names that follow primaries, a file for each cluster.
const FOLLOWING_DIRECTORY: &str = "/var/lib/keddah-dns";
const FOLLOWER: &str = "keddah-dns.service";
const FOLLOWER_UNIT_FILE: &str = "/etc/systemd/system/keddah-dns.service";
const FOLLOWER_SETTINGS: &str = "/etc/keddah-dns.json";
const FOLLOWER_SCRIPT: &str = "/usr/local/lib/keddah-follow-primaries";

impl Compiler<'_> {
    pub(super) fn dns(&mut self, node: &Node<'_>) -> Result<(), Problem> {
        let params = &node.params;
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Infra, spec);
        if !params.get(parameters::DNS_ENABLED) {
            let stopped = self.fleet.add(resource(unit::Spec::stopped(UNIT).into()));
            for path in [CONFIGURATION, FIXED] {
                let absent = file::Spec::absent(path);
                self.fleet.add(resource(absent.into()).after([stopped.clone()]));
            }
            self.no_follower(node);
            return Ok(());
        }
        let records = self.records(params);
        let follows = !records.following.is_empty();
        let unit = ResourceId::new(&node.name, Kind::Unit, UNIT);
        let mut names = vec!["dnsmasq".to_owned()];
        if follows {
            names.push("python3".to_owned());
        }
        let packages = self.fleet.add(
            resource(packages::Spec { set: "dns".to_owned(), names }.into())
                .after([node.packages.clone()]),
        );
        let directory = self.fleet.add(resource(
            directory::Spec::present(FIXED_DIRECTORY, Permissions::root(0o755)).into(),
        ));
        let fixed = file::Spec::text(FIXED, records.fixed, Permissions::root(0o644));
        let mut before = vec![
            packages.clone(),
            // dnsmasq watches the directory: no reload.
            self.fleet.add(resource(fixed.into()).after([directory])),
        ];
        if follows {
            let owned = Permissions::new("dnsmasq", "root", 0o755);
            let directory = directory::Spec::present(FOLLOWING_DIRECTORY, owned);
            let directory = self.fleet.add(resource(directory.into()).after([packages.clone()]));
            before.push(directory.clone());
            let settings = json!({
                "directory": FOLLOWING_DIRECTORY,
                "authority": crate::ca::CA_PATH,
                "clusters": records.following,
            });
            self.follower(node, &settings, &[packages.clone(), directory])?;
        } else {
            self.no_follower(node);
        }
        let text = self.render(
            "dnsmasq/dnsmasq.conf",
            json!({
                "port": params.get(parameters::DNS_PORT),
                "address": node.address,
                "static": FIXED_DIRECTORY,
                "dynamic": follows.then_some(FOLLOWING_DIRECTORY),
            }),
        )?;
        let configuration = file::Spec::text(CONFIGURATION, text, Permissions::root(0o644))
            .checked_by(&[
                "dnsmasq",
                "--test",
                // What Debian's unit loads as well; files whose names end so are left out. A name is only
                // left out that is longer than the ending (dnsmasq's `one_file`, `option.c`): with its
                // whole name the old file is read beside the new one, and keywords that may stand once
                // are "illegal repeated".
                "{if /etc/dnsmasq.conf}--conf-file=/etc/dnsmasq.conf",
                "{if /etc/dnsmasq.d}--conf-dir=/etc/dnsmasq.d,eddah.conf,.dpkg-dist,.dpkg-old,.dpkg-new",
                "--conf-file={}",
            ]);
        before.push(
            self.fleet.add(resource(configuration.into()).after(before.clone()).restarts(&unit)),
        );
        let spec = unit::Spec::running(UNIT)
            .ready_when_open(&node.address, params.get(parameters::DNS_PORT));
        self.fleet.add(resource(spec.into()).after(before));
        Ok(())
    }

    /// What asks Patroni who leads.
    fn follower(
        &mut self,
        node: &Node<'_>,
        settings: &serde_json::Value,
        before: &[ResourceId],
    ) -> Result<(), Problem> {
        let resource = |spec: keddah_resource::Spec| {
            Resource::new(&node.name, Module::Infra, spec).after(before.to_vec())
        };
        let unit = ResourceId::new(&node.name, Kind::Unit, FOLLOWER);
        let files = [
            (FOLLOWER_SCRIPT, self.render("dnsmasq/follow-primaries", json!({}))?, 0o755),
            (FOLLOWER_SETTINGS, format!("{settings:#}\n"), 0o644),
            (
                FOLLOWER_UNIT_FILE,
                self.render(
                    "systemd/keddah-dns.service",
                    json!({
                        "script": FOLLOWER_SCRIPT,
                        "configuration": FOLLOWER_SETTINGS,
                        "directory": FOLLOWING_DIRECTORY,
                    }),
                )?,
                0o644,
            ),
        ];
        let mut after = vec![node.trust.clone()];
        for (path, text, mode) in files {
            let spec = file::Spec::text(path, text, Permissions::root(mode));
            after.push(self.fleet.add(resource(spec.into()).restarts(&unit)));
        }
        self.fleet.add(
            resource(unit::Spec::running(FOLLOWER).started_with(&[FOLLOWER_SETTINGS]).into())
                .after(after),
        );
        Ok(())
    }

    /// Takes it away where it is.
    fn no_follower(&mut self, node: &Node<'_>) {
        if !node.facts.own_units.iter().any(|unit| unit == FOLLOWER) {
            return;
        }
        let resource = |spec: keddah_resource::Spec| Resource::new(&node.name, Module::Infra, spec);
        let stopped = self.fleet.add(resource(unit::Spec::stopped(FOLLOWER).into()));
        let mut gone = vec![stopped.clone()];
        for path in [FOLLOWER_SETTINGS, FOLLOWER_SCRIPT] {
            let absent = file::Spec::absent(path);
            gone.push(self.fleet.add(resource(absent.into()).after([stopped.clone()])));
        }
        // Last, because it is what says that there is something to take away.
        let absent = file::Spec::absent(FOLLOWER_UNIT_FILE);
        self.fleet.add(resource(absent.into()).after(gone));
    }
}
