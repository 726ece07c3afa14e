//! What a machine may do to its servers by itself, on all nodes in the same night.

use super::Finding;
use keddah_core::NodeName;
use keddah_resource::health::{ExpectedCluster, InstalledPackage, NodeHealth, Unattended};

/// What the packages' own units are called, and those of Keddah that run their programs.
const UNITS: [(&str, &str); 6] = [
    ("etcd", "etcd.service"),
    ("etcd-server", "etcd.service"),
    ("haproxy", "haproxy.service"),
    ("keepalived", "keddah-vip.service"),
    ("patroni", "patroni"),
    ("pgbouncer", "pgbouncer"),
];

pub(super) fn judge(
    node: &NodeName,
    health: &NodeHealth,
    clusters: &[ExpectedCluster],
    findings: &mut Vec<Finding>,
) {
    let Some(unattended) = &health.unattended else { return };
    let exposed: Vec<&str> = unattended
        .packages
        .iter()
        .filter(|package| unattended.upgrades && is_exposed(package, unattended))
        .filter(|package| is_used(&package.name, health))
        .map(|package| package.name.as_str())
        .collect();
    if !exposed.is_empty() {
        let list: Vec<String> = exposed.iter().map(|name| format!("\"^{name}$\";")).collect();
        findings.push(Finding::of(
            "unattended-upgrades",
            node.as_str(),
            format!(
                "unattended upgrades may replace and restart {} at any time",
                exposed.join(", ")
            ),
            format!(
                "leave them to a person: `echo 'Unattended-Upgrade::Package-Blacklist {{ {} }};' \
                 >/etc/apt/apt.conf.d/99-no-unattended-servers` there, or `apt-mark hold`",
                list.join(" ")
            ),
        ));
    }
    let own = clusters.iter().flat_map(|cluster| &cluster.members);
    let own = own.filter(|member| member.node == *node);
    let patroni = own.map(|member| member.patroni_unit.as_str());
    let told = health.units.told().into_iter().flatten().map(|unit| unit.unit.as_str());
    let mut restarted: Vec<&str> = told
        .filter(|unit| UNITS.iter().any(|(_, own)| unit.starts_with(own)))
        .chain(patroni)
        .filter(|unit| !unattended.not_restarted.iter().any(|pattern| finds(pattern, unit)))
        .collect();
    restarted.sort_unstable();
    restarted.dedup();
    if unattended.restarts && !restarted.is_empty() {
        let list: Vec<String> = restarted
            .iter()
            .map(|unit| format!("$nrconf{{override_rc}}{{qr(^{})}} = 0;", unit.replace('.', "\\.")))
            .collect();
        findings.push(Finding::of(
            "unattended-upgrades",
            node.as_str(),
            format!(
                "needrestart restarts {} by itself when a library of theirs is upgraded",
                restarted.join(", ")
            ),
            format!(
                "leave that to a person: `echo '{}' >/etc/needrestart/conf.d/99-servers.conf` there",
                list.join(" ")
            ),
        ));
    }
}

/// Whether a package is one of a server that should run here: what is merely installed hurts nobody.
fn is_used(package: &str, health: &NodeHealth) -> bool {
    if package.starts_with("postgresql-") {
        return !health.servers.is_empty();
    }
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == package) else { return true };
    let told = health.units.told().into_iter().flatten();
    told.map(|one| &one.unit).any(|one| one.starts_with(unit))
}

/// Whether an upgrade would touch it: where it is neither held nor left alone, and comes from where upgrades
/// come from. PostgreSQL's own repository and others' mark their versions; the rest is the distribution's.
fn is_exposed(package: &InstalledPackage, unattended: &Unattended) -> bool {
    if package.held || unattended.left_alone.iter().any(|pattern| begins(pattern, &package.name)) {
        return false;
    }
    let version = package.version.to_ascii_lowercase();
    let others: &[&str] = if version.contains("pgdg") {
        &["pgdg", "postgresql", "*"]
    } else if version.contains("pigsty") {
        &["pigsty", "*"]
    } else {
        &[""]
    };
    unattended.origins.iter().any(|origin| {
        let origin = origin.to_ascii_lowercase();
        others.iter().any(|word| match *word {
            "*" => origin == "*" || origin.contains("origin=*"),
            word => origin.contains(word),
        })
    })
}

/// Whether an expression of Python's matches the beginning of a name, as unattended-upgrades asks; only what
/// people write there is understood: the literal part before the first other sign counts.
fn begins(pattern: &str, name: &str) -> bool {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern).replace('\\', "");
    match pattern.strip_suffix('$') {
        Some(whole) if !whole.contains(['.', '*', '[', '(', '+', '?', '|']) => name == whole,
        _ => {
            let end = pattern.find(['*', '[', '(', '+', '?', '|', '$']).unwrap_or(pattern.len());
            name.starts_with(pattern[..end].trim_end_matches('.'))
        }
    }
}

/// Whether an expression of Perl's is found in the name of a unit, as needrestart asks; understood as far.
fn finds(pattern: &str, unit: &str) -> bool {
    if pattern.starts_with('^') {
        return begins(pattern, unit);
    }
    let pattern = pattern.replace('\\', "");
    let end = pattern.find(['*', '[', '(', '+', '?', '|', '$']).unwrap_or(pattern.len());
    unit.contains(pattern[..end].trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood_as_people_write_them() {
        for pattern in ["^postgresql", "postgresql-", "postgresql-17$", "^postgresql-.*", ".*"] {
            assert!(begins(pattern, "postgresql-17"), "{pattern}");
        }
        for pattern in ["postgresql-1$", "^libc6", "sql-17"] {
            assert!(!begins(pattern, "postgresql-17"), "{pattern}");
        }
        assert!(finds("^patroni", "patroni.service") && finds(r"^etcd\.service$", "etcd.service"));
        assert!(finds("bouncer", "pgbouncer.service") && !finds("^bouncer", "pgbouncer.service"));
    }

    #[test]
    fn a_package_of_another_repository_is_upgraded_from_there_only() {
        let of = |version: &str, origin: &str| {
            let package = InstalledPackage {
                name: "postgresql-17".to_owned(),
                version: version.to_owned(),
                held: false,
            };
            let origins = vec![origin.to_owned()];
            is_exposed(&package, &Unattended { origins, ..Unattended::default() })
        };
        let (debian, pgdg) = ("17.6-0+deb13u1", "17.6-1.pgdg13+1");
        assert!(of(debian, "origin=Debian,label=Debian-Security"));
        assert!(!of(pgdg, "origin=Debian,label=Debian-Security"));
        assert!(of(pgdg, "origin=apt.postgresql.org") && of(pgdg, "origin=*"));
    }
}
