//! The parameter registry: every parameter's name, type, levels, default and meaning, told once.
//!
//! The inventory's checks, the defaults of [`crate::Params`], the JSON Schema and
//! `docs/parameters.md` all read these tables.

mod aliases;
mod default;
mod defaults;
mod etcd;
mod extra;
mod handle;
mod infra;
mod kind;
mod minio;
mod node;
pub mod parameters;
mod pgsql_access;
mod pgsql_bootstrap;
mod pgsql_identity;
mod redis;
pub mod structures;
mod typecheck;

use crate::Value;
use foldhash::fast::FixedState;
use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

pub use aliases::{aliases, aliases_of, canonical};
pub use default::{Default, value_from_json};
pub use extra::{extra, foreign_family};
pub use handle::{Bytes, Entries, Form, Handle, Named, Reading, Seconds};
pub use kind::ParameterType;
pub use structures::{Field, Structure};
pub use typecheck::{TypeProblem, has_placeholder};
pub(crate) use typecheck::{as_integer, scalar_text};

/// A part of the stack that is set up as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Module {
    /// PostgreSQL with everything around it.
    Pgsql,
    /// Facts of the deployment, the certificate authority, and shared services.
    Infra,
    /// The operating system.
    Node,
    /// The consensus store.
    Etcd,
    /// Redis.
    Redis,
    /// Object storage.
    Minio,
    /// Containers.
    Docker,
    /// Ready-made applications.
    App,
}

impl Module {
    /// The name in capitals, as the reference documents write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pgsql => "PGSQL",
            Self::Infra => "INFRA",
            Self::Node => "NODE",
            Self::Etcd => "ETCD",
            Self::Redis => "REDIS",
            Self::Minio => "MINIO",
            Self::Docker => "DOCKER",
            Self::App => "APP",
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What Keddah does with a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Support {
    /// Acts on it.
    Managed,
    /// Reads and checks it; it has no effect yet.
    Accepted,
    /// Decides itself what the parameter asks, from what is there: one value is what happens anyway,
    /// and the others, which would lose something or break a promise, are not obeyed.
    Decided(&'static Decision),
    /// Belongs to a part of the stack that Keddah does not manage: a warning, not an error.
    Unmanaged,
}

/// What Keddah does whatever a parameter says.
#[derive(Debug, PartialEq)]
pub struct Decision {
    /// The value that says what happens.
    pub value: Default,
    /// What happens, in a sentence.
    pub instead: &'static str,
}

/// Where a parameter is meant to be set: for everything, a cluster, an instance, or one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Levels(&'static str);

impl Levels {
    pub(crate) const G: Self = Self("G");
    pub(crate) const C: Self = Self("C");
    pub(crate) const I: Self = Self("I");
    pub(crate) const A: Self = Self("A");
    pub(crate) const G_A: Self = Self("G/A");
    pub(crate) const G_C: Self = Self("G/C");
    pub(crate) const G_C_A: Self = Self("G/C/A");
    pub(crate) const G_C_I: Self = Self("G/C/I");
    pub(crate) const G_I: Self = Self("G/I");
    pub(crate) const C_I: Self = Self("C/I");
    pub(crate) const I_A: Self = Self("I/A");

    /// The documents' notation, such as `G/C/A`.
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// Whether it may be set under `all.vars`.
    pub fn global(self) -> bool {
        self.0.contains('G')
    }

    /// Whether it may be set for a cluster, in a group's `vars`.
    pub fn cluster(self) -> bool {
        self.0.contains('C')
    }

    /// Whether it may be set for one host.
    pub fn instance(self) -> bool {
        self.0.contains('I')
    }
}

impl fmt::Display for Levels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }
}

/// One parameter of the inventory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name, the key under `vars`.
    pub name: &'static str,
    /// The module it belongs to.
    pub module: Module,
    /// The section within the module; may be empty.
    pub section: &'static str,
    /// What values it takes.
    pub kind: ParameterType,
    /// Where it is meant to be set.
    pub levels: Levels,
    /// Its value when nothing is set.
    pub default: Default,
    /// What it does, in one or two sentences.
    pub description: &'static str,
    /// What Keddah does with it.
    pub support: Support,
}

impl Parameter {
    /// The default as an inventory value; `None` when absent means absent.
    pub fn default_value(&self) -> Option<Value> {
        self.default_ref().cloned()
    }

    /// The default without a copy.
    pub fn default_ref(&self) -> Option<&'static Value> {
        INDEX.get(self.name).and_then(|entry| entry.default.as_ref())
    }

    /// Marks a row of a managed section that has no effect yet.
    const fn accepted(mut self) -> Self {
        self.support = Support::Accepted;
        self
    }

    /// Marks a row of a managed section that Keddah decides itself.
    const fn decided(mut self, decision: &'static Decision) -> Self {
        self.support = Support::Decided(decision);
        self
    }
}

const fn row(
    name: &'static str,
    kind: ParameterType,
    levels: Levels,
    default: Default,
    description: &'static str,
) -> Parameter {
    Parameter {
        name,
        module: Module::App,
        section: "",
        kind,
        levels,
        default,
        description,
        support: Support::Managed,
    }
}

const fn section<const N: usize>(
    module: Module,
    section: &'static str,
    support: Support,
    mut rows: [Parameter; N],
) -> [Parameter; N] {
    let mut index = 0;
    while index < N {
        rows[index].module = module;
        rows[index].section = section;
        // A row that was marked already keeps its mark.
        if matches!(rows[index].support, Support::Managed) {
            rows[index].support = support;
        }
        index += 1;
    }
    rows
}

const SECTIONS: &[&[Parameter]] = &[
    pgsql_identity::PG_ID,
    pgsql_identity::PG_BUSINESS,
    pgsql_identity::PG_INSTALL,
    pgsql_bootstrap::PG_BOOTSTRAP,
    pgsql_bootstrap::PG_PROVISION,
    pgsql_access::PG_BACKUP,
    pgsql_access::PG_ACCESS,
    pgsql_access::PG_MONITOR,
    pgsql_access::PG_REMOVE,
    infra::META,
    infra::CA,
    infra::INFRA_ID,
    infra::REPO,
    infra::INFRA_PACKAGE,
    infra::NGINX,
    infra::DNS,
    infra::VICTORIA,
    infra::PROMETHEUS,
    infra::GRAFANA,
    node::NODE_ID,
    node::NODE_DNS,
    node::NODE_PACKAGE,
    node::NODE_TUNE,
    node::NODE_SEC,
    node::NODE_ADMIN,
    node::NODE_TIME,
    node::NODE_VIP,
    node::HAPROXY,
    node::NODE_EXPORTER,
    node::VECTOR,
    etcd::ETCD,
    redis::REDIS,
    minio::MINIO,
];

struct Entry {
    parameter: &'static Parameter,
    default: Option<Value>,
}

static INDEX: LazyLock<HashMap<&'static str, Entry, FixedState>> = LazyLock::new(|| {
    all()
        .chain(extra())
        .map(|parameter| {
            (parameter.name, Entry { parameter, default: parameter.default.to_value() })
        })
        .collect()
});

/// Every parameter of the reference table, in its order.
pub fn all() -> impl Iterator<Item = &'static Parameter> {
    SECTIONS.iter().flat_map(|section| section.iter())
}

/// A parameter by its name or an older spelling of it, the ones outside the reference table
/// ([`extra`]) included.
pub fn find(name: &str) -> Option<&'static Parameter> {
    INDEX.get(canonical(name)).map(|entry| entry.parameter)
}

/// The known name nearest to a misspelt one, when one is near enough to be meant.
pub fn suggest(name: &str) -> Option<&'static str> {
    nearest(name, all().chain(extra()).map(|parameter| parameter.name))
}

/// The candidate nearest to a text, when one is near enough to be meant: a third of the letters
/// may differ, at least one, at most four.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (text.chars().count() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, candidate)| (*distance, *candidate))
        .map(|(_, candidate)| candidate)
}
