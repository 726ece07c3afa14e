//! What the first node's programs would read of each value, in bundles of files that belong together; the
//! same bundle of many values is judged once.

use super::fleet::{FIRST, Setting, make};
use super::samples::{entries, samples};
use crate::failure::{Failure, Outcome};
use keddah_compile::Compiled;
use keddah_inventory::registry::{self, Support};
use keddah_resource::Spec;
use keddah_resource::kind::file::{Spec as File, digest};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A program that judges, and which of a node's files it does by.
struct Judge {
    /// Its name in the script that calls it.
    name: &'static str,
    /// What their paths begin with.
    files: &'static [&'static str],
}

const JUDGES: &[Judge] = &[
    Judge { name: "haproxy", files: &["/etc/haproxy/haproxy.cfg", "/etc/haproxy/auth.cfg"] },
    Judge { name: "patroni", files: &["/etc/patroni/conf.d/"] },
    Judge { name: "pgbouncer", files: &["/etc/pgbouncer/"] },
    Judge { name: "pgbackrest", files: &["/etc/pgbackrest/", "/etc/pgbackrest/conf.d/"] },
    Judge { name: "keepalived", files: &["/etc/keepalived/"] },
    Judge { name: "dnsmasq", files: &["/etc/dnsmasq.d/keddah.conf"] },
    Judge { name: "etcd", files: &["/etc/default/etcd", "/etc/etcd/bootstrap.env"] },
    Judge { name: "rules", files: &["/pg/conf/pg_hba.conf"] },
    Judge { name: "sudo", files: &["/etc/sudoers.d/"] },
    Judge { name: "shell", files: &["/etc/profile.d/"] },
    Judge { name: "chrony", files: &["/etc/chrony/sources.d/"] },
    Judge { name: "apt", files: &["/etc/apt/apt.conf.d/"] },
];

/// PostgreSQL's parameters are no file: Patroni writes them.
const SERVER: &str = "postgresql";

/// Files that belong together.
#[derive(Debug)]
struct Bundle {
    /// Contents by name.
    files: BTreeMap<String, String>,
    /// The values that it comes of.
    values: Vec<String>,
}

/// Bundles by judge and hash.
#[derive(Debug, Default)]
pub struct Bundles(BTreeMap<(&'static str, String), Bundle>);

impl Bundles {
    /// Those of all values of all managed parameters, for nodes of a release.
    pub fn of(codename: &str) -> Self {
        let mut settings = vec![Setting::of("version", None)];
        for parameter in registry::all().chain(registry::extra()) {
            if parameter.support == Support::Managed {
                let values = samples(parameter).into_iter().chain(entries(parameter));
                settings.extend(values.map(|value| Setting::of(parameter.name, Some(value))));
            }
        }
        let (next, found) = (AtomicUsize::new(0), Mutex::new(Self::default()));
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
                scope.spawn(|| {
                    while let Some(setting) = settings.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // What is refused, and said so, is nothing that a program has to take.
                        let made = make(setting, codename, true);
                        if let (Ok(compiled), true) = (made.fleet, made.errors.is_empty()) {
                            let mut found = found.lock().unwrap_or_else(|held| held.into_inner());
                            found.add(setting, &compiled);
                        }
                    }
                });
            }
        });
        found.into_inner().unwrap_or_else(|held| held.into_inner())
    }

    fn add(&mut self, setting: &Setting, compiled: &Compiled) {
        let here = || compiled.fleet.iter().filter(|one| one.id.node.as_str() == FIRST);
        let files = || {
            here().filter_map(|one| match &one.spec {
                Spec::File(file) => Some(file.as_ref()),
                _ => None,
            })
        };
        // That needs a PostgreSQL which no release has yet.
        let server = setting.name != "pg_io_method";
        for judge in JUDGES.iter().filter(|judge| server || judge.name != "patroni") {
            let its = files()
                .filter(|file| judge.files.iter().any(|start| is_at(&file.path, start)))
                .filter_map(content)
                .collect();
            self.insert(judge.name, its, setting);
        }
        for one in here().filter(|_| server) {
            if let Spec::Postmaster(server) = &one.spec {
                let line = |(name, value): (&String, &String)| {
                    format!("{name} = '{}'\n", value.replace('\'', "''"))
                };
                let text: String = server.parameters.iter().map(line).collect();
                let file = BTreeMap::from([("postgresql.conf".to_owned(), text)]);
                self.insert(SERVER, file, setting);
            }
        }
    }

    fn insert(&mut self, judge: &'static str, files: BTreeMap<String, String>, setting: &Setting) {
        if files.is_empty() {
            return;
        }
        let all: Vec<String> = files.iter().map(|(name, text)| format!("{name}\n{text}")).collect();
        let hash = digest(all.join("\n").as_bytes())[..12].to_owned();
        let new = || Bundle { files, values: Vec::new() };
        self.0.entry((judge, hash)).or_insert_with(new).values.push(match &setting.value {
            Some(value) => format!("{}: {value}", setting.name),
            None => "nothing set".to_owned(),
        });
    }

    /// How many there are for each judge.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        self.0.keys().for_each(|(judge, _)| *counts.entry(*judge).or_default() += 1);
        counts
    }

    /// Writes them below a directory, `JUDGE/HASH/FILE`.
    pub fn write(&self, directory: &Path) -> Outcome {
        for ((judge, hash), Bundle { files, .. }) in &self.0 {
            let bundle = directory.join(judge).join(hash);
            fs::create_dir_all(&bundle)?;
            for (name, text) in files {
                fs::write(bundle.join(name), text)?;
            }
        }
        Ok(())
    }

    /// What the judges' lines `JUDGE HASH ok` say: every bundle must have one.
    pub fn verdict(&self, said: &str) -> Outcome {
        let mut failure: Option<Failure> = None;
        let mut refused = 0;
        for ((judge, hash), Bundle { values, .. }) in &self.0 {
            if said.lines().any(|line| line == format!("{judge} {hash} ok")) {
                continue;
            }
            refused += 1;
            let because = said.lines().filter(|line| line.starts_with(&format!("{judge} {hash} ")));
            let because: Vec<&str> = because.collect();
            let shown = values.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            let line = format!("{judge} does not take {shown}\n{}", because.join("\n"));
            failure = Some(match failure {
                Some(failure) => failure.with(line),
                None => Failure::new("a documented value is refused").with(line),
            });
        }
        match failure {
            Some(failure) => {
                Err(Failure { message: format!("{refused} bundles are refused"), ..failure })
            }
            None => Ok(()),
        }
    }
}

/// Whether a path is this one, or that of a file of this directory.
fn is_at(path: &str, start: &str) -> bool {
    path.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || start.ends_with('/') && !rest.contains('/'))
}

/// A file's name in its bundle, and its content.
fn content(file: &File) -> Option<(String, String)> {
    let name = file.path.rsplit('/').next()?.to_owned();
    Some((name, file.present.as_ref()?.content.reveal().to_owned()))
}
