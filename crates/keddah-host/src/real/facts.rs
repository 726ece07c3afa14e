//! What this machine is.

use super::instance_facts::Kept;
use super::{
    aside, etcd_life, etcd_member, holdings, hostname, instance_facts, ownership, packages, ports,
    sysctl, system, verifiers, wal_end,
};
use crate::HostError;
use crate::command::Command;
use crate::rest::{CA, cluster_facts, patroni_and_wal};
use futures_util::future::join_all;
use keddah_resource::kind::etcd_member::EtcdConnection;
use keddah_resource::{
    Distribution, DoorProbe, ETCD_BOOTSTRAP, EtcdFacts, InstanceFacts, Interface, MemberFacts,
    NodeFacts, PatroniFacts, Probe, SANDBOX_MARK,
};
use rustix::process::{Resource, getrlimit};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Below which Patroni has its configurations, and the file of one that only Keddah writes.
const PATRONI: &str = "/etc/patroni";
pub(super) const CONFIGURATION: &str = "10-patroni.yml";

/// Below which PgBouncer has its own.
const PGBOUNCER: &str = "/etc/pgbouncer";

/// Where Keddah's own units stand.
const UNITS: &str = "/etc/systemd/system";

/// Roots under which the second version of control groups may be found.
const CONTROL_GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// Gathers everything at the same time.
pub(crate) async fn gather(probe: &Probe) -> Result<NodeFacts, HostError> {
    let (
        interfaces,
        Patronis { patroni, members, wal },
        etcd,
        verifiers,
        offered,
        holdings,
        ownership,
        kept,
    ) = tokio::join!(
        interfaces(),
        patroni(probe),
        etcd(probe),
        verifiers::gather(&probe.verifiers),
        system::gather(&probe.system),
        holdings::gather(&probe.holdings),
        ownership::gather(),
        kept_and_offered(probe),
    );
    let uname = rustix::system::uname();
    let (mut kept, package_candidates) = kept?;
    for instance in &mut kept.instances {
        let answers = patroni.iter().position(|patroni| patroni.scope == instance.scope);
        let Some(data) = instance.data.as_mut() else { continue };
        data.wal = match answers.and_then(|at| wal.get(at)) {
            Some(&(timeline, position)) => wal_end::running(data, timeline, position)?,
            None => wal_end::read(data).await?,
        };
    }
    Ok(NodeFacts {
        hostname: hostname::kernel(),
        distribution: distribution(&read("/etc/os-release")?),
        architecture: uname.machine().to_string_lossy().into_owned(),
        cores: cores()?,
        memory_bytes: memory()?,
        sysctl_read_only: sysctl::read_only()?,
        open_files_limit: open_files_limit().await,
        interfaces: interfaces?,
        own_units: own_units(Path::new(UNITS))?,
        ownership: ownership?,
        resolved: leads_to_resolved(Path::new("/etc/resolv.conf")),
        package_candidates,
        patroni,
        members,
        patroni_directories: patroni_directories(Path::new(PATRONI))?,
        etcd,
        etcd_has_data: etcd_has_data(probe)?,
        etcd_life: match &probe.etcd_data {
            Some(directory) => etcd_life::read(Path::new(directory))?,
            None => None,
        },
        etcd_configured: Path::new(ETCD_BOOTSTRAP).exists(),
        asides: aside::gather(&kept.instances)?,
        removed: aside::removed(&probe.removed_in)?,
        ports: ports::gather(Path::new(PATRONI), Path::new(PGBOUNCER), &kept.instances)?,
        instances: kept.instances,
        data: kept.data,
        backups: kept.backups,
        repositories: kept.repositories,
        verifiers: verifiers?,
        system: offered?,
        holdings,
        watchdog: instance_facts::watchdog(Path::new("/dev/watchdog"))?,
        sandbox: sandbox_mark(Path::new(SANDBOX_MARK), 0),
        doors: doors(&probe.doors)?,
    })
}

/// What instances keep, and the candidates of packages on which anything depends beside that.
async fn kept_and_offered(probe: &Probe) -> Result<(Kept, BTreeMap<String, String>), HostError> {
    let kept = instance_facts::gather(Path::new(PATRONI), &probe.instances).await?;
    let mut names: Vec<&String> = probe.packages.iter().collect();
    if !all_have_data(&probe.configurations, &kept.instances) {
        names.extend(&probe.beginning_packages);
    }
    Ok((kept, packages::candidates(&names).await?))
}

/// Whether each of these configurations leads to data of a known version.
fn all_have_data(configurations: &[String], instances: &[InstanceFacts]) -> bool {
    let has_data = |directory: &String| {
        let mut own = instances.iter().filter(|one| one.configuration == *directory);
        own.any(|one| one.data.as_ref().is_some_and(|data| data.version.is_some()))
    };
    configurations.iter().all(has_data)
}

/// Whether `keddah sandbox` has marked this machine: a file, no link, that root owns and nobody else
/// may write.
fn sandbox_mark(path: &Path, root: u32) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|about| about.is_file() && about.uid() == root && about.mode() & 0o022 == 0)
}

/// The files that have the line that is asked for. A file that is not there has none.
fn doors(probes: &[DoorProbe]) -> Result<Vec<String>, HostError> {
    let mut found = Vec::new();
    for DoorProbe { path, line } in probes {
        match fs::read_to_string(path) {
            Ok(text) if text.lines().any(|one| one.trim_end().ends_with(line)) => {
                found.push(path.clone());
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(HostError::path("read", Path::new(path), &error)),
        }
    }
    Ok(found)
}

/// etcd makes the directory `member` when it first starts, and never starts anew where it stands.
fn etcd_has_data(probe: &Probe) -> Result<bool, HostError> {
    let Some(directory) = &probe.etcd_data else { return Ok(false) };
    let path = Path::new(directory).join("member");
    path.try_exists().map_err(|error| HostError::path("look at", &path, &error))
}

fn read(path: &str) -> Result<String, HostError> {
    fs::read_to_string(path).map_err(|error| HostError::path("read", Path::new(path), &error))
}

fn distribution(os_release: &str) -> Distribution {
    let values: BTreeMap<&str, &str> = os_release
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches(['"', '\''])))
        .collect();
    let value = |name| values.get(name).copied().unwrap_or_default().to_owned();
    Distribution {
        id: value("ID"),
        version: value("VERSION_ID"),
        codename: value("VERSION_CODENAME"),
    }
}

/// Processors that may be used: those of the affinity mask, or fewer where the control group has
/// less time than that.
fn cores() -> Result<u32, HostError> {
    let allowed = rustix::thread::sched_getaffinity(None)
        .map_err(|error| HostError::new(format!("cannot count the processors: {error}")))?
        .count();
    let quota = control_group_values("cpu.max").into_iter().filter_map(|text| quota(&text)).min();
    Ok(quota.map_or(allowed, |quota| quota.min(allowed)).max(1))
}

/// `max 100000` or `150000 100000`: time per period; a part of a processor counts as one.
fn quota(text: &str) -> Option<u32> {
    let (time, period) = text.trim().split_once(' ')?;
    let (time, period): (u64, u64) = (time.parse().ok()?, period.parse().ok()?);
    u32::try_from(time.div_ceil(period.max(1))).ok()
}

fn memory() -> Result<u64, HostError> {
    let text = read("/proc/meminfo")?;
    let total = total_memory(&text)
        .ok_or_else(|| HostError::new("/proc/meminfo does not tell the total memory"))?;
    let limits = control_group_values("memory.max");
    let limit = limits.iter().filter_map(|text| text.trim().parse().ok()).min();
    Ok(limit.map_or(total, |limit: u64| limit.min(total)))
}

fn total_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// A limit's values from the root of what this machine sees down to where it runs services.
/// A limit of the session in which this runs, such as one for logins, does not hold for services.
fn control_group_values(file: &str) -> Vec<String> {
    let groups = ["", "init.scope", "system.slice"];
    let paths = CONTROL_GROUPS
        .iter()
        .flat_map(|root| groups.iter().map(move |group| Path::new(root).join(group).join(file)));
    paths.filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// What systemd can give to a service: its own hard limit, unless it may raise it.
async fn open_files_limit() -> u64 {
    let own = || getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    let limits = fs::read_to_string("/proc/1/limits").unwrap_or_default();
    let manager = hard_limit(&limits).unwrap_or_else(own);
    let status = fs::read_to_string("/proc/1/status").unwrap_or_default();
    if may_raise_limits(&status) {
        let most = fs::read_to_string("/proc/sys/fs/nr_open").unwrap_or_default();
        most.trim().parse().unwrap_or(manager).max(manager)
    } else {
        manager
    }
}

fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let hard = line.split_whitespace().nth(1)?;
    if hard == "unlimited" { Some(u64::MAX) } else { hard.parse().ok() }
}

/// CAP_SYS_RESOURCE is bit 24 (capability.h).
fn may_raise_limits(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
    bits.is_some_and(|bits| bits & (1 << 24) != 0)
}

#[derive(Debug, Deserialize)]
struct Link {
    ifname: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Debug, Deserialize)]
struct Address {
    family: String,
    local: String,
    prefixlen: u8,
}

pub(super) async fn interfaces() -> Result<Vec<Interface>, HostError> {
    let text = Command::new("ip").args(["-j", "-4", "addr", "show"]).succeed().await?;
    parse_interfaces(&text)
        .map_err(|error| HostError::new(format!("`ip -j addr` cannot be read: {error}")))
}

fn parse_interfaces(text: &str) -> Result<Vec<Interface>, serde_json::Error> {
    let links: Vec<Link> = serde_json::from_str(text)?;
    let addresses = |link: &Link| {
        let addresses = link.addr_info.iter().filter(|address| address.family == "inet");
        addresses.map(|address| format!("{}/{}", address.local, address.prefixlen)).collect()
    };
    Ok(links
        .into_iter()
        .map(|link| Interface { addresses: addresses(&link), name: link.ifname })
        .collect())
}

fn own_units(directory: &Path) -> Result<Vec<String>, HostError> {
    let failed = |error: std::io::Error| HostError::path("read", directory, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name.starts_with("keddah-") && name.ends_with(".service") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The directories with an instance's configuration; none before Patroni was installed.
pub(super) fn patroni_directories(directory: &Path) -> Result<Vec<String>, HostError> {
    let failed = |error: std::io::Error| HostError::path("read", directory, &error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        // The package's own files stand there, too.
        if entry.file_type().map_err(failed)?.is_dir()
            && entry.path().join(CONFIGURATION).try_exists().map_err(failed)?
        {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The link's own text is enough: before resolved has started, it leads nowhere.
fn leads_to_resolved(path: &Path) -> bool {
    fs::read_link(path)
        .is_ok_and(|target| target.to_string_lossy().contains("run/systemd/resolve/"))
}

/// What the Patronis of a node say.
#[derive(Default)]
struct Patronis {
    /// Of themselves.
    patroni: Vec<PatroniFacts>,
    /// Whom they know.
    members: Vec<MemberFacts>,
    /// The timeline of each one's server, and how far it has come.
    wal: Vec<(Option<u32>, Option<u64>)>,
}

/// What each Patroni says of itself, and whom it knows.
async fn patroni(probe: &Probe) -> Patronis {
    let ca = Path::new(CA).exists().then_some(CA);
    let asked = probe.patroni_ports.iter().map(async |&port| {
        let (facts, wal) = patroni_and_wal(port, ca).await?;
        let members = cluster_facts(port, ca, &facts).await;
        Some((facts, members, wal))
    });
    let mut said = Patronis::default();
    for (patroni, members, wal) in join_all(asked).await.into_iter().flatten() {
        said.patroni.push(patroni);
        said.members.extend(members);
        said.wal.push(wal);
    }
    said
}

async fn etcd(probe: &Probe) -> Option<EtcdFacts> {
    let port = probe.etcd_port?;
    let connection = match &probe.etcd_tls {
        Some([ca, certificate, key]) => EtcdConnection {
            endpoint: format!("https://127.0.0.1:{port}"),
            ca_path: ca.clone(),
            certificate_path: certificate.clone(),
            key_path: key.clone(),
        },
        None => EtcdConnection {
            endpoint: format!("http://127.0.0.1:{port}"),
            ca_path: String::new(),
            certificate_path: String::new(),
            key_path: String::new(),
        },
    };
    etcd_member::facts(&connection).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use keddah_resource::DataFacts;

    #[test]
    fn versions_are_asked_for_until_every_instance_has_data_of_one() {
        let instance = |configuration: &str, version: Option<Option<u32>>| InstanceFacts {
            configuration: configuration.to_owned(),
            data: version.map(|version| DataFacts { version, ..DataFacts::default() }),
            ..InstanceFacts::default()
        };
        let asked = ["pg-a", "pg-b"].map(str::to_owned);
        let all = |instances: &[InstanceFacts]| all_have_data(&asked, instances);
        assert!(all(&[instance("pg-b", Some(Some(17))), instance("pg-a", Some(Some(17)))]));
        assert!(!all(&[instance("pg-a", Some(Some(17)))]), "one is not there");
        assert!(!all(&[instance("pg-a", Some(Some(17))), instance("pg-b", None)]), "has no data");
        let unreadable = instance("pg-b", Some(None));
        assert!(!all(&[instance("pg-a", Some(Some(17))), unreadable]), "its version is unknown");
    }

    #[test]
    fn quotas_round_up_to_whole_processors() {
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota("150000 100000\n"), Some(2));
        assert_eq!(quota("20000 100000\n"), Some(1));
    }

    #[test]
    fn os_release_with_and_without_quotes() {
        let text = "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\nNAME='x'\n";
        let found = distribution(text);
        assert_eq!((found.id.as_str(), found.version.as_str()), ("debian", "13"));
        assert_eq!(found.codename, "trixie");
    }

    #[test]
    fn the_limit_of_open_files_follows_the_right_to_raise_it() {
        let limits = "Max processes  1 2 processes\nMax open files  1024  20000  files\n";
        assert_eq!(hard_limit(limits), Some(20_000));
        assert!(may_raise_limits("Name: x\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_raise_limits("CapEff:\t00000000a80425fb\n"));
    }

    #[test]
    fn only_ipv4_addresses_are_kept() {
        let text = r#"[{"ifname":"eth0","mtu":1500,"addr_info":[
            {"family":"inet","local":"10.10.10.11","prefixlen":24},
            {"family":"inet6","local":"fe80::1","prefixlen":64}]},{"ifname":"lo"}]"#;
        let found = parse_interfaces(text).unwrap();
        assert_eq!(found[0].addresses, ["10.10.10.11/24"]);
        assert!(found[1].addresses.is_empty());
    }

    #[test]
    fn instances_are_found_by_their_configurations() {
        let directory = tempfile::tempdir().unwrap();
        let found = || patroni_directories(&directory.path().join("patroni")).unwrap();
        assert!(found().is_empty(), "Patroni is not installed");
        for name in ["pg-b", "conf.d", "empty"] {
            fs::create_dir_all(directory.path().join("patroni").join(name)).unwrap();
        }
        for path in ["pg-b/10-patroni.yml", "conf.d/10-patroni.yml", "dcs.yml"] {
            fs::write(directory.path().join("patroni").join(path), "").unwrap();
        }
        assert_eq!(found(), ["conf.d", "pg-b"]);
    }

    #[test]
    fn a_sandbox_is_marked_by_root_alone() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mark");
        let me = rustix::process::getuid().as_raw();
        let allow = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(!sandbox_mark(&path, me), "there is none");
        fs::write(&path, "Keddah's sandbox\n").unwrap();
        allow(0o644);
        assert!(sandbox_mark(&path, me));
        assert!(!sandbox_mark(&path, me + 1), "somebody else's");
        allow(0o664);
        assert!(!sandbox_mark(&path, me), "others may write it");
        allow(0o644);
        symlink(&path, directory.path().join("link")).unwrap();
        assert!(!sandbox_mark(&directory.path().join("link"), me), "a link");
    }

    #[test]
    fn a_login_is_there_when_its_line_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets").display().to_string();
        let probe = DoorProbe { path: path.clone(), line: "password: Known.To.All".to_owned() };
        let found = || doors(std::slice::from_ref(&probe)).unwrap();
        assert!(found().is_empty(), "there is no file");
        fs::write(&path, "a:\n  password: Known.To.All.Not\n").unwrap();
        assert!(found().is_empty());
        fs::write(&path, "a:\n  password: Known.To.All\nb: c\n").unwrap();
        assert_eq!(found(), [path]);
    }

    #[tokio::test]
    async fn this_machine_answers() {
        let facts = gather(&Probe::default()).await.unwrap();
        assert!(facts.cores >= 1 && facts.memory_bytes > 1 << 26 && facts.open_files_limit > 100);
        assert!(!facts.distribution.id.is_empty() && !facts.hostname.is_empty());
        let loopback = facts.interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!(loopback.addresses, ["127.0.0.1/8"]);
        assert!(facts.package_candidates.is_empty() && facts.patroni.is_empty());
    }
}
