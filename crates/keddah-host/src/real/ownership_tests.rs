//! What another tool leaves on a node, what Keddah leaves, and what packages leave, told apart.

use super::*;

/// What `systemctl show` says of a node that Pigsty has set up.
const PIGSTY: &str = "\
Id=etcd.service
LoadState=loaded
FragmentPath=/etc/systemd/system/etcd.service
DropInPaths=
ExecStart={ path=/usr/bin/etcd ; argv[]=/usr/bin/etcd --config-file /etc/etcd/etcd.conf ; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
MainPID=71
UnitFileState=enabled

Id=patroni.service
LoadState=loaded
FragmentPath=/usr/lib/systemd/system/patroni.service
DropInPaths=/etc/systemd/system/patroni.service.d/limits.conf /etc/systemd/system/patroni.service.d/run.conf
ExecStart={ path=/usr/bin/patroni ; argv[]=/usr/bin/patroni /etc/patroni/patroni.yml ; ignore_errors=no }
MainPID=0
UnitFileState=disabled

Id=haproxy.service
LoadState=not-found
FragmentPath=
MainPID=0
";

fn write(root: &Path, path: &str, text: &str) {
    let path = below(root, path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn service<'a>(facts: &'a OwnershipFacts, unit: &str) -> &'a ServiceFacts {
    facts.services.iter().find(|service| service.unit == unit).expect(unit)
}

fn pigsty() -> BTreeMap<String, Loaded> {
    parse(PIGSTY, |pid| (pid == "71").then(|| "/usr/bin/etcd --config-file x".to_owned()))
}

fn packaged(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn what_systemd_says_is_read() {
    let loaded = pigsty();
    assert_eq!(loaded.keys().collect::<Vec<_>>(), ["etcd.service", "patroni.service"]);
    let etcd = &loaded["etcd.service"];
    assert_eq!(etcd.command, "/usr/bin/etcd --config-file /etc/etcd/etcd.conf");
    assert_eq!(etcd.running.as_deref(), Some("/usr/bin/etcd --config-file x"));
    assert!(etcd.enabled && !loaded["patroni.service"].enabled);
    assert_eq!(loaded["patroni.service"].running, None);
}

#[test]
fn what_another_tool_left_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "/etc/systemd/system/etcd.service", "[Service]\n");
    write(root, "/etc/etcd/etcd.conf", "# Pigsty's etcd\nname: etcd-1\n");
    write(root, "/etc/systemd/system/patroni.service.d/limits.conf", "[Service]\nLimitNOFILE=1\n");
    write(root, "/etc/systemd/system/patroni.service.d/run.conf", "[Service]\nExecStart=\n");
    write(root, "/etc/patroni/patroni.yml", "# Ansible managed\n");
    write(root, "/etc/patroni/dcs.yml", "");
    write(root, "/etc/haproxy/conf.d/pg-test-primary.cfg", "listen pg-test-primary\n");
    write(root, "/etc/haproxy/haproxy.cfg", "global\n");
    write(root, "/etc/dnsmasq.d/pigsty", "");
    let facts = survey(
        root,
        &pigsty(),
        &packaged(&["/usr/lib/systemd/system/patroni.service", "/etc/patroni/dcs.yml"]),
    )
    .unwrap();
    assert_eq!(facts.marks, [""; 0]);
    let etcd = service(&facts, "etcd.service");
    assert_eq!(etcd.foreign_unit.as_deref(), Some("/etc/systemd/system/etcd.service"));
    assert_eq!(etcd.foreign_files, ["/etc/etcd/etcd.conf"]);
    assert_eq!(etcd.makers, ["Pigsty"]);
    let patroni = service(&facts, "patroni.service");
    assert_eq!(patroni.foreign_unit, None);
    assert_eq!(
        patroni.foreign_drop_ins,
        ["/etc/systemd/system/patroni.service.d/run.conf"],
        "limits change nothing of what is started"
    );
    assert_eq!(patroni.foreign_files, ["/etc/patroni/patroni.yml"]);
    assert_eq!(patroni.makers, ["Ansible"]);
    assert_eq!(
        service(&facts, "haproxy.service").foreign_files,
        ["/etc/haproxy/haproxy.cfg", "/etc/haproxy/conf.d/pg-test-primary.cfg"]
    );
    assert_eq!(service(&facts, "dnsmasq.service").makers, ["Pigsty"], "its name says it");
    let asked = unmarked_files(root, &pigsty()).unwrap();
    assert!(asked.contains("/usr/lib/systemd/system/patroni.service"), "{asked:?}");
    assert!(asked.contains("/etc/haproxy/haproxy.cfg"), "{asked:?}");
}

#[test]
fn what_keddah_has_set_up_stays_its_own_whatever_was_done_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    // The unit was copied and edited, and a file of another maker lies beside.
    write(root, "/etc/systemd/system/etcd.service", "# pigsty\n");
    write(root, "/etc/default/etcd", "# Written by Keddah; edit the inventory instead.\n");
    write(root, "/etc/etcd/etcd.conf", "x\n");
    // The first line was deleted; the drop-in is left.
    write(root, "/etc/haproxy/haproxy.cfg", "global\n");
    write(root, "/etc/systemd/system/haproxy.service.d/keddah.conf", "");
    // One instance of several.
    write(root, "/etc/patroni/pg-b/10-patroni.yml", "");
    let facts = survey(root, &pigsty(), &BTreeSet::new()).unwrap();
    assert_eq!(facts.marks, ["/etc/systemd/system/haproxy.service.d/keddah.conf"]);
    for (unit, mark) in [
        ("etcd.service", "/etc/default/etcd"),
        ("haproxy.service", "/etc/systemd/system/haproxy.service.d/keddah.conf"),
        ("patroni.service", "/etc/patroni/pg-b/10-patroni.yml"),
    ] {
        let service = service(&facts, unit);
        assert_eq!(service.marks, [mark]);
        assert_eq!((&service.foreign_unit, &service.foreign_files), (&None, &Vec::new()));
    }
    assert!(unmarked_files(root, &pigsty()).unwrap().is_empty(), "dpkg need not be asked");
}

#[test]
fn what_packages_left_is_nobodys() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    let files = ["/etc/haproxy/haproxy.cfg", "/etc/default/etcd", "/etc/dnsmasq.d/README"];
    for path in files {
        write(root, path, "# the package's\n");
    }
    let facts = survey(root, &BTreeMap::new(), &packaged(&files)).unwrap();
    assert_eq!(facts, OwnershipFacts::default());
    let changed = survey(root, &BTreeMap::new(), &packaged(&files[1..])).unwrap();
    assert_eq!(service(&changed, "haproxy.service").foreign_files, [files[0]]);
}

#[test]
fn what_dpkg_says_is_read() {
    let owners = "diversion by dash from: /bin/sh\nhaproxy: /etc/haproxy/haproxy.cfg\n\
                  a:amd64, b: /lib/systemd/system/c.service\n";
    let pair = |package: &str, path: &str| (package.to_owned(), path.to_owned());
    assert_eq!(
        owners_of(owners),
        [
            pair("haproxy", "/etc/haproxy/haproxy.cfg"),
            pair("a:amd64", "/lib/systemd/system/c.service"),
            pair("b", "/lib/systemd/system/c.service"),
        ]
    );
}

/// Debian's own etcd and Patroni are on this machine, as their packages left them.
#[tokio::test]
async fn units_of_packages_are_known_to_dpkg() {
    let units = ["/usr/lib/systemd/system/patroni.service", "/lib/systemd/system/etcd.service"];
    let asked: BTreeSet<String> = units
        .iter()
        .chain(&["/etc/systemd/nobodys.service"])
        .map(|&path| path.to_owned())
        .collect();
    assert_eq!(super::packaged(&asked).await.unwrap(), packaged(&units));
}

#[test]
fn secrets_on_command_lines_are_not_told() {
    let told = |line: &str| command_line(line.split(' ')).join(" ");
    for line in [
        "/usr/bin/vip-manager --etcd-user=root --etcd-password=p0ison --ip=10.0.0.1",
        "/usr/bin/vip-manager --etcd-password p0ison --ip 10.0.0.1",
        "/usr/bin/other --token p0ison -c /etc/other.yml",
        "/usr/bin/other --dcs-endpoints=http://root:p0ison@10.0.0.1:2379",
        "/usr/bin/other http://p0ison@10.0.0.1:2379/x",
    ] {
        let told = told(line);
        assert!(!told.contains("p0ison") && told.contains("********"), "{told}");
        assert!(told.contains("/usr/bin/"), "{told}");
    }
    let open = "/usr/bin/etcd --config-file /etc/etcd/etcd.conf --key-file=/etc/etcd/key.pem";
    assert_eq!(told(open), open, "names of files are what a person needs");
    let exec = "{ path=/x ; argv[]=/x --password p0ison -f /etc/x ; ignore_errors=no }";
    assert_eq!(arguments(exec), "/x --password ******** -f /etc/x");
}
