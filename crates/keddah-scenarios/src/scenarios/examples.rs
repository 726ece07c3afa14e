//! The two long examples of the concepts document, applied as they are written.

use crate::Suite;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::Keddah;
use crate::postgres::{Login, login, superuser};
use crate::project::Project;
use crate::sandbox::{Image, Sandbox, address};
use crate::world::{Steps, World, step};
use std::time::Duration;

const CUSTOMIZED: &str = include_str!("../../inventories/examples/customized.yml");
const ACCESS_CONTROL: &str = include_str!("../../inventories/examples/access-control.yml");

/// Both call it `cmdb.sql`.
const BASELINE: &str = "CREATE TABLE pigsty.greeting (words text);\n\
                        INSERT INTO pigsty.greeting VALUES ('hello');\n";

/// The address that follows the primary, in both.
const VIRTUAL: &str = "10.10.10.2";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    customized(world)?;
    access_control(world)?;
    world.discard();
    Ok(())
}

/// An example and what belongs to it, as this release can have it.
fn project(world: &World, name: &str, text: &str) -> Outcome<Project> {
    let text = match world.options.suite {
        Suite::Trixie => text.to_owned(),
        // Debian 12 has no package of timescaledb.
        Suite::Bookworm => text
            .replace("              - { name: timescaledb }\n", "")
            .replace(", { name: timescaledb }", "")
            .replace("pg_libs: 'timescaledb, ", "pg_libs: '"),
    };
    let project = world.project(name, &text)?;
    std::fs::create_dir_all(project.directory.join("files"))?;
    std::fs::write(project.directory.join("files/cmdb.sql"), BASELINE)?;
    Ok(project)
}

fn applied(keddah: &Keddah<'_>) -> Outcome {
    keddah.run(&["check"])?.success()?;
    let applied = keddah.apply()?;
    keddah.plan()?.expect_empty().map_err(|failure| failure.with(applied))
}

/// Six databases, seven users, a service of its own, a rule, a virtual address, a crontab.
fn customized(world: &mut World) -> Outcome {
    let project = project(world, "customized", CUSTOMIZED)?;
    let has_timescaledb = world.options.suite == Suite::Trixie;
    let sandbox = world.fresh(Image::Warm, 1)?;
    let keddah = Keddah { sandbox, project: &project };
    step("the customized cluster: checked, applied, nothing left to change", || applied(&keddah))?;
    let mut steps = Steps::default();
    let meta = login("dbuser_meta", "DBUser.Meta", VIRTUAL, 5433, "meta");
    steps.step("extensions and the packages that bring them", || {
        let version = meta.query(sandbox, "SELECT postgis_version()")?;
        ensure!(version.starts_with('3'), "PostGIS is {version}");
        if has_timescaledb {
            let made = "CREATE TABLE seen (at timestamptz NOT NULL, what int); \
                        SELECT create_hypertable('seen', 'at')";
            let answer = meta.query(sandbox, made)?;
            ensure!(answer.contains("seen"), "no hypertable: {answer}");
        }
        Ok(())
    });
    steps.step("every user in the database of its own, and in no other", || {
        let names = ["grafana", "bytebase", "kong", "gitea", "wiki"];
        for (number, name) in names.iter().enumerate() {
            let mut letters = name.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            let password = format!("DBUser.{}{}", first.unwrap_or_default(), letters.as_str());
            let user = format!("dbuser_{name}");
            let to = |database: &str| login(&user, &password, VIRTUAL, 5433, database);
            to(name).query(sandbox, "CREATE TABLE mine (n int); DROP TABLE mine")?;
            let other = names[(number + 1) % names.len()];
            to(other).refused(sandbox, "SELECT 1", "permission denied for database")?;
        }
        let reader = login("dbuser_view", "DBUser.Viewer", VIRTUAL, 5433, "meta");
        let answer = reader.query(sandbox, "SELECT words FROM pigsty.greeting")?;
        ensure!(answer == "hello", "the baseline says {answer}");
        // The rule of its own: without the pool, too.
        let direct = login("dbuser_view", "DBUser.Viewer", &address(1), 5432, "meta");
        let shell = format!(
            "PGPASSWORD=DBUser.Viewer psql -X -A -t -h {} -U dbuser_view meta -c 'SELECT 1'",
            address(1)
        );
        sandbox.shell(1, &shell)?.success()?;
        direct.query(sandbox, "SELECT 1").map(|_| ())
    });
    steps.step("what was said of the database and of the user", || {
        let said = superuser(
            sandbox,
            1,
            "meta",
            "SELECT shobj_description(oid, 'pg_database'), datcollate, \
             pg_encoding_to_char(encoding), pg_get_userbyid(datdba) \
             FROM pg_database WHERE datname = 'meta'; \
             SELECT rolconnlimit, rolvaliduntil > now() + interval '3600 days' \
             FROM pg_roles WHERE rolname = 'dbuser_meta'",
        )?;
        let expected = "pigsty meta database|C|UTF8|postgres\n-1|t";
        ensure!(said == expected, "it is {said}");
        let pool = pools(sandbox)?;
        let line = pool.lines().find(|line| line.starts_with("meta|")).unwrap_or_default();
        ensure!(line == "meta|64|32|0|100|transaction", "the pool has {pool}");
        Ok(())
    });
    steps.step("the service of its own, and the nightly backup", || {
        let answer = sandbox.get(1, 9101, "/metrics")?;
        ensure!(
            answer.contains("haproxy_frontend_status{proxy=\"pg-meta-standby\",state=\"UP\"} 1"),
            "HAProxy has no service pg-meta-standby"
        );
        let crontab = sandbox.shell(1, "cat /etc/cron.d/*")?;
        ensure!(
            crontab.text().contains("00 01 * * * postgres /pg/bin/pg-backup full"),
            "no crontab: {crontab}"
        );
        let command = "cd / && runuser -u postgres -- /pg/bin/pg-backup full";
        sandbox.shell_for(1, command, Duration::from_secs(120))?.success().map(|_| ())
    });
    steps.finish()
}

/// What PgBouncer's console says of its databases: name, sizes, most connections, mode.
fn pools(sandbox: &Sandbox) -> Outcome<String> {
    let console = "cd / && runuser -u postgres -- psql -X -A -F' ' -h /var/run/postgresql -p 6432 \
                   pgbouncer -c 'SHOW DATABASES'";
    let answer = sandbox.shell(1, console)?.success()?;
    let mut lines = answer.text().lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let header = lines.next().unwrap_or_default();
    let wanted =
        ["name", "pool_size", "reserve_pool", "min_pool_size", "max_connections", "pool_mode"];
    // Newer versions say `reserve_pool_size`.
    let places: Vec<usize> = wanted
        .iter()
        .filter_map(|name| {
            header
                .iter()
                .position(|one| one.trim_end_matches("_size") == name.trim_end_matches("_size"))
        })
        .collect();
    ensure!(places.len() == wanted.len(), "the console has {header:?}");
    let rows = lines.map(|row| {
        let cells = places.iter().map(|&place| row.get(place).copied().unwrap_or_default());
        cells.collect::<Vec<_>>().join("|")
    });
    Ok(rows.collect::<Vec<_>>().join("\n"))
}

/// Three nodes for consistency, TLS only, certificates for the admin, and a delayed copy.
fn access_control(world: &mut World) -> Outcome {
    let project = project(world, "access-control", ACCESS_CONTROL)?;
    let sandbox = world.fresh(Image::Warm, 4)?;
    let keddah = Keddah { sandbox, project: &project };
    step("the guarded cluster: checked, applied, nothing left to change", || applied(&keddah))?;
    let leader = primary(sandbox)?;
    let reader = |port| login("dbuser_view", "DBUser.Viewer", VIRTUAL, port, "meta");
    let greeting = "SELECT words FROM pigsty.greeting";
    let mut steps = Steps::default();
    steps.step("every service through the virtual address", || {
        for port in [5433, 5434, 5435, 5436, 5438] {
            let answer = reader(port).tls("require").query(sandbox, greeting)?;
            ensure!(answer == "hello", "{port} answers {answer}");
        }
        Ok(())
    });
    steps.step("server and pool listen on three addresses, the virtual one among them", || {
        for port in [5432, 6432] {
            reader(port).tls("require").query(sandbox, greeting)?;
        }
        let listening = sandbox.shell(leader, "ss -ltnH '( sport = :5432 or sport = :6432 )'")?;
        let mut found: Vec<&str> =
            listening.text().lines().filter_map(|line| line.split_whitespace().nth(3)).collect();
        found.sort_unstable();
        let own = address(leader);
        let mut wanted: Vec<String> = [own.as_str(), VIRTUAL, "127.0.0.1"]
            .iter()
            .flat_map(|place| [5432, 6432].map(|port| format!("{place}:{port}")))
            .collect();
        wanted.sort_unstable();
        ensure!(found == wanted, "they listen on {found:?}");
        Ok(())
    });
    steps.step("without TLS nobody comes in", || {
        for port in [5432, 5433, 5436, 6432] {
            let login = reader(port).tls("disable");
            let answer = login.attempt(sandbox, "SELECT 1")?;
            ensure!(answer.code != Some(0), "{port} takes a plain connection");
        }
        Ok(())
    });
    steps.step("the admin comes in by certificate alone; weak passwords do not", || {
        let admin = login("dbuser_dba", "DBUser.DBA", &address(leader), 5432, "meta");
        admin.refused(sandbox, "SELECT 1", "valid client certificate")?;
        let issue = ["cert", "issue", "--cn", "dbuser_dba"];
        let issued = keddah.run(&issue)?.success()?;
        let admin = certified(&admin, &project, issued.text());
        admin.query(sandbox, "SELECT 1")?;
        let weak = "ALTER ROLE dbuser_view PASSWORD 'short'";
        admin.refused(sandbox, weak, "password is too short")
    });
    steps.step("Patroni answers over TLS only", || {
        let script = format!(
            "curl -s -o /dev/null -w '%{{http_code}}' --cacert /etc/pki/ca.crt \
             https://{}:8008/liveness; ! curl -s --max-time 5 http://{}:8008/liveness",
            address(leader),
            address(leader)
        );
        let answer = sandbox.shell(leader, &script)?.success()?;
        ensure!(answer.text().starts_with("200"), "{answer}");
        Ok(())
    });
    steps.step("the copy is an hour behind", || {
        let delay = superuser(sandbox, 4, "postgres", "SHOW recovery_min_apply_delay")?;
        ensure!(delay == "1h", "its delay is {delay}");
        let writer = login("dbuser_meta", "DBUser.Meta", VIRTUAL, 5433, "meta").tls("require");
        writer.query(sandbox, "SET ROLE dbrole_admin; CREATE TABLE late AS SELECT 1 AS n")?;
        let position = superuser(sandbox, leader, "meta", "SELECT pg_current_wal_lsn()")?;
        wait_until("the copy has received it", Duration::from_secs(30), || {
            let received = format!("SELECT pg_last_wal_receive_lsn() >= '{position}'");
            let answer = superuser(sandbox, 4, "postgres", &received)?;
            ensure!(answer == "t", "it has not");
            Ok(())
        })?;
        let seen = superuser(sandbox, 4, "meta", "SELECT to_regclass('late') IS NULL")?;
        ensure!(seen == "t", "it was replayed at once");
        Ok(())
    });
    steps.finish()
}

/// The node that leads, once both replicas and the copy follow it. Patroni is asked by nobody here:
/// it takes TLS only.
fn primary(sandbox: &Sandbox) -> Outcome<u8> {
    let followers = "SELECT string_agg(application_name, ' ' ORDER BY application_name) \
                     FROM pg_stat_replication WHERE state = 'streaming'";
    wait_until("two replicas and a copy follow", Duration::from_secs(60), || {
        for node in 1..=3 {
            if superuser(sandbox, node, "postgres", "SELECT pg_is_in_recovery()")? == "f" {
                let found = superuser(sandbox, node, "postgres", followers)?;
                ensure!(
                    found.split(' ').count() == 3 && found.contains("pg-meta-delay-1"),
                    "node {node} is followed by {found}"
                );
                return Ok(node);
            }
        }
        Err(Failure::new("nobody leads"))
    })
}

fn certified(login: &Login, project: &Project, files: &str) -> Login {
    let mut login = login.clone().tls("verify-full");
    let root = format!("sslrootcert={}", project.authority().display());
    login = login.option(&root);
    for (option, file) in ["sslcert", "sslkey"].iter().zip(files.lines()) {
        login = login.option(&format!("{option}={}", project.directory.join(file).display()));
    }
    login
}
