//! Every way into a cluster: connection strings with real clients, and changes of rules, pools,
//! services and TLS, with sessions held open that none of them may end.

use crate::Suite;
use crate::cluster::wait_healthy;
use crate::command::{Output, run as run_command, wait_until};
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::load::{Load, Session};
use crate::postgres::login;
use crate::processes::{expect_same, processes};
use crate::sandbox::{Sandbox, address};
use crate::world::{Steps, World, step};
use std::path::Path;
use std::time::Duration;

const PYTHON: &str = include_str!("../../clients/connect.py");
const JAVA: &str = include_str!("../../clients/Connect.java");

/// Where Debian's libpostgresql-jdbc-java has the driver.
const JDBC: &str = "/usr/share/java/postgresql.jar";

/// Where the inventory of pg-test takes more lines.
const CLUSTER: &str = "        pg_cluster: pg-test\n";

/// Where the inventory takes another group.
const GROUPS: &str = "    pg-test:\n";

/// A virtual machine of Java takes its time to start on a busy one.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let inventory = world.demo_inventory()?;
    let prepared = world.options.suite == Suite::Trixie;
    let (sandbox, project) = world.demo()?;
    project.write(&inventory)?;
    let keddah = Keddah { sandbox, project };
    keddah.apply()?;
    let before = wait_healthy(sandbox, 2, 3, Duration::from_secs(30))?;
    let leads = address(before.node);
    step("every connection string, with psql", || strings(sandbox, &leads))?;
    step("a Python driver: single hosts, several hosts", || {
        let clients = clients(&project.directory)?;
        let mut python = sandbox.within("/usr/bin/python3");
        python.arg(clients.join("connect.py")).arg(if prepared { "prepare" } else { "plain" });
        let several = several(6432);
        python.args([
            format!("postgresql://test:test@{}:5433/test", address(3)),
            format!("postgresql://test:test@{}:5434/test", address(3)),
            format!("postgresql://test:test@{several}/test?target_session_attrs=primary"),
            format!("postgresql://test:test@{several}/test?target_session_attrs=prefer-standby"),
        ]);
        answers(&run_command(&mut python, PATIENCE)?.success()?)
    })?;
    step("a JDBC driver: single hosts, several hosts", || {
        let clients = clients(&project.directory)?;
        let mut java = sandbox.within("java");
        java.args(["-XX:TieredStopAtLevel=1", "-cp", JDBC]).arg(clients.join("Connect.java"));
        let several = several(6432);
        let rest = if prepared { "" } else { "&prepareThreshold=0" };
        let rest = format!("user=test&password=test{rest}");
        java.args([
            format!("jdbc:postgresql://{}:5433/test?{rest}", address(3)),
            format!("jdbc:postgresql://{}:5434/test?{rest}", address(3)),
            format!("jdbc:postgresql://{several}/test?targetServerType=primary&{rest}"),
            format!("jdbc:postgresql://{several}/test?targetServerType=preferSecondary&{rest}"),
        ]);
        answers(&run_command(&mut java, PATIENCE)?.success()?)
    })?;

    let through = |port: u16| format!("postgres://test:test@{}:{port}/test", address(3));
    let service = Load::start(sandbox, &through(5433), "held_by_service", Session::Lasting)?;
    let pool_url = format!("postgres://test:test@{leads}:6432/test");
    let pool = Load::start(sandbox, &pool_url, "held_by_pool", Session::Lasting)?;
    // One step stops Patroni on node-4.
    let look = || processes(sandbox, 2..=3);
    let running = look()?;
    let mut steps = Steps::default();
    steps.step("access rules: who gains and who loses is said, and is so", || rules(&keddah));
    steps.step("rules that lock Keddah or replication out are refused", || locked_out(&keddah));
    steps.step("a client certificate opens what `cert` guards", || certificates(&keddah, &leads));
    steps.step("roles made by hand pass the pool while it looks them up", || {
        looked_up(&keddah, &leads)
    });
    steps.step("pools: who is let in, with which options", || pools(&keddah));
    steps.step("the pool under TLS, by every name and address", || pool_tls(&keddah));
    steps.step("services in both syntaxes, and dedicated load balancers", || services(&keddah));
    steps.step("Patroni under TLS and back, new connections all the while", || {
        let each = Load::start(sandbox, &through(5433), "while_tls", Session::PerTransaction)?;
        let result = patroni_tls(&keddah, &leads);
        let record = each.finish()?;
        result?;
        ensure!(record.failures == 0, "{record}: {:?}", record.errors);
        Ok(())
    });
    steps.step("the sessions held open have noticed nothing", || {
        for record in [service.finish()?, pool.finish()?] {
            ensure!(record.failures == 0 && record.lost == 0, "{record}: {:?}", record.errors);
        }
        expect_same(&running, &look()?, &["haproxy"])
    });
    steps.step("without a pool, its services lead to PostgreSQL", || without_pool(&keddah));
    project.write(&inventory)?;
    steps.step("back to the inventory as it was", || {
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    });
    steps.finish()
}

/// The three members of pg-test with a port, as drivers take several hosts.
fn several(port: u16) -> String {
    (2..=4).map(|node| format!("{}:{port}", address(node))).collect::<Vec<_>>().join(",")
}

/// Writes the clients' programs down.
fn clients(directory: &Path) -> Outcome<std::path::PathBuf> {
    let clients = directory.join("clients");
    std::fs::create_dir_all(&clients)?;
    std::fs::write(clients.join("connect.py"), PYTHON)?;
    std::fs::write(clients.join("Connect.java"), JAVA)?;
    Ok(clients)
}

/// Both drivers are given the same four strings.
fn answers(output: &Output) -> Outcome {
    let expected = "test primary\ntest replica\ntest primary\ntest replica";
    ensure!(output.text() == expected, "the answers are not as expected: {output}");
    Ok(())
}

/// The combinations of the services document, by addresses.
fn strings(sandbox: &Sandbox, leads: &str) -> Outcome {
    let ask = |url: &str| -> Outcome<String> {
        let mut psql = sandbox.within("psql");
        psql.args(["-X", "-A", "-t", "-c", "SELECT current_user, pg_is_in_recovery()", url]);
        psql.env("PGCONNECT_TIMEOUT", "10");
        Ok(run_command(&mut psql, PATIENCE)?.success()?.text().to_owned())
    };
    for host in (2..=4).map(address) {
        let own = if host == leads { "f" } else { "t" };
        for (user, password, port, replica) in [
            ("test", "test", 5432, own),
            ("test", "test", 6432, own),
            ("test", "test", 5433, "f"),
            ("test", "test", 5434, "t"),
            ("dbuser_dba", "DBUser.DBA", 5436, "f"),
            ("dbuser_view", "DBUser.Viewer", 5438, "t"),
        ] {
            let url = format!("postgres://{user}:{password}@{host}:{port}/test");
            let answer = ask(&url)?;
            ensure!(answer == format!("{user}|{replica}"), "{host}:{port} answers {answer}");
        }
    }
    for port in [5432, 6432] {
        for (attribute, replica) in [("primary", "f"), ("read-write", "f"), ("prefer-standby", "t")]
        {
            let several = several(port);
            let url =
                format!("postgres://test:test@{several}/test?target_session_attrs={attribute}");
            let answer = ask(&url)?;
            ensure!(answer == format!("test|{replica}"), "{attribute} on {port}: {answer}");
        }
    }
    Ok(())
}

fn rules(keddah: &Keddah<'_>) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let rules = "        pg_hba_rules:\n\
        \x20         - { user: dbuser_view, db: all, addr: 10.10.10.1, auth: deny, title: not from the desk, order: 50 }\n\
        \x20         - { user: test, db: test, addr: world, auth: ssl, title: its owner from everywhere }\n\
        \x20         - { user: dbuser_view, db: test, addr: intra, auth: cert, title: shadowed }\n";
    project.edit(CLUSTER, &format!("{CLUSTER}{rules}"))?;
    let shown = keddah.run(&["plan"])?.expect(&[2])?;
    says(&shown, "+ role test to database test from anywhere with a password over TLS")?;
    says(&shown, "- role dbuser_view to all databases from 10.10.10.1 with a password")?;
    keddah.change(&[
        expected("file", "pg_hba.conf").times(3).action("update"),
        expected("postmaster", "pg-test-").times(3).class("reload"),
    ])?;
    let viewer = login("dbuser_view", "DBUser.Viewer", &address(3), 5432, "test");
    viewer.refused(sandbox, "SELECT 1", "pg_hba.conf rejects")?;
    project.edit(
        "auth: deny, title: not from the desk, order: 50",
        "auth: deny, title: not from the desk",
    )?;
    let shown = keddah.run(&["plan"])?.expect(&[2])?;
    says(&shown, "+ role dbuser_view to all databases from 10.10.10.1 with a password")?;
    project.edit(rules.replace(", order: 50", "").as_str(), "")?;
    keddah.apply()?;
    viewer.query(sandbox, "SELECT 1").map(|_| ())
}

fn locked_out(keddah: &Keddah<'_>) -> Outcome {
    let project = keddah.project;
    for rule in [
        "{ user: all, db: all, addr: local, auth: deny, title: nobody, order: 1 }",
        "{ user: '+dbrole_readonly', db: replication, addr: 10.10.10.0/24, auth: deny, order: 1 }",
    ] {
        let rules = format!("        pg_hba_rules:\n          - {rule}\n");
        project.edit(CLUSTER, &format!("{CLUSTER}{rules}"))?;
        for command in [&["check"][..], &["plan"], &["apply", "--yes"]] {
            let refused = keddah.run(command)?;
            ensure!(refused.code == Some(1), "not refused: {refused}");
            says(&refused, "locked-out")?;
        }
        project.edit(&rules, "")?;
    }
    keddah.plan()?.expect_empty()
}

fn certificates(keddah: &Keddah<'_>, leads: &str) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let rules = "        pg_hba_rules:\n          - { user: '${admin}', db: all, addr: world, auth: cert, order: 1 }\n";
    project.edit(CLUSTER, &format!("{CLUSTER}{rules}"))?;
    keddah.apply()?;
    let issued = keddah.run(&["cert", "issue", "--cn", "dbuser_dba", "--force"])?.success()?;
    let files: Vec<&str> = issued.text().lines().collect();
    ensure!(files.len() == 2, "no certificate: {issued}");
    let root = project.authority();
    let with = |user: &str, password: &str| {
        login(user, password, leads, 5432, "test")
            .tls("verify-full")
            .option(&format!("sslrootcert={}", root.display()))
    };
    let pair = format!(
        "sslcert={} sslkey={}",
        project.directory.join(files[0]).display(),
        project.directory.join(files[1]).display()
    );
    let sql = "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let answer = with("dbuser_dba", "").option(&pair).query(sandbox, sql)?;
    ensure!(answer.contains("dbuser_dba"), "the server knows the client as {answer}");
    with("dbuser_dba", "DBUser.DBA").refused(sandbox, sql, "valid client certificate")?;
    // Another role is not let in by it.
    with("test", "").option(&pair).refused(sandbox, sql, "no password supplied")?;
    project.edit(rules, "")?;
    keddah.apply().map(|_| ())
}

fn looked_up(keddah: &Keddah<'_>, leads: &str) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let admin = login("dbuser_dba", "DBUser.DBA", &address(3), 5436, "test");
    admin.query(sandbox, "DROP ROLE IF EXISTS handmade")?;
    admin
        .query(sandbox, "CREATE ROLE handmade LOGIN PASSWORD 'By.Hand' IN ROLE dbrole_readonly")?;
    let handmade = |port: u16| login("handmade", "By.Hand", leads, port, "test");
    handmade(5432).query(sandbox, "SELECT 1")?;
    let turned_away = || -> Outcome {
        let refused = handmade(6432).attempt(sandbox, "SELECT 1")?;
        ensure!(refused.code != Some(0), "it passes the pool");
        Ok(())
    };
    turned_away()?;
    let on = "        pgbouncer_auth_query: true\n";
    project.edit(CLUSTER, &format!("{CLUSTER}{on}"))?;
    keddah.change(&[
        expected("pg-function", "pgbouncer_auth").times(3).action("create").on(leads),
        expected("file", "/etc/pgbouncer/").times(9).action("update"),
        expected("unit", "pgbouncer.service").times(3).class("reload"),
    ])?;
    let answer = handmade(6432).query(sandbox, "SELECT current_user")?;
    ensure!(answer == "handmade", "one is {answer}");
    login("handmade", "wrong", leads, 6432, "test").refused(sandbox, "SELECT 1", "FATAL")?;
    let ask = "SELECT * FROM monitor.pgbouncer_auth('handmade')";
    handmade(6432).refused(sandbox, ask, "permission denied for function")?;
    // Whoever gives it to others by hand finds it taken back.
    admin.query(sandbox, "GRANT EXECUTE ON FUNCTION monitor.pgbouncer_auth TO dbrole_readonly")?;
    keddah
        .change(&[expected("pg-function", "test.monitor").times(1).action("update").on(leads)])?;
    handmade(6432).refused(sandbox, ask, "permission denied for function")?;
    project.edit(on, "")?;
    keddah.apply()?;
    keddah.plan()?.expect_empty()?;
    turned_away()?;
    admin.query(sandbox, "DROP ROLE handmade").map(|_| ())
}

fn pools(keddah: &Keddah<'_>) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let text = project.text()?;
    let user = "{ name: dbuser_view, password: DBUser.Viewer, pgbouncer: true, roles: [dbrole_readonly] }\n";
    project.edit(
        user,
        "{ name: dbuser_view, password: DBUser.Viewer, pgbouncer: true, pool_mode: session, pool_connlimit: 7, roles: [dbrole_readonly] }\n",
    )?;
    project.edit(
        "          - { name: test, owner: test }\n",
        "          - { name: test, owner: test, pool_size: 9, pool_mode: session }\n",
    )?;
    keddah.change(&[
        expected("file", "useropts.txt").times(3).action("update"),
        expected("file", "database.txt").times(3).action("update"),
        expected("unit", "pgbouncer.service").times(3).class("reload"),
    ])?;
    let console = |question: &str| -> Outcome<String> {
        let script = format!(
            "runuser -u postgres -- psql -X -A -t -h /var/run/postgresql -p 6432 -d pgbouncer -c '{question}'"
        );
        Ok(sandbox.shell(3, &script)?.success()?.text().to_owned())
    };
    let users = console("SHOW USERS")?;
    let told = users.lines().any(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        // Fields were added over time; the first ones are the name and its pool's mode.
        fields.first() == Some(&"dbuser_view") && fields.contains(&"session")
    });
    ensure!(told, "the pool says of its users:\n{users}");
    let databases = console("SHOW DATABASES")?;
    let told = databases.lines().any(|line| {
        let fields: Vec<&str> = line.split('|').collect();
        fields.first() == Some(&"test") && fields.contains(&"9") && fields.contains(&"session")
    });
    ensure!(told, "the pool says of its databases:\n{databases}");
    // Neither a database nor a user that the inventory does not offer is reached through it.
    login("test", "test", &address(3), 6432, "template1").refused(
        sandbox,
        "SELECT 1",
        "no such database",
    )?;
    project.write(&text)?;
    project.edit(user, &user.replace("pgbouncer: true, ", ""))?;
    keddah.change(&[
        expected("file", "userlist.txt").times(3).action("update"),
        expected("file", "useropts.txt").times(3).action("update"),
        expected("file", "database.txt").times(3).action("update"),
        expected("unit", "pgbouncer.service").times(3).class("reload"),
    ])?;
    let viewer = |port| login("dbuser_view", "DBUser.Viewer", &address(3), port, "test");
    viewer(6432).refused(sandbox, "SELECT 1", "FATAL")?;
    viewer(5432).query(sandbox, "SELECT 1")?;
    project.write(&text)?;
    keddah.apply()?;
    viewer(6432).query(sandbox, "SELECT 1").map(|_| ())
}

fn pool_tls(keddah: &Keddah<'_>) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let on = "        pgbouncer_sslmode: allow\n";
    project.edit(CLUSTER, &format!("{CLUSTER}{on}"))?;
    keddah.change(&[
        expected("file", "pgbouncer.ini").times(3).action("update"),
        expected("unit", "pgbouncer.service").times(3).class("reload"),
    ])?;
    let root = format!("sslrootcert={}", project.authority().display());
    let at = |host: &str, port: u16| {
        login("test", "test", host, port, "test").tls("verify-full").option(&root)
    };
    for node in 2..=4 {
        let host = address(node);
        for port in [6432, 5433, 5434, 5436] {
            // By the address of any member, whoever it is that answers.
            at(&host, port).query(sandbox, "SELECT 1")?;
            for name in ["pg-test", "pg-test-1", "pg-test-3"] {
                at(name, port).option(&format!("hostaddr={host}")).query(sandbox, "SELECT 1")?;
            }
        }
    }
    let other = at("pg-meta", 5433).option(&format!("hostaddr={}", address(3)));
    other.refused(sandbox, "SELECT 1", "pg-meta")?;
    let plain = login("test", "test", &address(3), 6432, "test").tls("disable");
    plain.query(sandbox, "SELECT 1")?;
    // Where pools let nobody in without TLS, Keddah's own question comes with it, too.
    let required = "        pgbouncer_sslmode: require\n";
    project.edit(on, required)?;
    keddah.change(&[
        expected("file", "pgbouncer.ini").times(3).action("update"),
        expected("unit", "pgbouncer.service").times(3).class("reload"),
    ])?;
    plain.refused(sandbox, "SELECT 1", "SSL required")?;
    // Whatever else is not well on this machine, such as its disk.
    let told = keddah.run(&["status", "-l", "pg-test"])?;
    ensure!(!told.stdout.contains("login-refused"), "{}", told.stdout);
    project.edit(required, "")?;
    keddah.apply().map(|_| ())
}

fn services(keddah: &Keddah<'_>) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let text = project.text()?;
    let own = "        pg_services:\n\
        \x20         - { name: standby, src_ip: '*', src_port: 5435, dst_port: postgres, check_url: '/read-only?lag=0', selector: '[]', selector_backup: '[? pg_role == `primary`]', haproxy: { maxconn: 100, balance: leastconn } }\n\
        \x20         - { name: last, port: 5440, dest: 5432, check: /replica, selector: '[? pg_seq == `3`]', backup: '[? pg_seq == `2`]', balance: source, maxconn: 10 }\n";
    project.edit(CLUSTER, &format!("{CLUSTER}{own}"))?;
    keddah.change(&[
        expected("file", "/etc/haproxy/haproxy.cfg").times(3).action("update"),
        expected("unit", "haproxy.service").times(3).class("reload"),
    ])?;
    let replica = "SELECT pg_is_in_recovery(), current_setting('primary_slot_name')";
    let answer = login("test", "test", &address(2), 5440, "test").query(sandbox, replica)?;
    ensure!(answer == "t|pg_test_3", "5440 leads to {answer}");
    let answer = login("test", "test", &address(2), 5435, "test").query(sandbox, replica)?;
    ensure!(answer.starts_with("t|"), "5435 leads to {answer}");
    // The one that is selected goes away, and its backup stands in.
    sandbox.shell(4, "systemctl stop patroni")?.success()?;
    let stands_in = wait_until("the backup stands in", Duration::from_secs(20), || {
        let answer = login("test", "test", &address(2), 5440, "test").query(sandbox, replica)?;
        ensure!(answer == "t|pg_test_2", "5440 leads to {answer}");
        Ok(())
    });
    sandbox.shell(4, "systemctl start patroni")?.success()?;
    stands_in?;
    wait_healthy(sandbox, 2, 3, Duration::from_secs(60))?;

    project.write(&text)?;
    let provider = format!(
        "    proxy:\n      hosts: {{ {}: {{}} }}\n      vars:\n        haproxy_services:\n          \
         - {{ name: own, port: 7000, options: ['option tcp-check'], servers: [{{ name: one, ip: {}, port: 5432, options: check }}] }}\n\n",
        address(5),
        address(2)
    );
    project.edit(GROUPS, &format!("{provider}{GROUPS}"))?;
    project.edit(CLUSTER, &format!("{CLUSTER}        pg_service_provider: proxy\n"))?;
    keddah.apply()?;
    keddah.plan()?.expect_empty()?;
    let host = address(5);
    let root = format!("sslrootcert={}", project.authority().display());
    for (port, answer) in [(5433, "f"), (5434, "t"), (5436, "f"), (5438, "t"), (7000, "f")] {
        let mut client = login("test", "test", &host, port, "test");
        if ![5433, 5434].contains(&port) {
            client = client.tls("verify-full").option(&root);
        }
        wait_until("the load balancer leads on", Duration::from_secs(5), || {
            let found = client.query(sandbox, "SELECT pg_is_in_recovery()")?;
            ensure!(found == answer, "{host}:{port} answers {found}");
            Ok(())
        })?;
    }
    let gone = login("test", "test", &address(3), 5433, "test");
    gone.refused(sandbox, "SELECT 1", "refused")?;
    project.write(&text)?;
    keddah.apply().map(|_| ())
}

fn patroni_tls(keddah: &Keddah<'_>, leads: &str) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    let on = "        patroni_ssl_enabled: true\n";
    let changes = [
        // The name server asks Patroni who leads.
        expected("file", "/etc/keddah-dns.json").times(1).action("update"),
        expected("unit", "keddah-dns.service").times(1),
        expected("file", "10-patroni.yml").times(3).action("update"),
        expected("unit", "patroni.service").times(3).class("reload"),
        expected("file", "/etc/haproxy/haproxy.cfg").times(3).action("update"),
        expected("unit", "haproxy.service").times(3).class("reload"),
    ];
    project.edit(CLUSTER, &format!("{CLUSTER}{on}"))?;
    keddah.change(&changes)?;
    let script = format!(
        "patronictl -c /etc/patroni/conf.d list pg-test | grep -c -E 'running|streaming' && \
         curl -s -o /dev/null -w '%{{http_code}}' --cacert /etc/pki/ca.crt https://{leads}:8008/primary"
    );
    let answer = sandbox.shell(3, &script)?.success()?;
    ensure!(answer.text() == "3\n200", "Patroni under TLS: {answer}");
    project.edit(on, "")?;
    keddah.change(&changes)?;
    wait_healthy(sandbox, 2, 3, Duration::from_secs(20)).map(|_| ())
}

fn without_pool(keddah: &Keddah<'_>) -> Outcome {
    let Keddah { sandbox, project } = keddah;
    project.edit(CLUSTER, &format!("{CLUSTER}        pgbouncer_enabled: false\n"))?;
    keddah.change(&[
        expected("unit", "pgbouncer.service").times(3).class("stop"),
        expected("file", "/etc/haproxy/haproxy.cfg").times(3).action("update"),
        expected("unit", "haproxy.service").times(3).class("reload"),
    ])?;
    let client = |port| login("test", "test", &address(3), port, "test");
    // Past the pool, the server sees a client's address.
    let answer = client(5433).query(sandbox, "SELECT inet_client_addr() IS NOT NULL")?;
    ensure!(answer == "t", "5433 does not lead to PostgreSQL");
    client(6432).refused(sandbox, "SELECT 1", "refused")
}
