//! A virtual address and a name follow the primary, whatever becomes of the old one.

use crate::cluster::wait_healthy;
use crate::command::wait_until;
use crate::ensure;
use crate::failure::{Failure, Outcome};
use crate::keddah::{Keddah, expected};
use crate::load::{Load, Record, Session};
use crate::names::{Followed, Watched};
use crate::sandbox::Sandbox;
use crate::world::{World, step};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Longer than any of the documented plans takes (`pg_rto: wide`).
const PATIENCE: Duration = Duration::from_secs(180);

/// How much later than the primary its address and its name may be there: four questions of each
/// watcher, on a machine with little time.
const BEHIND: Duration = Duration::from_secs(5);

const PRIMARY: Watched<'_> = Watched {
    nodes: &[2, 3, 4],
    address: Ipv4Addr::new(10, 10, 10, 3),
    name: "pg-test.db",
    server: 1,
};

const SHARED: Watched<'_> =
    Watched { address: Ipv4Addr::new(10, 10, 10, 5), name: "test.vip", ..PRIMARY };

const CLUSTER: &str = "        pg_cluster: pg-test\n";

const NAMES: &str = "        pg_vip_enabled: true
        pg_vip_address: 10.10.10.3/24
        pg_dns_suffix: .db
        pg_dns_target: primary
";

const SHARING: &str = "        node_cluster: test
        vip_enabled: true
        vip_address: 10.10.10.5
        vip_vrid: 3
        vip_dns_suffix: .vip
";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let plain = world.demo_inventory()?;
    let with = |lines: &str| plain.replacen(CLUSTER, &format!("{CLUSTER}{lines}"), 1);
    let (sandbox, project) = world.demo()?;
    let keddah = Keddah { sandbox, project };
    let mut figures = Vec::new();
    step("an address and a name that follow the primary are applied", || {
        project.write(&with(&format!("{NAMES}{SHARING}")))?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        let leader = wait_healthy(sandbox, 2, 3, PATIENCE)?;
        settled(sandbox, leader.node)
    })?;
    step("kill -9 of the postmaster: the address stays, writes through it go on", || {
        let record = kill(sandbox)?;
        figures.push(format!("follow: kill -9 of the postmaster, through the address: {record}"));
        Ok(())
    })?;
    step("a switchover", || {
        let (followed, record) = switchover(sandbox)?;
        figures.push(format!("follow: switchover: {followed}; {record}"));
        Ok(())
    })?;
    step("the primary's node loses power and comes back", || {
        let (followed, record) = power(sandbox)?;
        figures.push(format!("follow: power loss: {followed}; {record}"));
        Ok(())
    })?;
    step("the primary's node is cut off and comes back: never two holders", || {
        let followed = cut(sandbox)?;
        figures.push(format!("follow: cut off: {followed}"));
        Ok(())
    })?;
    step("HAProxy's end moves a shared address", || shared(sandbox))?;
    for figure in &figures {
        println!("          {figure}");
    }
    step("the plan after it is empty, but for the new primary's backups", || settle(&keddah))?;
    step("another address is that, and nothing else", || {
        let text = with(&format!("{NAMES}{SHARING}")).replace("10.10.10.3/24", "10.10.10.4/24");
        project.write(&text)?;
        keddah.change(&[
            expected("file", "/etc/keepalived/keddah.conf").times(3),
            expected("unit", "keddah-vip.service").class("reload").times(3),
            // Certificates hold the address.
            expected("certificate", "/pg/cert/server.crt").times(3),
            expected("unit", "patroni.service").class("reload").times(3),
            expected("unit", "pgbouncer.service").class("reload").times(3),
            expected("postmaster", "pg-test").class("reload").times(3),
        ])?;
        ensure!(PRIMARY.holders(sandbox)?.is_empty(), "the old address is still there");
        let leader = wait_healthy(sandbox, 2, 3, PATIENCE)?.node;
        let moved = Watched { address: Ipv4Addr::new(10, 10, 10, 4), ..PRIMARY };
        wait_until("the new address", BEHIND, || {
            let holders = moved.holders(sandbox)?;
            ensure!(holders == [leader], "{holders:?} hold it, {leader} leads");
            Ok(())
        })
    })?;
    step("without them, nothing is left", || {
        project.write(&plain)?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()?;
        for address in [PRIMARY.address, SHARED.address, Ipv4Addr::new(10, 10, 10, 4)] {
            let holders = Watched { address, ..PRIMARY }.holders(sandbox)?;
            ensure!(holders.is_empty(), "{address} is still on {holders:?}");
        }
        for node in PRIMARY.nodes {
            let script =
                "ls /etc/keepalived/keddah* /etc/systemd/system/keddah-* 2>/dev/null; true";
            let left = sandbox.shell(*node, script)?;
            ensure!(left.text().is_empty(), "left on node {node}: {}", left.text());
        }
        Ok(())
    })?;
    world.figures.extend(figures);
    Ok(())
}

/// A primary that never was one has no backups in its own repository yet; nothing else may differ.
fn settle(keddah: &Keddah<'_>) -> Outcome {
    let plan = keddah.plan()?;
    let other = plan.changes.iter().find(|one| !["stanza", "backup"].contains(&one.kind.as_str()));
    if let Some(change) = other {
        return Err(Failure::new(format!("not expected: {change}")).with(plan.list()));
    }
    if !plan.changes.is_empty() {
        keddah.apply()?;
    }
    keddah.plan()?.expect_empty()
}

/// Waits until the address is on this node alone, and the name points at it.
fn settled(sandbox: &Sandbox, node: u8) -> Outcome {
    wait_until("address and name at the primary", Duration::from_secs(20), || {
        let holders = PRIMARY.holders(sandbox)?;
        ensure!(holders == [node], "{holders:?} hold the address, {node} leads");
        let wanted = crate::sandbox::address(node).parse().ok();
        let name = PRIMARY.resolved(sandbox)?;
        ensure!(name == wanted, "{} points at {name:?}", PRIMARY.name);
        Ok(())
    })
}

/// A writer through the address.
fn writer(sandbox: &Sandbox, table: &str) -> Outcome<Load> {
    let connection =
        format!("host={} port=5433 user=test password=test dbname=test", PRIMARY.address);
    let load = Load::start(sandbox, &connection, table, Session::Lasting)?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(load)
}

fn promptly(followed: &Followed) -> Outcome {
    let latest = followed.address.max(followed.name);
    ensure!(latest < followed.leads + BEHIND, "too late: {followed}");
    Ok(())
}

fn kill(sandbox: &Sandbox) -> Outcome<Record> {
    let leader = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let load = writer(sandbox, "written_through_address_killed")?;
    sandbox.shell(leader.node, "kill -9 $(head -n 1 /pg/data/postmaster.pid)")?.success()?;
    std::thread::sleep(Duration::from_secs(12));
    let now = wait_healthy(sandbox, 2, 3, PATIENCE);
    let record = load.finish()?;
    settled(sandbox, now?.node)?;
    // The scenario `failover` is strict about the outage; here, no address may prolong it.
    ensure!(record.outage < Duration::from_secs(30) && record.lost == 0, "{record}");
    Ok(record)
}

fn switchover(sandbox: &Sandbox) -> Outcome<(Followed, Record)> {
    let old = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let load = writer(sandbox, "written_through_address_switched")?;
    let followed = PRIMARY.follow(sandbox, old.node, PATIENCE, || {
        let script = "patronictl -c /etc/patroni/conf.d switchover pg-test --force";
        sandbox.shell(old.node, script)?.success().map(|_| ())
    });
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish()?;
    let followed = followed?;
    settled(sandbox, followed.node)?;
    promptly(&followed)?;
    Ok((followed, record))
}

fn power(sandbox: &Sandbox) -> Outcome<(Followed, Record)> {
    let old = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let load = writer(sandbox, "written_through_address_powerless")?;
    let followed = PRIMARY.follow(sandbox, old.node, PATIENCE, || sandbox.stop(old.node, true));
    std::thread::sleep(Duration::from_secs(2));
    let record = load.finish();
    sandbox.start(old.node)?;
    let (followed, record) = (followed?, record?);
    promptly(&followed)?;
    never_two_holders(sandbox, followed.node)?;
    let healed = wait_healthy(sandbox, followed.node, 3, PATIENCE)?;
    settled(sandbox, healed.node)?;
    Ok((followed, record))
}

fn cut(sandbox: &Sandbox) -> Outcome<Followed> {
    let old = wait_healthy(sandbox, 2, 3, PATIENCE)?;
    let followed = PRIMARY.follow(sandbox, old.node, PATIENCE, || sandbox.cut(old.node));
    let alone = PRIMARY.holders(sandbox);
    sandbox.heal(old.node)?;
    let (followed, alone) = (followed?, alone?);
    ensure!(alone == [followed.node], "cut off, node {} kept it: {alone:?}", old.node);
    promptly(&followed)?;
    never_two_holders(sandbox, followed.node)?;
    let healed = wait_healthy(sandbox, followed.node, 3, PATIENCE)?;
    settled(sandbox, healed.node)?;
    Ok(followed)
}

/// Looks for ten seconds.
fn never_two_holders(sandbox: &Sandbox, holder: u8) -> Outcome {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) {
        let holders = PRIMARY.holders(sandbox)?;
        if holders != [holder] {
            let after = started.elapsed().as_secs_f64();
            return Err(Failure::new(format!("after {after:.1} s, {holders:?} hold the address")));
        }
    }
    Ok(())
}

fn shared(sandbox: &Sandbox) -> Outcome {
    let named = SHARED.resolved(sandbox)?;
    ensure!(named == Some(SHARED.address), "{} points at {named:?}", SHARED.name);
    let holder = |what: &str, fits: &dyn Fn(&[u8]) -> bool| {
        wait_until(what, Duration::from_secs(20), || {
            let holders = SHARED.holders(sandbox)?;
            ensure!(fits(&holders), "{holders:?} hold it");
            Ok(holders[0])
        })
    };
    let first = holder("one holder", &|holders| holders.len() == 1)?;
    sandbox.shell(first, "systemctl stop haproxy")?.success()?;
    let moved = holder("another holder", &|holders| holders.len() == 1 && holders[0] != first);
    sandbox.shell(first, "systemctl start haproxy")?.success()?;
    let moved = moved?;
    // Without `vip_preempt` it stays where it is.
    std::thread::sleep(Duration::from_secs(6));
    let holders = SHARED.holders(sandbox)?;
    ensure!(holders == [moved], "{holders:?} hold it, it was on {moved}");
    Ok(())
}
