//! One bare node: installed, made, served; then nothing is left to do.

use crate::Suite;
use crate::ensure;
use crate::failure::Outcome;
use crate::keddah::{Keddah, says};
use crate::postgres::login;
use crate::processes::{expect_same, processes};
use crate::sandbox::Image;
use crate::world::{World, step};

const INVENTORY: &str = include_str!("../../inventories/single.yml");

/// Run once in a new database; not safe to run twice, so that a second run would be noticed.
const BASELINE: &str = "CREATE TABLE pigsty.greeting (words text);\n\
                        INSERT INTO pigsty.greeting VALUES ('hello');\n";

/// Another last line for each file that its program judges before it takes the old one's place.
const EDIT: &str = r"
set -e
for file in $(grep -rl 'Written by Keddah' /etc/haproxy /etc/chrony /etc/dnsmasq.d /etc/sudoers.d /etc/profile.d); do
    echo '# edited' >> $file
    echo $file
done
";

/// Runs it.
pub fn run(world: &mut World) -> Outcome {
    let (inventory, extension) = match world.options.suite {
        Suite::Trixie => (INVENTORY.to_owned(), "vector"),
        // Debian 12 has no package of pgvector.
        Suite::Bookworm => {
            let text = INVENTORY.replace("pg_extensions: [ pgvector ]", "pg_extensions: []");
            (text.replace("[ vector ]", "[ hstore ]"), "hstore")
        }
    };
    let project = world.project("single", &inventory)?;
    std::fs::create_dir_all(project.directory.join("files"))?;
    std::fs::write(project.directory.join("files/cmdb.sql"), BASELINE)?;
    let sandbox = step("boot a bare node", || world.fresh(Image::Bare, 1))?;
    let keddah = Keddah { sandbox, project: &project };

    let checked = step("the inventory has no mistakes", || keddah.run(&["check"])?.success())?;
    ensure!(!checked.stderr.contains("error"), "check complains: {}", checked.stderr);
    step("the plan of a bare node is full", || {
        let plan = keddah.plan()?;
        ensure!(plan.output.code == Some(2), "exit code {:?} instead of 2", plan.output.code);
        let kinds = ["packages", "certificate", "pg-instance", "pg-role", "pg-database", "unit"];
        for kind in kinds {
            let found = plan.changes.iter().any(|change| change.kind == kind);
            ensure!(found, "the plan has no {kind}:\n{}", plan.list());
        }
        Ok(())
    })?;
    step("a plan changes nothing", || {
        let found = sandbox.shell(1, "ls -d /pg /etc/patroni /etc/haproxy 2>/dev/null | wc -l")?;
        ensure!(found.text() == "0", "planning left something on the node: {found}");
        Ok(())
    })?;
    let applied = step("apply", || keddah.apply())?;

    let client = login("dbuser_meta", "DBUser.Meta", "10.10.10.10", 5433, "meta");
    step("psql through 5433", || {
        let answer = client.query(sandbox, "SELECT words FROM pigsty.greeting")?;
        ensure!(answer == "hello", "the baseline was not run once: {answer}");
        let sql = format!("SELECT extname FROM pg_extension WHERE extname = '{extension}'");
        let answer = client.query(sandbox, &sql)?;
        ensure!(answer == extension, "the extension {extension} is missing");
        client.query(sandbox, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").map(|_| ())
    })?;
    step("reads through 5434 fall back to the primary", || {
        let reader = login("dbuser_view", "DBUser.Viewer", "10.10.10.10", 5434, "meta");
        reader.query(sandbox, "SELECT 1").map(|_| ())
    })?;
    let before = processes(sandbox, [1])?;
    step("the next plan is empty", || {
        keddah.plan()?.expect_empty().map_err(|failure| failure.with(&applied))
    })?;
    step("apply again: nothing changes, nothing restarts", || {
        keddah.apply()?;
        expect_same(&before, &processes(sandbox, [1])?, &[])
    })?;
    step("what was written is there", || {
        let answer = client.query(sandbox, "SELECT n FROM kept")?;
        ensure!(answer == "1", "it answers {answer}");
        Ok(())
    })?;
    step("a time source that chrony cannot read is refused, and the old ones stay", || {
        let sources = || sandbox.shell(1, "cat /etc/chrony/sources.d/keddah.sources")?.success();
        let before = sources()?;
        let place = "    admin_ip: 10.10.10.10\n";
        let wrong = format!("{place}    node_ntp_servers: [ 'server 10.10.10.1 ibrust' ]\n");
        project.edit(place, &wrong)?;
        let refused = keddah.run(&["apply", "--yes"])?.expect(&[1])?;
        says(&refused, "Could not parse server directive at line 2")?;
        ensure!(sources()?.stdout == before.stdout, "chrony was given it: {refused}");
        project.edit(&wrong, place)?;
        // The restart that the refused file was to bring is still owed.
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })?;
    step("what programs judge is changed while the old files stand", || {
        let edited = sandbox.shell(1, EDIT)?.success()?.stdout;
        for path in ["dnsmasq.d/keddah.conf", "haproxy.cfg", "keddah.sources", "sudoers.d/"] {
            ensure!(edited.contains(path), "{path} was not edited:\n{edited}");
        }
        let place = "    admin_ip: 10.10.10.10\n";
        project.edit(place, &format!("{place}    dns_port: 5353\n"))?;
        keddah.apply()?;
        keddah.plan()?.expect_empty()
    })
}
