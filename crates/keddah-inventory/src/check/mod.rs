//! `keddah check`: everything that is wrong with an inventory, all at once.

mod access;
mod codes;
mod durability;
mod effects;
mod identity;
mod instances;
mod lockout;
mod names;
mod network;
mod objects;
mod parameters;
mod passwords;
mod secrets;
mod several_instances;
mod virtual_addresses;

pub use codes::{CODES, LOADING_CODES};
pub use passwords::{is_public_login, is_public_password};
pub use secrets::{secret_spans, secret_spans_in_text};

use crate::Inventory;
use crate::model::{EtcdCluster, PgCluster, etcd_clusters, pg_clusters};
use keddah_core::{Diagnostic, Severity, SourceMap, Span};
use std::collections::HashSet;

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
        seen: HashSet::new(),
    };
    parameters::check(&mut report);
    effects::check(&mut report);
    identity::check(&mut report);
    instances::check(&mut report);
    objects::check(&mut report);
    access::check(&mut report);
    lockout::check(&mut report);
    network::check(&mut report);
    virtual_addresses::check(&mut report);
    durability::check(&mut report);
    names::check(&mut report);
    passwords::check(&mut report);
    let mut diagnostics = report.diagnostics;
    diagnostics.sort_by_key(|diagnostic| match &diagnostic.primary {
        Some(label) => (0, Some(label.span)),
        None => (1, None),
    });
    diagnostics
}

/// What makes two diagnostics the same: the code and the places.
type Identity = (&'static str, Option<Span>, Vec<Span>);

/// The inventory under check and what was found.
struct Report<'inventory> {
    sources: &'inventory SourceMap,
    inventory: &'inventory Inventory,
    clusters: Vec<PgCluster<'inventory>>,
    etcd: Vec<EtcdCluster<'inventory>>,
    diagnostics: Vec<Diagnostic>,
    seen: HashSet<Identity>,
}

impl Report<'_> {
    /// Adds a diagnostic, unless the same was found before: a shared definition is looked at once
    /// for each cluster that uses it.
    fn add(&mut self, diagnostic: Diagnostic) {
        let place = diagnostic.primary.as_ref().map(|label| label.span);
        let related = diagnostic.related.iter().map(|label| label.span).collect();
        let placed = place.is_some();
        if !placed || self.seen.insert((diagnostic.code, place, related)) {
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
