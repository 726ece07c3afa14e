//! A node that another tool has set up is refused and left alone; one of Keddah's that somebody has
//! edited by hand is not.

use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, expected, says};
use crate::processes::{expect_same, processes};
use crate::sandbox::{Image, Sandbox};
use crate::world::{World, step};

/// What every node of a sandbox has, and nothing else.
const SANDBOX_MARK: &str = "/etc/keddah-sandbox";

const INVENTORY: &str = "all:
  children:
    etcd: { hosts: { 10.10.10.10: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd, etcd_safeguard: false } }
    pg-test:
      hosts: { 10.10.10.10: { pg_seq: 1, pg_role: primary } }
      vars: { pg_cluster: pg-test, pg_conf: tiny.yml }
";

/// What Pigsty 4.5 leaves of etcd, Patroni and HAProxy, as far as Keddah can meet it: a unit of its
/// own for etcd, the package's unit of HAProxy written over so that it loads a directory, and a
/// configuration of Patroni that has not started yet.
const PIGSTY: &str = r#"
set -e
systemctl stop etcd haproxy
mkdir -p /etc/etcd /data/etcd /etc/haproxy/conf.d
chown etcd: /data/etcd
printf 'name: etcd-1\ndata-dir: /data/etcd\n' > /etc/etcd/etcd.conf
printf '[Service]\nType=notify\nUser=etcd\nExecStart=/usr/bin/etcd --config-file /etc/etcd/etcd.conf\n[Install]\nWantedBy=multi-user.target\n' \
    > /etc/systemd/system/etcd.service
cp /usr/lib/systemd/system/haproxy.service /root/haproxy.service
printf '[Service]\nType=notify\nEnvironment="CONFIG=/etc/haproxy/"\nExecStart=/usr/sbin/haproxy -Ws -f $CONFIG $OPTIONS\n' \
    > /usr/lib/systemd/system/haproxy.service
printf 'listen pg-test-primary\n    mode tcp\n    timeout client 1h\n    timeout server 1h\n    timeout connect 3s\n    bind *:5433\n' \
    > /etc/haproxy/conf.d/pg-test-primary.cfg
printf '# Pigsty\nscope: pg-test\n' > /etc/patroni/patroni.yml
systemctl daemon-reload
systemctl start etcd haproxy
"#;

/// Everything of it taken away again, as a person would who needs nothing of it.
const AWAY: &str = r"
set -e
systemctl stop etcd haproxy
rm -r /etc/etcd /data/etcd /etc/haproxy/conf.d /etc/systemd/system/etcd.service /etc/patroni/patroni.yml
mv /root/haproxy.service /usr/lib/systemd/system/haproxy.service
systemctl daemon-reload
";

/// Edits of a node of Keddah's: units copied and changed, first lines deleted, files laid beside.
const BY_HAND: &str = r"
set -e
cp /usr/lib/systemd/system/patroni.service /etc/systemd/system/patroni.service
echo '# Ansible managed' >> /etc/systemd/system/patroni.service
sed -i 1d /etc/haproxy/haproxy.cfg /etc/default/etcd
mkdir -p /etc/haproxy/conf.d
echo '# Pigsty' > /etc/haproxy/conf.d/more.cfg
systemctl daemon-reload
";

/// Patroni runs with a copy of its configuration, and its unit would start it with that again.
const ELSEWHERE: &str = r#"
set -e
cp -a /etc/patroni/conf.d /etc/patroni-other
printf '[Service]\nExecStart=\nExecStart=/usr/bin/patroni /etc/patroni-other\n' \
    > /etc/systemd/system/patroni.service.d/other.conf
systemctl daemon-reload
systemctl restart patroni
timeout 60 sh -c 'until runuser -u postgres -- psql -qAtc "select not pg_is_in_recovery()" | grep -q t; do sleep 0.2; done'
"#;

/// HAProxy's unit loads a directory as well, in which somebody has declared a listener of ours.
const BESIDE: &str = r#"
set -e
printf '[Service]\nEnvironment="EXTRAOPTS=-S /run/haproxy-master.sock -f /etc/haproxy/auth.cfg -f /etc/haproxy/conf.d"\n' \
    > /etc/systemd/system/haproxy.service.d/other.conf
printf 'listen admin\n    mode tcp\n    bind 127.0.0.1:9999\n' > /etc/haproxy/conf.d/more.cfg
echo '# edited' >> /etc/haproxy/haproxy.cfg
systemctl daemon-reload
"#;

/// etcdctl comes with another package than Debian's, which says nothing of that.
const PACKAGE: &str = r"
set -e
dpkg --remove --force-depends etcd-client
mkdir -p /root/etcd/DEBIAN /root/etcd/usr/bin
printf 'Package: etcd\nVersion: 9\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' \
    > /root/etcd/DEBIAN/control
printf '#!/bin/sh\n' > /root/etcd/usr/bin/etcdctl
chmod 755 /root/etcd/usr/bin/etcdctl
dpkg-deb --build /root/etcd /root/etcd.deb
dpkg --install /root/etcd.deb
";

/// All that stands in the places of services, and who belongs there.
const FILES: &str = "cd / && find etc usr/lib/systemd data pg var/lib/postgresql -type f \
                     -not -path 'data/etcd/*' -exec sha256sum {} + 2>/dev/null | sort -k 2; \
                     dpkg-query -W; cut -d: -f1,3 /etc/passwd; find etc data -type l | sort";

fn files(sandbox: &Sandbox) -> Outcome<String> {
    Ok(sandbox.shell(1, FILES)?.success()?.stdout)
}

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let project = world.project("foreign", INVENTORY)?;
    let sandbox = step("boot a warm node", || world.fresh(Image::Warm, 1))?;
    let keddah = Keddah { sandbox, project: &project };
    step("packages that nobody has configured are nobody's", || {
        let plan = keddah.plan()?;
        ensure!(plan.output.code == Some(2), "exit code {:?} instead of 2", plan.output.code);
        Ok(())
    })?;

    step("set up what another tool would", || sandbox.shell(1, PIGSTY)?.success().map(|_| ()))?;
    let (running, standing) = (processes(sandbox, [1])?, files(sandbox)?);
    ensure!(running.iter().any(|line| line.contains(" etcd ")), "etcd does not run: {running:?}");
    ensure!(standing.contains("etc/etcd/etcd.conf"), "files are not found:\n{standing}");
    step("plan, apply and remove are refused, with what was found", || {
        for arguments in
            [&["plan"][..], &["apply", "--yes"], &["remove", "etcd", "--confirm", "etcd"]]
        {
            let refused = keddah.run(arguments)?.expect(&[1])?;
            for words in [
                "foreign-cluster",
                "Pigsty is named there",
                "etcd.service is started by /etc/systemd/system/etcd.service",
                "--config-file /etc/etcd/etcd.conf",
                "lib/systemd/system/haproxy.service, which no package made so",
                "/etc/haproxy/conf.d/pg-test-primary.cfg",
                "/etc/patroni/patroni.yml",
            ] {
                says(&refused, words)?;
            }
        }
        Ok(())
    })?;
    step("nothing was changed", || {
        expect_same(&running, &processes(sandbox, [1])?, &[])?;
        let now = files(sandbox)?;
        ensure!(now == standing, "files differ:\n{standing}\n---\n{now}");
        Ok(())
    })?;

    step("without it the node is nobody's again", || {
        sandbox.shell(1, AWAY)?.success().map(|_| ())
    })?;
    step("outside of a sandbox no login with a public password is created unasked", || {
        sandbox.shell(1, &format!("rm {SANDBOX_MARK}"))?.success()?;
        let standing = files(sandbox)?;
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        for words in [
            "nothing was changed",
            "`haproxy_admin_password`, `patroni_password`, `pg_admin_password`",
            "--yes --allow-public-passwords",
        ] {
            says(&refused, words)?;
        }
        let now = files(sandbox)?;
        ensure!(now == standing, "files differ:\n{standing}\n---\n{now}");
        Ok(())
    })?;
    let allowed = project.directory.join("files/public-passwords-allowed");
    step("allowed once, it is remembered beside the inventory", || {
        keddah.run(&["apply", "--yes", "--allow-public-passwords"])?.success()?;
        keddah.plan()?.expect_empty()?;
        std::fs::remove_file(&allowed)?;
        Ok(())
    })?;
    step("edited by hand it stays Keddah's: drift, and mended", || {
        sandbox.shell(1, BY_HAND)?.success()?;
        let plan = keddah.plan()?;
        for path in ["/etc/haproxy/haproxy.cfg", "/etc/default/etcd"] {
            let found = plan.changes.iter().any(|change| change.name == path);
            ensure!(found, "{path} is not in the plan:\n{}", plan.list());
        }
        // What is open already needs no permission.
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        ensure!(!allowed.exists(), "something was remembered that nobody said");
        Ok(())
    })?;
    step("a daemon that runs another configuration is restarted, and not reloaded", || {
        sandbox.shell(1, ELSEWHERE)?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&refused, "without /etc/patroni/conf.d: it is not restarted")?;
        says(&refused, "/etc/systemd/system/patroni.service.d/other.conf")?;
        sandbox.shell(1, "rm /etc/systemd/system/patroni.service.d/other.conf")?.success()?;
        keddah.change(&[expected("unit", "patroni.service").times(1).class("ordered-restart")])?;
        let line = sandbox.shell(1, "ps -o args= -C patroni")?.success()?.stdout;
        ensure!(line.contains("/etc/patroni/conf.d"), "it runs as {line}");
        Ok(())
    })?;
    step("what HAProxy will load is tested as a whole, and what it says is told", || {
        let before = processes(sandbox, [1])?;
        sandbox.shell(1, BESIDE)?.success()?;
        for arguments in [&["apply", "--yes"][..], &["apply", "--yes", "--json"]] {
            let refused = keddah.run(arguments)?.expect(&[1])?;
            says(&refused, "haproxy refuses the new content of /etc/haproxy/haproxy.cfg beside")?;
            says(&refused, "/etc/haproxy/conf.d/more.cfg")?;
            says(&refused, "has the same name as")?;
        }
        expect_same(&before, &processes(sandbox, [1])?, &[])?;
        let away = "rm /etc/systemd/system/haproxy.service.d/other.conf; systemctl daemon-reload";
        sandbox.shell(1, away)?.success()?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })?;
    step("a package whose program another one owns is refused before dpkg is asked", || {
        sandbox.shell(1, PACKAGE)?.success()?;
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&refused, "/usr/bin/etcdctl, which etcd-client brings, belongs to the package etcd")?;
        sandbox.shell(1, "dpkg --purge etcd")?.success()?;
        keddah.change(&[expected("packages", "etcd").times(1)])
    })
}
