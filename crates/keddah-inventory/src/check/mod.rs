//! `keddah check`: everything that is wrong with an inventory, all at once.

mod access;
mod accounts;
mod codes;
mod crontab;
mod directories;
mod durability;
mod effects;
mod extensions;
mod hosts;
mod identity;
mod instances;
mod lockout;
mod names;
mod network;
mod objects;
mod parameters;
mod passwords;
mod pool_logins;
mod remedies;
mod repeated;
mod repository;
mod secrets;
mod secrets_in_text;
mod several_instances;
mod values;
mod vaults;
mod virtual_addresses;

pub use codes::{CODES, LOADING_CODES};
pub use passwords::{is_public_login, is_public_password};
pub use secrets::secret_spans;
pub use secrets_in_text::{plain_spans_in_text, secret_spans_in_text};

use crate::Inventory;
use crate::model::{EtcdCluster, PgCluster, etcd_clusters, pg_clusters};
use keddah_core::{Diagnostic, Severity, SourceMap, Span};
use repeated::Repeated;

/// Checks an inventory that was loaded: parameters, identities, business objects, access, addresses
/// and passwords. In the order of the file, errors and warnings mixed; what has no place comes
/// last.
///
/// Messages never hold a secret. The lines they point at may: mask [`secret_spans`] when printing.
pub fn check(sources: &SourceMap, inventory: &Inventory) -> Vec<Diagnostic> {
    let mut report = Report {
        sources,
        inventory,
        clusters: pg_clusters(inventory),
        etcd: etcd_clusters(inventory),
        diagnostics: Vec::new(),
        repeated: Repeated::default(),
    };
    hosts::check(&mut report);
    parameters::check(&mut report);
    effects::check(&mut report);
    identity::check(&mut report);
    instances::check(&mut report);
    values::check(&mut report);
    crontab::check(&mut report);
    vaults::check(&mut report);
    directories::check(&mut report);
    accounts::check(&mut report);
    objects::check(&mut report);
    access::check(&mut report);
    lockout::check(&mut report);
    pool_logins::check(&mut report);
    extensions::check(&mut report);
    network::check(&mut report);
    virtual_addresses::check(&mut report);
    durability::check(&mut report);
    repository::check(&mut report);
    names::check(&mut report);
    passwords::check(&mut report);
    let mut diagnostics = report.diagnostics;
    report.repeated.tell(&mut diagnostics);
    diagnostics.iter_mut().for_each(remedies::complete);
    diagnostics.sort_by_key(|diagnostic| match &diagnostic.primary {
        Some(label) => (0, Some(label.span)),
        None => (1, None),
    });
    diagnostics
}

/// The inventory under check and what was found.
struct Report<'inventory> {
    sources: &'inventory SourceMap,
    inventory: &'inventory Inventory,
    clusters: Vec<PgCluster<'inventory>>,
    etcd: Vec<EtcdCluster<'inventory>>,
    diagnostics: Vec<Diagnostic>,
    repeated: Repeated,
}

impl Report<'_> {
    /// Adds a diagnostic, unless the same was found before: a shared definition is looked at once
    /// for each cluster that uses it, and told once for all of them.
    fn add(&mut self, diagnostic: Diagnostic) {
        if self.repeated.is_new(&diagnostic, self.diagnostics.len()) {
            self.diagnostics.push(diagnostic);
        }
    }

    fn error(&mut self, code: &'static str, span: Option<Span>, message: impl Into<String>) {
        self.add(Diagnostic::new(Severity::Error, code, span, message));
    }
}

/// Adds a related place where there is one.
fn with_related(diagnostic: Diagnostic, span: Option<Span>, text: &str) -> Diagnostic {
    match span {
        Some(span) => diagnostic.related(span, text),
        None => diagnostic,
    }
}

fn error(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Severity::Error, code, span, message)
}

fn warning(code: &'static str, span: Option<Span>, message: impl Into<String>) -> Diagnostic {
    Diagnostic::new(Severity::Warning, code, span, message)
}
