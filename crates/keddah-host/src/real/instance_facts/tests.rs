//! Real files: a directory that initdb made, a configuration as Keddah writes it, and lists of
//! backups as pgBackRest 2.5x writes them.

use super::*;
use std::os::unix::fs::{chown, symlink};
use std::process::Command;

const BACKUP_INFO: &str = "[backrest]\nbackrest-format=5\nbackrest-version=\"2.56.0\"\n\n\
    [backup:current]\n\
    20261120-010000F={\"backrest-format\":5,\"backup-timestamp-start\":1763600400,\
    \"backup-timestamp-stop\":1763600500,\"backup-type\":\"full\",\"db-id\":1}\n\
    20261120-010000F_20261121-010000I={\"backup-timestamp-stop\":1763690000,\"db-id\":1}\n\n\
    [db]\ndb-catalog-version=202406281\ndb-control-version=1300\ndb-id=1\n\
    db-system-id=7300000000000000001\ndb-version=\"17\"\n\n\
    [db:history]\n\
    1={\"db-catalog-version\":202406281,\"db-control-version\":1300,\
    \"db-system-id\":7300000000000000001,\"db-version\":\"17\"}\n";

fn probe(directory: &Path) -> InstanceProbe {
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    InstanceProbe {
        cluster: "pg-test".to_owned(),
        account: "postgres".to_owned(),
        data_root: path("data"),
        backup_root: path("backups"),
        repository: Some(path("pg/backup")),
        place: keddah_resource::Place::new(),
    }
}

fn initdb() -> PathBuf {
    let servers = below(Path::new("/usr/lib/postgresql")).unwrap();
    let program = servers.iter().map(|path| path.join("bin/initdb")).rfind(|path| path.exists());
    program.expect("PostgreSQL is not installed")
}

#[tokio::test]
async fn an_instance_is_known_by_its_files() {
    let scratch = tempfile::tempdir().unwrap();
    let postgres = Accounts::read().unwrap().user("postgres").map(|user| (user.uid, user.gid));
    let root = rustix::process::getuid().is_root();
    let real = scratch.path().join("data/pg-test-15");
    fs::create_dir_all(&real).unwrap();
    let initdb = initdb();
    let data = real.join("data");
    let mut command = if root {
        let (uid, gid) = postgres.expect("an account of PostgreSQL's");
        for path in [scratch.path(), &scratch.path().join("data"), &real] {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(&initdb);
        command
    } else {
        Command::new(&initdb)
    };
    let made = command.args(["--no-sync", "-D"]).arg(&data).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    symlink(&real, scratch.path().join("pg")).unwrap();

    let patroni = scratch.path().join("patroni");
    fs::create_dir_all(patroni.join("conf.d")).unwrap();
    let text = format!(
        "# how. Written by Keddah\nscope: pg-test\nnamespace: /pg\nname: pg-test-1\nlog:\n  dir: /x\n\
         postgresql:\n  data_dir: {}/pg/data\n  bin_dir: /y\nwatchdog:\n  mode: \"off\"\n",
        scratch.path().display()
    );
    fs::write(patroni.join("conf.d/10-patroni.yml"), text).unwrap();

    let kept = gather(&patroni, &[probe(scratch.path())]).await.unwrap();
    let [instance] = kept.instances.as_slice() else { panic!("{:?}", kept.instances) };
    assert_eq!(
        (instance.scope.as_str(), instance.namespace.as_str(), instance.name.as_str()),
        ("pg-test", "/pg", "pg-test-1")
    );
    assert_eq!(instance.home.as_deref(), real.to_str());
    let found = instance.data.as_ref().expect("initdb made it");
    assert_eq!(kept.data, std::slice::from_ref(found), "the same one, found by its place");
    assert_eq!(Path::new(&found.path), data.canonicalize().unwrap());
    if root {
        assert_eq!(found.owner, "postgres");
    }

    // PostgreSQL's own program says the same.
    let control = initdb.with_file_name("pg_controldata");
    let said = Command::new(control).env("LC_ALL", "C").arg(&data).output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = |key: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        line.trim().to_owned()
    };
    assert_eq!(found.system_identifier, line("Database system identifier:"));
    assert_eq!(found.timeline.unwrap().to_string(), line("Latest checkpoint's TimeLineID:"));
    assert_eq!(line("Database cluster state:"), "shut down");
    assert!(found.led);
    let position = found.position.unwrap();
    let written = format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff);
    assert_eq!(written, line("Latest checkpoint location:"));
    let version = initdb.parent().and_then(Path::parent).and_then(Path::file_name).unwrap();
    assert_eq!(found.version.unwrap().to_string(), version.to_string_lossy());

    // What pgBackRest has restored waits for its recovery until PostgreSQL takes the file away.
    assert!(!found.restored);
    fs::write(data.join("recovery.signal"), "").unwrap();
    let kept = gather(&patroni, &[probe(scratch.path())]).await.unwrap();
    assert!(kept.instances[0].data.as_ref().is_some_and(|data| data.restored));

    // Lost data is no instance any more; what it was is still told.
    fs::rename(&data, real.join("elsewhere")).unwrap();
    let kept = gather(&patroni, &[probe(scratch.path())]).await.unwrap();
    assert_eq!((kept.instances[0].data.as_ref(), kept.data.len()), (None, 0));
    assert_eq!(kept.instances[0].scope, "pg-test");
}

#[tokio::test]
async fn backups_are_found_once_and_where_nothing_runs() {
    let scratch = tempfile::tempdir().unwrap();
    let probe = probe(scratch.path());
    assert!(local_backups(&probe).unwrap().is_empty(), "a new machine");
    let repository = scratch.path().join("backups/pg-test-17");
    for stanza in ["pg-test", "pg-test-2"] {
        let stanza = repository.join("backup").join(stanza);
        fs::create_dir_all(&stanza).unwrap();
        fs::write(stanza.join("backup.info"), BACKUP_INFO).unwrap();
        for label in ["20261120-010000F", "20261120-010000F_20261121-010000I"] {
            fs::create_dir(stanza.join(label)).unwrap();
            fs::write(stanza.join(label).join("backup.manifest"), "").unwrap();
        }
    }
    fs::create_dir_all(scratch.path().join("backups/pg-test-2-17/backup/pg-test")).unwrap();
    fs::create_dir(scratch.path().join("pg")).unwrap();
    symlink(&repository, scratch.path().join("pg/backup")).unwrap();
    let found = local_backups(&probe).unwrap();
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((found.backups, found.newest), (2, Some(1_763_690_000)));
    assert_eq!(found.systems, ["7300000000000000001"]);
    assert_eq!(found.place, repository.to_string_lossy());

    // What is listed and not there brings nothing back.
    let last = repository.join("backup/pg-test/20261120-010000F_20261121-010000I");
    fs::remove_dir_all(&last).unwrap();
    let found = local_backups(&probe).unwrap();
    assert_eq!((found[0].backups, found[0].newest), (1, Some(1_763_600_500)));

    let encrypted = repository.join("backup/pg-test/backup.info");
    fs::write(&encrypted, [b'S', 0xff, 0, 1]).unwrap();
    let found = local_backups(&probe).unwrap();
    assert_eq!((found.len(), found[0].backups, found[0].systems.len()), (1, 0, 0));
}

#[test]
fn a_control_file_that_is_cut_off_names_no_system() {
    assert_eq!(control_file(&[1, 2, 3]), ControlFile::default());
}

#[test]
fn only_a_device_is_a_watchdog() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("watchdog");
    assert_eq!(watchdog(&path).unwrap(), None);
    fs::write(&path, "").unwrap();
    assert_eq!(watchdog(&path).unwrap(), None, "a file");
    let null = watchdog(Path::new("/dev/null")).unwrap().unwrap();
    assert_eq!((null.owner.as_str(), null.mode), ("root", 0o666));
}
