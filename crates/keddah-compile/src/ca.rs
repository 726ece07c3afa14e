//! The CA module: the fleet's authority, trusted on every node.

use crate::compiler::{Compiler, Node};
use keddah_core::{NodeName, Secret};
use keddah_resource::kind::directory::{self, Permissions};
use keddah_resource::kind::{certificate, file, trust_anchor};
use keddah_resource::{Kind, Module, Resource, ResourceId};
use std::collections::HashMap;

/// Where every node keeps the CA's certificate.
pub const CA_PATH: &str = "/etc/pki/ca.crt";

/// Where members and clients of etcd keep the certificate of etcd's own CA.
pub const ETCD_CA_PATH: &str = "/etc/pki/etcd-ca.crt";

/// Days before its end at which a certificate is renewed.
const RENEW_DAYS: u32 = 30;

/// Who signs.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// The fleet's: services, and clients of databases.
    pub fleet: Authority,
    /// etcd's own: its members and those who may write there. etcd lets everybody in whom its CA
    /// has signed, so a certificate for a database must not come from it.
    pub etcd: Authority,
}

/// What the compiler knows of a certificate authority.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its certificate in PEM.
    pub certificate_pem: String,
    /// SHA-256 of its certificate (DER) in hexadecimal digits.
    pub fingerprint: String,
    /// The private key in PEM, when this very run has made it and apply must write it down.
    pub fresh_key: Option<Secret>,
    /// Where the controller keeps it, such as `files/pki/ca`.
    pub directory: String,
    /// Derived from the private key, for whatever must be secret, stable and the same on all
    /// nodes: the salts of password verifiers.
    pub seed: Secret,
}

/// The name of the pseudo node that stands for the machine Keddah runs on.
pub const CONTROLLER: &str = "controller";

impl Compiler<'_> {
    /// Writes down an authority that this run has made; what trusts it waits for that.
    fn write_down(&mut self, authority: &Authority) -> Option<ResourceId> {
        let key = authority.fresh_key.clone()?;
        let controller = NodeName::new(CONTROLLER);
        let me = (self.input.controller_user.as_str(), self.input.controller_group.as_str());
        let permissions = |mode| Permissions::new(me.0, me.1, mode);
        let path = &authority.directory;
        let directory = self.fleet.add(Resource::new(
            &controller,
            Module::Ca,
            directory::Spec::present(path.clone(), permissions(0o700)),
        ));
        let key = self.fleet.add(
            Resource::new(
                &controller,
                Module::Ca,
                file::Spec::secret(format!("{path}/ca.key"), key, permissions(0o600)),
            )
            .after([directory]),
        );
        // The certificate comes last: an authority whose certificate is there is complete.
        Some(
            self.fleet.add(
                Resource::new(
                    &controller,
                    Module::Ca,
                    file::Spec::text(
                        format!("{path}/ca.crt"),
                        authority.certificate_pem.clone(),
                        permissions(0o644),
                    ),
                )
                .after([key]),
            ),
        )
    }

    /// Writes down authorities that this run has made.
    pub(crate) fn authorities(&mut self) -> Written {
        let authorities = self.input.authorities;
        Written {
            fleet: self.write_down(&authorities.fleet),
            etcd: self.write_down(&authorities.etcd),
        }
    }

    /// Makes a node trust the fleet's authority, and etcd's where it has to do with etcd.
    pub(crate) fn trust(&mut self, node: &Node<'_>, written: &Written) {
        let authorities = self.input.authorities;
        let pki = self.fleet.add(Resource::new(
            &node.name,
            Module::Ca,
            directory::Spec::present("/etc/pki", Permissions::root(0o755)),
        ));
        let file = |path: &str, authority: &Authority, written: &Option<ResourceId>| {
            let text = authority.certificate_pem.clone();
            Resource::new(
                &node.name,
                Module::Ca,
                file::Spec::text(path, text, Permissions::root(0o644)),
            )
            .after([pki.clone()])
            .after(written.clone())
        };
        let certificate = self.fleet.add(file(CA_PATH, &authorities.fleet, &written.fleet));
        self.fleet.add(
            Resource::new(
                &node.name,
                Module::Ca,
                trust_anchor::Spec {
                    anchor: "keddah".to_owned(),
                    certificate: authorities.fleet.certificate_pem.clone(),
                },
            )
            .after([certificate, node.packages.clone()]),
        );
        if self.topology.uses_etcd(&node.name) {
            self.fleet.add(file(ETCD_CA_PATH, &authorities.etcd, &written.etcd));
        }
    }

    /// Rebuilding a system's trust store costs seconds of processor time, and no service of ours
    /// reads it: it comes after everything that does matter on its node.
    pub(crate) fn trust_last(&mut self) {
        let mut units: HashMap<NodeName, Vec<ResourceId>> = HashMap::new();
        for resource in self.fleet.iter().filter(|resource| resource.id.kind == Kind::Unit) {
            units.entry(resource.id.node.clone()).or_default().push(resource.id.clone());
        }
        for (node, units) in units {
            let anchor = ResourceId::new(&node, Kind::TrustAnchor, "keddah");
            if let Some(anchor) = self.fleet.get_mut(&anchor) {
                anchor.after.extend(units);
            }
        }
    }

    /// A certificate for a service on a node.
    pub(crate) fn certificate(
        &self,
        node: &Node<'_>,
        wanted: CertificateFor<'_>,
    ) -> certificate::Spec {
        let CertificateFor { directory, common_name, dns_names, addresses, owner } = wanted;
        let mut dns_names: Vec<String> = dns_names;
        dns_names.extend([common_name, "localhost", &node.hostname].map(str::to_owned));
        let mut addresses: Vec<String> = addresses;
        addresses.extend([node.address.clone(), "127.0.0.1".to_owned()]);
        for names in [&mut dns_names, &mut addresses] {
            names.retain(|name| !name.is_empty());
            names.sort();
            names.dedup();
        }
        certificate::Spec {
            certificate_path: format!("{directory}/server.crt"),
            key_path: format!("{directory}/server.key"),
            common_name: common_name.to_owned(),
            dns_names,
            addresses,
            issuer: self.input.authorities.fleet.fingerprint.clone(),
            authority_path: CA_PATH.to_owned(),
            validity_days: self.certificate_days,
            renew_days: RENEW_DAYS.min(self.certificate_days / 3),
            permissions: Permissions::new(owner, owner, 0o600),
        }
    }

    /// A certificate with which a service on a node is let in by etcd: `etcd.crt` and `etcd.key`. It has
    /// no common name: as soon as logins are asked for, etcd's JSON gateway, through which Patroni speaks,
    /// refuses whoever shows one (`embed/etcd.go` and `etcdhttp`, "CommonName of client sending a request
    /// against gateway will be ignored").
    pub(crate) fn etcd_client_certificate(
        &self,
        directory: &str,
        owner: &str,
    ) -> certificate::Spec {
        certificate::Spec {
            certificate_path: format!("{directory}/etcd.crt"),
            key_path: format!("{directory}/etcd.key"),
            common_name: String::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            issuer: self.input.authorities.etcd.fingerprint.clone(),
            authority_path: ETCD_CA_PATH.to_owned(),
            validity_days: self.certificate_days,
            renew_days: RENEW_DAYS.min(self.certificate_days / 3),
            permissions: Permissions::new(owner, owner, 0o600),
        }
    }
}

/// Files on the controller that trust waits for; none for an authority that was there already.
#[derive(Debug)]
pub(crate) struct Written {
    fleet: Option<ResourceId>,
    etcd: Option<ResourceId>,
}

/// What a certificate is for.
pub(crate) struct CertificateFor<'a> {
    /// Where `server.crt` and `server.key` stand.
    pub directory: &'a str,
    /// The subject's common name, also a DNS name.
    pub common_name: &'a str,
    /// More DNS names.
    pub dns_names: Vec<String>,
    /// More addresses.
    pub addresses: Vec<String>,
    /// The account that reads the key.
    pub owner: &'a str,
}
