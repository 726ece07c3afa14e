//! What clusters hold that nobody declared, in one note for each cluster.

use crate::Outcome;
use keddah_resource::kind::pg_census;
use keddah_resource::{DesiredFleet, Observed, ResourceId, Spec};
use std::collections::BTreeMap;
use std::fmt::Write;

/// More names than this of one sort hide the rest of the note; the count says the rest.
const NAMED: usize = 5;

/// The undeclared objects of one cluster; what is inside of a database is named with it.
#[derive(Debug, Default)]
struct Found {
    roles: Vec<String>,
    databases: Vec<String>,
    schemas: Vec<String>,
    extensions: Vec<String>,
}

/// What was found in each database that was looked into, with its cluster's name.
pub(crate) fn censuses<'a>(
    desired: &'a DesiredFleet,
    observed: &'a BTreeMap<ResourceId, Outcome>,
) -> impl Iterator<Item = (&'a str, &'a pg_census::Spec, &'a pg_census::Observed)> {
    desired.iter().filter_map(|resource| {
        let Spec::PgCensus(spec) = &resource.spec else { return None };
        let Some(Outcome::Observed(Observed::PgCensus(census))) = observed.get(&resource.id) else {
            return None;
        };
        Some((resource.cluster.as_deref().unwrap_or_default(), &**spec, census))
    })
}

/// One note for each cluster that holds something undeclared, by the clusters' names.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    let mut clusters: BTreeMap<&str, Found> = BTreeMap::new();
    for (cluster, spec, census) in censuses(desired, observed) {
        let found = clusters.entry(cluster).or_default();
        let within = |name: &String| format!("{}.{name}", spec.database);
        found.roles.extend(census.roles.iter().cloned());
        found.databases.extend(census.databases.iter().cloned());
        found.schemas.extend(census.schemas.iter().map(within));
        found.extensions.extend(census.extensions.iter().map(within));
    }
    clusters.into_iter().filter_map(|(cluster, found)| note(cluster, found)).collect()
}

fn note(cluster: &str, found: Found) -> Option<String> {
    let Found { roles, databases, schemas, extensions } = found;
    let sorts =
        [("role", roles), ("database", databases), ("schema", schemas), ("extension", extensions)];
    let parts: Vec<String> = sorts
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(sort, names)| listed(sort, &names))
        .collect();
    if parts.is_empty() {
        return None;
    }
    Some(format!("{cluster} has unmanaged objects, which are left alone: {}", parts.join("; ")))
}

fn listed(sort: &str, names: &[String]) -> String {
    let plural = if names.len() == 1 { "" } else { "s" };
    let mut text = format!("{} {sort}{plural} (", names.len());
    text.push_str(&names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", "));
    if names.len() > NAMED {
        let _ = write!(text, ", …");
    }
    text.push(')');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_folded() {
        let names = |count: usize| (0..count).map(|one| format!("n{one}")).collect::<Vec<_>>();
        assert_eq!(listed("role", &names(1)), "1 role (n0)");
        assert_eq!(listed("role", &names(7)), "7 roles (n0, n1, n2, n3, n4, …)");
        assert_eq!(note("pg-test", Found::default()), None);
        let found = Found { roles: names(2), schemas: vec!["app.old".into()], ..Found::default() };
        assert_eq!(
            note("pg-test", found).as_deref(),
            Some(
                "pg-test has unmanaged objects, which are left alone: 2 roles (n0, n1); \
                 1 schema (app.old)"
            )
        );
    }
}
