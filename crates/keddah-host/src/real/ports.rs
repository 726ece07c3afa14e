//! Where the instances of this machine are configured to listen: services that lead to another place are
//! led there when they do, and not before.

use super::instance_facts::found;
use crate::HostError;
use keddah_resource::{InstanceFacts, PortFacts};
use std::fs;
use std::path::Path;

/// The configuration of a node's only instance, whose pool has no directory of its own.
const PLAIN: &str = "conf.d";

/// Reads the files of each instance.
///
/// # Errors
/// When one is there and cannot be read.
pub(super) fn gather(
    patroni: &Path,
    pgbouncer: &Path,
    instances: &[InstanceFacts],
) -> Result<Vec<PortFacts>, HostError> {
    let mut ports = Vec::new();
    for instance in instances {
        let own = &instance.configuration;
        let pool = if own == PLAIN { pgbouncer.to_owned() } else { pgbouncer.join(own) };
        ports.push(PortFacts {
            cluster: instance.scope.clone(),
            server: port(&patroni.join(own).join("20-listen.yml"), "connect_address:")?,
            pool: port(&pool.join("listen.ini"), "listen_port =")?,
        });
    }
    Ok(ports)
}

/// The port at the end of the line that begins so.
fn port(path: &Path, key: &str) -> Result<Option<u16>, HostError> {
    let text = found(path, fs::read_to_string(path))?.unwrap_or_default();
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key));
    let value = value.map(|value| value.trim().trim_matches(['"', '\'']));
    Ok(value.and_then(|value| value.rsplit(':').next()?.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_from_the_files_of_each_instance() {
        let scratch = tempfile::tempdir().unwrap();
        let (patroni, pgbouncer) = (scratch.path().join("patroni"), scratch.path().join("pool"));
        let one = |configuration: &str| InstanceFacts {
            configuration: configuration.to_owned(),
            scope: format!("of-{configuration}"),
            ..InstanceFacts::default()
        };
        let found = || gather(&patroni, &pgbouncer, &[one("conf.d"), one("pg-b")]).unwrap();
        assert_eq!((found()[0].server, found()[1].pool), (None, None), "nothing is there");
        for (path, text) in [
            (patroni.join("conf.d"), ""),
            (patroni.join("pg-b"), ""),
            (pgbouncer.join("pg-b"), ""),
            (
                patroni.join("conf.d/20-listen.yml"),
                "# x\npostgresql:\n  listen: \"0.0.0.0:1\"\n  connect_address: 10.10.10.11:5432\n",
            ),
            (patroni.join("pg-b/20-listen.yml"), "  connect_address: '10.10.10.11:5433'\n"),
            (pgbouncer.join("listen.ini"), "listen_addr = 0.0.0.0\nlisten_port = 6432\n"),
            (pgbouncer.join("pg-b/listen.ini"), "listen_port = 6433\n"),
        ] {
            if text.is_empty() {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::write(path, text).unwrap();
            }
        }
        let ports = |cluster: &str, server, pool| PortFacts {
            cluster: cluster.to_owned(),
            server: Some(server),
            pool: Some(pool),
        };
        assert_eq!(found(), [ports("of-conf.d", 5432, 6432), ports("of-pg-b", 5433, 6433)]);
    }
}
