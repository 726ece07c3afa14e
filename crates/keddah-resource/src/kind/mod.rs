//! The closed set of resource kinds; the compiler finds every place that a new one touches.

pub mod backup;
pub mod block;
pub mod certificate;
pub mod directory;
pub mod etcd_access;
pub mod etcd_auth;
pub mod etcd_keys;
pub mod etcd_login;
pub mod etcd_member;
pub mod file;
pub mod hostname;
pub mod packages;
pub mod patroni_config;
pub mod pg_baseline;
pub mod pg_census;
pub mod pg_database;
pub mod pg_extension;
pub mod pg_function;
pub mod pg_grants;
pub mod pg_instance;
pub mod pg_privileges;
pub mod pg_role;
pub mod pg_schema;
pub mod pg_settings;
pub mod postmaster;
pub mod stanza;
pub mod symlink;
pub mod sysctl;
pub mod trust_anchor;
pub mod unit;
pub mod user;

use crate::Difference;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What came of looking at a resource. An error to look is neither: see `keddah-host`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// This is what is there.
    Known(Observed),
    /// It cannot be known before something else has happened.
    NotYet {
        /// What has to happen first, for a person: `PostgreSQL does not run yet`.
        because: String,
    },
}

/// What only the controller can make, handed to the node together with the change that needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Material {
    /// A certificate signed by the fleet's CA, and its private key.
    Certificate {
        /// The certificate in PEM.
        certificate: String,
        /// The PKCS#8 private key in PEM.
        #[serde(with = "keddah_core::expose")]
        key: keddah_core::Secret,
    },
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident, $module:ident, $label:literal;)*) => {
        /// Which kind a resource is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        /// What should be. In boxes, because the largest is hundreds of bytes, and most are small.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Spec { $($(#[$doc])* $variant(Box<$module::Spec>),)* }

        /// What is.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Observed { $($(#[$doc])* $variant($module::Observed),)* }

        $(
            impl From<$module::Spec> for Spec {
                fn from(spec: $module::Spec) -> Self { Spec::$variant(Box::new(spec)) }
            }
            impl From<$module::Observed> for Observed {
                fn from(observed: $module::Observed) -> Self { Observed::$variant(observed) }
            }
        )*

        impl fmt::Display for Kind {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(match self { $(Kind::$variant => $label,)* })
            }
        }

        impl Spec {
            /// Which kind it is.
            pub fn kind(&self) -> Kind {
                match self { $(Spec::$variant(_) => Kind::$variant,)* }
            }

            /// Its name among the resources of its kind on a node.
            pub fn name(&self) -> String {
                match self { $(Spec::$variant(spec) => spec.name(),)* }
            }

            /// What must change; `None` when all is as it should be.
            ///
            /// # Panics
            /// When the observation is of another kind: a mistake in the caller.
            pub fn diff(&self, observed: &Observed) -> Option<Difference> {
                match (self, observed) {
                    $((Spec::$variant(spec), Observed::$variant(observed)) => spec.diff(observed),)*
                    _ => panic!("a {} was observed as something else", self.kind()),
                }
            }

            /// What would be observed right after a successful apply; `diff` with it is `None`.
            pub fn settled(&self) -> Observed {
                match self { $(Spec::$variant(spec) => Observed::$variant(spec.settled()),)* }
            }
        }
    };
}

kinds! {
    /// Installed packages.
    Packages, packages, "packages";
    /// An operating system account.
    User, user, "user";
    /// The host name.
    Hostname, hostname, "hostname";
    /// A managed block in a file that others also write to.
    Block, block, "block";
    /// A directory.
    Directory, directory, "directory";
    /// A whole file.
    File, file, "file";
    /// A symbolic link.
    Symlink, symlink, "symlink";
    /// Kernel parameters.
    Sysctl, sysctl, "sysctl";
    /// A certificate and its key.
    Certificate, certificate, "certificate";
    /// A CA that the system trusts.
    TrustAnchor, trust_anchor, "trust-anchor";
    /// A systemd unit.
    Unit, unit, "unit";
    /// A member in etcd's own list.
    EtcdMember, etcd_member, "etcd-member";
    /// What a cluster that is gone has left in etcd.
    EtcdKeys, etcd_keys, "etcd-keys";
    /// etcd's root user, or that etcd asks for logins.
    EtcdAuth, etcd_auth, "etcd-auth";
    /// A cluster's user in etcd, and what it reaches there.
    EtcdAccess, etcd_access, "etcd-access";
    /// That a Patroni has its login for etcd.
    EtcdLogin, etcd_login, "etcd-login";
    /// A PostgreSQL instance under Patroni.
    PgInstance, pg_instance, "pg-instance";
    /// The running postmaster: reloads and restarts.
    Postmaster, postmaster, "postmaster";
    /// The cluster's dynamic configuration in the DCS.
    PatroniConfig, patroni_config, "patroni-config";
    /// A role or user.
    PgRole, pg_role, "pg-role";
    /// A database.
    PgDatabase, pg_database, "pg-database";
    /// A schema.
    PgSchema, pg_schema, "pg-schema";
    /// An extension.
    PgExtension, pg_extension, "pg-extension";
    /// A function with its owner's rights.
    PgFunction, pg_function, "pg-function";
    /// Default privileges and what PUBLIC may do in one database.
    PgPrivileges, pg_privileges, "pg-privileges";
    /// SQL that is run once in a new database.
    PgBaseline, pg_baseline, "pg-baseline";
    /// What nobody declared; reported, never changed.
    PgCensus, pg_census, "pg-census";
    /// Who holds which privileges in a database; looked at, never changed.
    PgGrants, pg_grants, "pg-grants";
    /// A pgBackRest stanza.
    Stanza, stanza, "stanza";
    /// The first full backup.
    Backup, backup, "backup";
}

/// How the node's agent reaches PostgreSQL: over the Unix socket, as the operating system's
/// superuser account, by peer authentication.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PgConnection {
    /// The directory of the socket, such as `/var/run/postgresql`.
    pub socket_directory: String,
    /// The port in the socket's name.
    pub port: u16,
    /// The operating system account and role, such as `postgres`.
    pub superuser: String,
}
