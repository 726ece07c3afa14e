//! `pg_packages`: what an inventory wants installed beside that which Keddah cannot do without.

use crate::compiler::{Problem, problem};
use crate::node::words;
use crate::release::extension_package;
use keddah_inventory::{Params, parameters};

/// Aliases for PostgreSQL and its companions, all of which Keddah installs anyway; backups, pools and
/// Patroni go by their own names, too.
const ALWAYS: &[&str] = &[
    "pgsql",
    "pgsql-basic",
    "pgsql-common",
    "pgsql-core",
    "pgsql-main",
    "pgsql-mini",
    "postgresql",
    "postgresql-client",
    "postgresql-server",
];

/// Aliases that stand for packages which Keddah does not install of itself.
const FURTHER: &[(&str, &[&str])] = &[
    ("pgsql-client", &["postgresql-client-$v"]),
    ("pgsql-devel", &["postgresql-server-dev-$v"]),
    ("pgsql-pltcl", &["postgresql-pltcl-$v"]),
    ("pgsql-plperl", &["postgresql-plperl-$v"]),
    ("pgsql-plpython", &["postgresql-plpython3-$v"]),
    (
        "pgsql-full",
        &[
            "postgresql-plperl-$v",
            "postgresql-plpython3-$v",
            "postgresql-pltcl-$v",
            "postgresql-server-dev-$v",
        ],
    ),
];

/// The packages that `pg_packages` names beside those that are installed anyway.
pub(super) fn further(params: &Params<'_>, version: u32) -> Result<Vec<String>, Problem> {
    let mut names = Vec::new();
    for word in params.get(parameters::PG_PACKAGES).iter().flat_map(|line| words(line)) {
        if ALWAYS.contains(&word.as_str()) {
            continue;
        }
        let of_version =
            |name: &str| name.replace("${pg_version}", "$v").replace("$v", &version.to_string());
        if let Some((_, packages)) = FURTHER.iter().find(|(alias, _)| *alias == word) {
            names.extend(packages.iter().map(|name| of_version(name)));
            continue;
        }
        let name = extension_package(&word, version).unwrap_or_else(|| of_version(&word));
        // Debian policy, 5.6.1; a pattern would install whatever it meets.
        let plain = |letter: char| {
            letter.is_ascii_lowercase()
                || letter.is_ascii_digit()
                || matches!(letter, '+' | '-' | '.')
        };
        if name.starts_with("pgsql-") || !name.chars().all(plain) {
            let message = format!(
                "`{word}` in `pg_packages` is neither an alias that is known here nor a name of a package"
            );
            let known: Vec<&str> = ["pgsql-main", "pgsql-common"]
                .into_iter()
                .chain(FURTHER.iter().map(|(alias, _)| *alias))
                .collect();
            return Err(Box::new(
                problem("unknown-package", params.span(parameters::PG_PACKAGES), message).help(
                    format!(
                        "aliases are {}; other packages go by Debian's names",
                        known.join(", ")
                    ),
                ),
            ));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::further;
    use keddah_core::SourceMap;
    use keddah_inventory::Params;

    fn of(vars: &str) -> Result<Vec<String>, String> {
        let text = format!("all: {{ hosts: {{ h: {{ {vars} }} }} }}\n");
        let mut sources = SourceMap::default();
        let (inventory, problems) = keddah_inventory::load(&mut sources, "t.yml", text.as_bytes());
        assert!(problems.is_empty(), "{problems:?}");
        further(&Params::new(&inventory.unwrap(), &"h".into()), 17)
            .map_err(|problem| problem.message.clone())
    }

    #[test]
    fn aliases_are_known_and_names_are_installed() {
        assert_eq!(of(""), Ok(vec![]), "the default is what is installed anyway");
        assert_eq!(
            of(
                "pg_packages: [ 'pgsql-main pgsql-common', 'pgsql-plpython, pgvector', postgresql-$v-repack, jq ]"
            ),
            Ok(["postgresql-plpython3-17", "postgresql-17-pgvector", "postgresql-17-repack", "jq"]
                .map(str::to_owned)
                .to_vec())
        );
    }

    #[test]
    fn what_is_neither_is_an_error() {
        for word in ["pgsql-mian", "postgresql-17-*", "$(reboot)"] {
            let message = of(&format!("pg_packages: [ '{word}' ]")).expect_err(word);
            assert!(message.contains(word), "{message}");
        }
    }
}
