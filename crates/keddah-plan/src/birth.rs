//! What a cluster was made with, where the inventory says otherwise: no apply changes that.

use crate::Outcome;
use crate::undeclared::censuses;
use keddah_resource::{DesiredFleet, ResourceId};
use std::collections::BTreeMap;

/// One note for each cluster and parameter that came too late.
pub(crate) fn notes(
    desired: &DesiredFleet,
    observed: &BTreeMap<ResourceId, Outcome>,
) -> Vec<String> {
    censuses(desired, observed)
        .filter_map(|(cluster, spec, census)| {
            Some(too_late(cluster, &spec.server.as_ref()?.birth, &census.birth))
        })
        .flatten()
        .collect()
}

fn too_late(
    cluster: &str,
    declared: &BTreeMap<String, String>,
    made: &BTreeMap<String, String>,
) -> Vec<String> {
    let differs = |name: &String, wanted: &String| {
        made.get(name).filter(|present| spelled_alike(present) != spelled_alike(wanted))
    };
    declared
        .iter()
        .filter_map(|(name, wanted)| {
            let present = differs(name, wanted)?;
            let advice = match name.as_str() {
                "pg_checksum" => {
                    "PostgreSQL's pg_checksums switches it while every instance is stopped"
                }
                _ => "a database of its own can have another (pg_databases)",
            };
            Some(format!(
                "{cluster} was made with {name}: {present} and keeps it, whatever the inventory \
                 says ({wanted}): it counts only when a cluster is made; {advice}"
            ))
        })
        .collect()
}

/// `en_US.UTF-8` and `en_US.utf8` are one locale.
fn spelled_alike(value: &str) -> String {
    value.to_lowercase().replace('-', "")
}

#[cfg(test)]
mod tests {
    use super::too_late;
    use std::collections::BTreeMap;

    fn of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_came_too_late_is_told_with_what_to_do() {
        let made = of(&[("pg_checksum", "off"), ("pg_lc_collate", "en_US.utf8")]);
        let declared = of(&[("pg_checksum", "on"), ("pg_lc_collate", "en_US.UTF-8")]);
        let notes = too_late("pg-test", &declared, &made);
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("pg-test was made with pg_checksum: off"), "{notes:?}");
        assert!(notes[0].contains("pg_checksums"), "{notes:?}");
        assert!(too_late("pg-test", &declared, &BTreeMap::new()).is_empty(), "not looked at");
    }
}
