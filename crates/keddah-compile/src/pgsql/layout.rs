//! An instance's account, packages, directories and, where it shares its node, units (the layout of
//! the PGSQL module: `/pg` leads to the cluster's directory, backups lie on a disk of their own).

use super::further_packages::further;
use super::{Cluster, Instance, place};
use crate::ca::{CertificateFor, ETCD_CA_PATH};
use crate::compiler::{Compiler, Problem};
use crate::infra::records::cluster_names;
use crate::node::words;
use crate::release::extension_package;
use keddah_inventory::model::{PgDatabase, PgExtension};
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{file, packages, symlink, unit, user};
use keddah_resource::{Kind, Module, Resource, ResourceId, Spec};
use std::net::IpAddr;

/// What the other files of an instance wait for.
pub(super) struct Files {
    /// The packages are installed.
    pub packages: ResourceId,
    /// `/pg` and everything below it that Keddah makes is there.
    pub directories: Vec<ResourceId>,
    /// The certificate is in place.
    pub certificate: ResourceId,
    /// The certificate that etcd lets in is in place.
    pub etcd_certificate: ResourceId,
}

impl Compiler<'_> {
    pub(super) fn layout(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
    ) -> Result<Files, Problem> {
        let node = &instance.node;
        let params = &instance.member.params;
        let place = &instance.place;
        let certificates = place.certificates();
        let superuser = cluster.superuser();
        let resource =
            |spec: Spec| Resource::new(&node.name, Module::Pgsql, spec).in_cluster(&cluster.name);
        let home = params.get(parameters::PG_DBSU_HOME);
        let account = self.fleet.add(resource(
            user::Spec {
                account: superuser.clone(),
                uid: u32::try_from(params.get(parameters::PG_DBSU_UID)).ok().filter(|&uid| uid > 0),
                home: home.clone(),
                shell: "/bin/bash".to_owned(),
                groups: Vec::new(),
                authorized_keys: Vec::new(),
            }
            .into(),
        ));
        let sudo = params.get(parameters::PG_DBSU_SUDO);
        self.sudoers(node, Module::Pgsql, &superuser, &sudo, account.clone())?;
        let packages = self.pg_packages(cluster, instance, &account)?;

        let owned = |mode| Permissions::new(&superuser, &superuser, mode);
        let mut directories = Vec::new();
        directories.push(self.directories(
            node,
            Module::Pgsql,
            &home,
            owned(0o700),
            std::slice::from_ref(&account),
        ));
        let base = self.directories(
            node,
            Module::Pgsql,
            &instance.directory,
            owned(0o700),
            std::slice::from_ref(&account),
        );
        let link = self.fleet.add(
            resource(
                symlink::Spec {
                    path: place.home(),
                    target: instance.directory.clone(),
                    to_data: true,
                }
                .into(),
            )
            .after([base.clone()]),
        );
        // Programs that people and crontabs call: the server's account runs them and changes none.
        let programs = instance.real(&place.below("bin"));
        let roots = Permissions::root(0o755);
        directories.push(self.owned_directory(cluster, instance, &programs, roots, &base));
        let below = [
            (params.get(parameters::PG_DATA), 0o700),
            (place.below("conf"), 0o700),
            (place.below("tmp"), 0o700),
            (certificates.clone(), 0o700),
            (place.below("log"), 0o755),
            (params.get(parameters::PG_LOG_DIR), 0o700),
            (params.get(parameters::PATRONI_LOG_DIR), 0o700),
            (params.get(parameters::PGBOUNCER_LOG_DIR), 0o700),
            (params.get(parameters::PGBACKREST_LOG_DIR), 0o700),
        ];
        for (path, mode) in below {
            let path = instance.real(&path);
            directories.push(self.owned_directory(cluster, instance, &path, owned(mode), &base));
        }
        let backups = format!(
            "{}/{}-{}",
            params.get(parameters::PG_FS_BACKUP),
            cluster.name,
            cluster.version
        );
        let backups_made = self.directories(
            node,
            Module::Pgsql,
            &backups,
            owned(0o700),
            std::slice::from_ref(&account),
        );
        directories.push(
            self.fleet.add(
                resource(
                    symlink::Spec {
                        path: format!("{}/backup", instance.directory),
                        target: backups,
                        to_data: true,
                    }
                    .into(),
                )
                .after([backups_made, base.clone()]),
            ),
        );
        directories.push(link.clone());
        // Inventories name programs by pg_bin_dir, wherever the distribution keeps them.
        let programs = format!("/usr/lib/postgresql/{}", cluster.version);
        // Of several instances, the first one's: the link is the node's.
        let first = self.topology.instances_on(&node.name).next();
        let first = first.is_none_or(|(first, _)| first.name.as_str() == cluster.name);
        if first && params.get(parameters::PG_BIN_DIR) == "/usr/pgsql/bin" {
            self.fleet.add(
                resource(
                    symlink::Spec {
                        path: "/usr/pgsql".to_owned(),
                        target: programs,
                        to_data: false,
                    }
                    .into(),
                )
                .after([packages.clone()]),
            );
        }
        let certificate = self.certificate(
            node,
            CertificateFor {
                directory: &certificates,
                common_name: &instance.name,
                dns_names: self.dns_names(cluster, instance),
                addresses: self.service_addresses(cluster, instance),
                owner: &superuser,
            },
        );
        let mut certificate = resource(certificate.into())
            .after([node.trust.clone(), link])
            .after(directories.clone())
            .reloads(&instance.postmaster())
            .reloads(&instance.patroni());
        if params.get(parameters::PGBOUNCER_ENABLED) {
            certificate = certificate.reloads(&instance.pgbouncer());
        }
        let certificate = self.fleet.add(certificate);
        let etcd = self.etcd_client_certificate(&certificates, &superuser);
        let etcd_trust = instance.id(Kind::File, ETCD_CA_PATH);
        let etcd_certificate = self.fleet.add(
            resource(etcd.into())
                .after([etcd_trust])
                .after(directories.clone())
                .reloads(&instance.patroni()),
        );
        Ok(Files { packages, directories, certificate, etcd_certificate })
    }

    fn owned_directory(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        path: &str,
        permissions: Permissions,
        base: &ResourceId,
    ) -> ResourceId {
        if path.starts_with(&format!("{}/", instance.directory)) {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            let above = instance.id(Kind::Directory, parent);
            let after = if self.fleet.get(&above).is_some() { above } else { base.clone() };
            self.fleet.add(
                Resource::new(
                    &instance.node.name,
                    Module::Pgsql,
                    directory::Spec::present(path, permissions),
                )
                .in_cluster(&cluster.name)
                .after([after]),
            )
        } else {
            self.directories(
                &instance.node,
                Module::Pgsql,
                path,
                permissions,
                std::slice::from_ref(base),
            )
        }
    }

    fn pg_packages(
        &mut self,
        cluster: &Cluster<'_>,
        instance: &Instance<'_>,
        account: &ResourceId,
    ) -> Result<ResourceId, Problem> {
        let node = &instance.node;
        let params = &instance.member.params;
        let resource =
            |spec: Spec| Resource::new(&node.name, Module::Pgsql, spec).in_cluster(&cluster.name);
        // Debian's package would make and start a cluster of its own.
        let directory = self.fleet.add(resource(
            directory::Spec::present("/etc/postgresql-common", Permissions::root(0o755)).into(),
        ));
        let no_cluster = self.fleet.add(
            resource(
                file::Spec::text(
                    "/etc/postgresql-common/createcluster.conf",
                    "# Written by Keddah: Patroni makes the clusters.\ncreate_main_cluster = false\n\
                     start_conf = 'manual'\n",
                    Permissions::root(0o644),
                )
                .into(),
            )
            .after([directory]),
        );
        let mut names = node.release.pgsql_packages(cluster.version);
        names.extend(further(params, cluster.version)?);
        let extensions = PgDatabase::business(params)
            .into_iter()
            .flat_map(|database| database.extensions)
            .chain(PgExtension::defaults(params));
        names.extend(
            extensions.filter_map(|extension| extension_package(&extension.name, cluster.version)),
        );
        // Without the package of a library that it must load, PostgreSQL does not start.
        let preloaded = params.get(parameters::PG_LIBS);
        names.extend(preloaded.split(',').filter_map(|library| {
            let name = library.trim().trim_start_matches("$libdir/");
            extension_package(name, cluster.version)
        }));
        for word in params.get(parameters::PG_EXTENSIONS).iter().flat_map(|line| words(line)) {
            match extension_package(&word, cluster.version) {
                Some(package) => names.push(package),
                None if word.starts_with("postgresql-") && !word.contains(['*', '$']) => {
                    names.push(word);
                }
                None => self.notes.push(format!(
                    "{}: pg_extensions names `{word}`, for which no package of this distribution \
                     is known; it is not installed",
                    cluster.name
                )),
            }
        }
        names.sort();
        names.dedup();
        Ok(self.fleet.add(
            resource(packages::Spec { set: instance.place.package_set(), names }.into()).after([
                node.packages.clone(),
                account.clone(),
                no_cluster,
            ]),
        ))
    }
}

impl Compiler<'_> {
    /// A unit of an instance's own, where the distribution's is for a node's only instance; that
    /// one stays away. Returns what the unit waits for. A change restarts the unit unless it runs
    /// Patroni, which takes PostgreSQL down with it: what is new there holds from the next start.
    pub(super) fn own_unit(
        &mut self,
        instance: &Instance<'_>,
        unit: &ResourceId,
        template: &str,
        context: serde_json::Value,
        files: &Files,
    ) -> Result<Vec<ResourceId>, Problem> {
        let text = self.render(template, context)?;
        let path = unit_file(&unit.name);
        let spec = file::Spec::text(path, text, Permissions::root(0o644));
        let mut file = Resource::new(&instance.node.name, Module::Pgsql, spec)
            .in_cluster(&instance.member.params.get(parameters::PG_CLUSTER))
            .after([files.packages.clone()]);
        let plain = if *unit == instance.patroni() {
            place::PATRONI_UNIT
        } else {
            file = file.restarts(unit);
            place::PGBOUNCER_UNIT
        };
        let stopped = self.plain_unit_stopped(instance, plain, files);
        Ok(vec![self.fleet.add(file), stopped])
    }

    /// Keeps the distribution's unit from starting, which packages ask for at every boot.
    pub(super) fn plain_unit_stopped(
        &mut self,
        instance: &Instance<'_>,
        unit: &str,
        files: &Files,
    ) -> ResourceId {
        let spec = unit::Spec::stopped(unit);
        let resource = Resource::new(&instance.node.name, Module::Pgsql, spec);
        self.fleet.add(resource.after([files.packages.clone()]))
    }
}

/// Where the file of a unit of Keddah's own stands.
pub(crate) fn unit_file(unit: &str) -> String {
    format!("/etc/systemd/system/{unit}")
}

impl Compiler<'_> {
    /// The names under which clients reach an instance: its own and its cluster's, and those of the
    /// other members, whose load balancers lead here, too.
    fn dns_names(&self, cluster: &Cluster<'_>, instance: &Instance<'_>) -> Vec<String> {
        let suffix = instance.member.params.get(parameters::PG_DNS_SUFFIX);
        self.members(cluster)
            .map(|member| format!("{}-{}", cluster.name, member.seq))
            .chain([cluster.name.clone()])
            .flat_map(|name| cluster_names(&name, &suffix))
            .collect()
    }

    /// The addresses under which clients reach an instance beside its own: the other members', the
    /// cluster's virtual address, and those of the nodes that provide its services.
    fn service_addresses(&self, cluster: &Cluster<'_>, instance: &Instance<'_>) -> Vec<String> {
        let mut addresses: Vec<String> =
            self.members(cluster).map(|member| member.node.as_str().to_owned()).collect();
        let params = &instance.member.params;
        if params.get(parameters::PG_VIP_ENABLED) {
            addresses.push(host_part(&params.get(parameters::PG_VIP_ADDRESS)));
        }
        let inventory = self.input.inventory;
        for host in inventory.members(&params.get(parameters::PG_SERVICE_PROVIDER)) {
            let provider = Params::new(inventory, &host.name);
            addresses.push(host.name.as_str().to_owned());
            if provider.get(parameters::VIP_ENABLED) {
                addresses.push(host_part(&provider.get(parameters::VIP_ADDRESS)));
            }
        }
        // What is no address cannot be one in a certificate.
        addresses.retain(|address| address.parse::<IpAddr>().is_ok());
        addresses
    }
}

/// An address without its prefix length.
pub(super) fn host_part(address: &str) -> String {
    address.split('/').next().unwrap_or_default().to_owned()
}
