//! What a unit's program would be configured by at its next start, beside what Keddah writes: variables and
//! options that somebody gave it. One of them may make it another than it is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How what Keddah writes is told from what others have written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSettings {
    /// The unit.
    pub unit: String,
    /// What the names of its program's variables begin with, such as `ETCD_`. An option's name is that of a
    /// variable in small letters (etcd's "Configuration options": `--data-dir`, `ETCD_DATA_DIR`).
    pub prefix: String,
    /// The files of variables that Keddah writes: what stands there is a plan's matter.
    pub files: Vec<String>,
    /// By what the program is the one that it is, with its values.
    pub fixed: BTreeMap<String, String>,
    /// What makes it another one, wherever it stands.
    pub never: Vec<String>,
    /// What it reads only when it is made.
    pub at_birth: Vec<String>,
    /// The program; what another one does of it is not known.
    #[serde(default)]
    pub program: String,
}

/// Something that a start is told, and by which file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The value; an option's is `true` where it has none.
    pub value: String,
    /// Where it stands.
    pub place: String,
    /// Whether that is a package's own.
    pub packaged: bool,
}

/// What a unit's next start is told, and what its process was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Start {
    /// The program's variables, those that count.
    pub variables: BTreeMap<String, Told>,
    /// Options on its command line, by their names without dashes.
    pub options: Vec<(String, Told)>,
    /// Variables that the unit takes away.
    pub unset: Vec<Told>,
    /// The program that is started.
    pub program: Option<Told>,
    /// Directives of the unit by which the program sees other files than those of the machine, or by which
    /// something else runs before it.
    pub surroundings: Vec<(String, Told)>,
    /// The variables and options of the process that runs.
    pub running: Option<(BTreeMap<String, String>, BTreeMap<String, String>)>,
}

/// What a setting of somebody else's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The next start would not be that of the one that runs.
    NotItself,
    /// Nobody has declared it.
    Undeclared,
    /// The process has it until it is restarted.
    UntilRestart,
}

/// A setting that Keddah has not written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ForeignSetting {
    /// What it does.
    pub effect: Effect,
    /// The variable's name, or the option with its dashes.
    pub name: String,
    /// Its value; `None` of what is not set at all.
    pub value: Option<String>,
    /// Where it stands; empty for what is not set, and for a process.
    pub place: String,
}

impl ForeignSetting {
    /// For a person: `ETCD_FORCE_NEW_CLUSTER=true (/etc/…/force.conf)`.
    pub fn in_words(&self) -> String {
        let Self { effect: _, name, value, place } = self;
        match (value, place.is_empty()) {
            (None, true) => format!("no {name}"),
            (None, false) => format!("no {name} ({place})"),
            (Some(value), true) => format!("{name}={value}"),
            (Some(value), false) => format!("{name}={value} ({place})"),
        }
    }
}

impl OwnSettings {
    /// What a start is told that Keddah has not written, the worst first.
    pub fn foreign(&self, start: &Start) -> Vec<ForeignSetting> {
        let Start { variables, options, unset, program, surroundings, running } = start;
        let mut found = Vec::new();
        let mut add = |effect: Effect, name: &str, value: Option<&str>, place: &str| {
            let (name, value) = (name.to_owned(), value.map(str::to_owned));
            found.push(ForeignSetting { effect, name, value, place: place.to_owned() });
        };
        for (name, Told { value, place, packaged }) in variables {
            if self.is_another(name, value) {
                add(Effect::NotItself, name, Some(value), place);
            } else if !packaged && !self.files.contains(place) {
                add(Effect::Undeclared, name, Some(value), place);
            }
        }
        for name in self.fixed.keys().filter(|&name| !variables.contains_key(name)) {
            add(Effect::NotItself, name, None, "");
        }
        if let Some(Told { value, place, packaged: false }) = program
            && *value != self.program
        {
            add(Effect::NotItself, "ExecStart", Some(value), place);
        }
        for (directive, Told { value, place, packaged }) in surroundings {
            if !packaged {
                add(Effect::NotItself, directive, Some(value), place);
            }
        }
        for (option, Told { value, place, packaged }) in options {
            let shown = format!("--{option}");
            if self.is_another(&self.variable(option), value) {
                add(Effect::NotItself, &shown, Some(value), place);
            } else if !packaged {
                add(Effect::Undeclared, &shown, Some(value), place);
            }
        }
        for Told { value: name, place, packaged: _ } in unset {
            if !self.fixed.contains_key(name) {
                add(Effect::Undeclared, name, None, place);
            }
        }
        if let Some((of_process, options_of_process)) = running {
            for (name, value) in of_process {
                if !variables.contains_key(name) && !self.at_birth.contains(name) {
                    add(Effect::UntilRestart, name, Some(value), "");
                }
            }
            for (option, value) in options_of_process {
                if !options.iter().any(|(name, _)| name == option) {
                    add(Effect::UntilRestart, &format!("--{option}"), Some(value), "");
                }
            }
        }
        found.sort();
        found
    }

    /// Whether a variable of this value makes the program another one.
    fn is_another(&self, name: &str, value: &str) -> bool {
        // What Go takes for false (`strconv.ParseBool`); an empty variable counts as none.
        let is_off = ["", "0", "f", "false"].contains(&value.to_lowercase().as_str());
        self.fixed.get(name).is_some_and(|own| own != value)
            || self.never.iter().any(|never| never == name) && !is_off
    }

    /// The variable of an option's name.
    fn variable(&self, option: &str) -> String {
        format!("{}{}", self.prefix, option.to_uppercase().replace('-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> OwnSettings {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        OwnSettings {
            unit: "etcd.service".to_owned(),
            prefix: "ETCD_".to_owned(),
            files: texts(&["/etc/default/etcd"]),
            fixed: BTreeMap::from([("ETCD_DATA_DIR".to_owned(), "/data/etcd".to_owned())]),
            never: texts(&["ETCD_FORCE_NEW_CLUSTER", "ETCD_CONFIG_FILE"]),
            at_birth: texts(&["ETCD_INITIAL_CLUSTER"]),
            program: "/usr/bin/etcd".to_owned(),
        }
    }

    fn told(value: &str, place: &str) -> Told {
        let packaged = place.starts_with("/usr/lib/");
        Told { value: value.to_owned(), place: place.to_owned(), packaged }
    }

    fn start(variables: &[(&str, &str, &str)], options: &[(&str, &str, &str)]) -> Start {
        let data = ("ETCD_DATA_DIR", "/data/etcd", "/etc/default/etcd");
        let variables = std::iter::once(&data).chain(variables);
        Start {
            variables: variables
                .map(|(name, value, place)| ((*name).to_owned(), told(value, place)))
                .collect(),
            options: options
                .iter()
                .map(|(name, value, place)| ((*name).to_owned(), told(value, place)))
                .collect(),
            ..Start::default()
        }
    }

    fn words(start: &Start) -> Vec<(Effect, String)> {
        let found = own().foreign(start);
        found.iter().map(|one| (one.effect, one.in_words())).collect()
    }

    const DROP_IN: &str = "/etc/systemd/system/etcd.service.d/x.conf";

    #[test]
    fn what_keddah_and_the_package_write_is_nobodys_else() {
        let own = start(
            &[
                ("ETCD_ELECTION_TIMEOUT", "1000", "/etc/default/etcd"),
                ("ETCD_NAME", "%H", "/usr/lib/systemd/system/etcd.service"),
            ],
            &[],
        );
        assert_eq!(words(&own), []);
    }

    #[test]
    fn a_member_that_would_start_as_another_one_comes_first() {
        let found = words(&start(
            &[
                ("ETCD_LOG_LEVEL", "debug", DROP_IN),
                ("ETCD_FORCE_NEW_CLUSTER", "true", DROP_IN),
                ("ETCD_DATA_DIR", "/elsewhere", DROP_IN),
            ],
            &[("snapshot-count", "5", DROP_IN), ("config-file", "/etc/etcd.yml", DROP_IN)],
        ));
        let shown = |effect, text: &str| (effect, format!("{text} ({DROP_IN})"));
        assert_eq!(
            found,
            [
                shown(Effect::NotItself, "--config-file=/etc/etcd.yml"),
                shown(Effect::NotItself, "ETCD_DATA_DIR=/elsewhere"),
                shown(Effect::NotItself, "ETCD_FORCE_NEW_CLUSTER=true"),
                shown(Effect::Undeclared, "--snapshot-count=5"),
                shown(Effect::Undeclared, "ETCD_LOG_LEVEL=debug"),
            ]
        );
        // Also in Keddah's own file, and as an option that a package's unit has.
        let by_hand = start(
            &[("ETCD_FORCE_NEW_CLUSTER", "1", "/etc/default/etcd")],
            &[("data-dir", "/x", "/usr/lib/systemd/system/etcd.service")],
        );
        assert_eq!(own().foreign(&by_hand).len(), 2);
        // Said to be off, it is only what nobody declared.
        let off = start(&[("ETCD_FORCE_NEW_CLUSTER", "False", DROP_IN)], &[]);
        assert_eq!(words(&off), [shown(Effect::Undeclared, "ETCD_FORCE_NEW_CLUSTER=False")]);
    }

    #[test]
    fn what_another_program_or_other_files_make_of_it_is_not_known() {
        let mut start = start(&[], &[]);
        start.program = Some(told("/usr/bin/etcd", DROP_IN));
        assert_eq!(words(&start), [], "the same program, whoever says so");
        start.program = Some(told("/usr/local/bin/etcdw", DROP_IN));
        start.surroundings = vec![("TemporaryFileSystem".to_owned(), told("/data/etcd", DROP_IN))];
        let shown = |text: &str| (Effect::NotItself, format!("{text} ({DROP_IN})"));
        assert_eq!(
            words(&start),
            [shown("ExecStart=/usr/local/bin/etcdw"), shown("TemporaryFileSystem=/data/etcd")]
        );
    }

    #[test]
    fn what_is_taken_away_is_missed() {
        let mut lacking = start(&[], &[]);
        lacking.variables.clear();
        lacking.unset =
            vec![told("ETCD_DATA_DIR", DROP_IN), told("ETCD_CLIENT_CERT_AUTH", DROP_IN)];
        assert_eq!(
            words(&lacking),
            [
                (Effect::NotItself, "no ETCD_DATA_DIR".to_owned()),
                (Effect::Undeclared, format!("no ETCD_CLIENT_CERT_AUTH ({DROP_IN})")),
            ]
        );
    }

    #[test]
    fn a_process_may_have_what_its_next_start_has_not() {
        let of = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let mut runs = start(&[], &[("log-level", "debug", DROP_IN)]);
        runs.running = Some((
            of(&[
                ("ETCD_DATA_DIR", "/data/etcd"),
                ("ETCD_INITIAL_CLUSTER", "a=b"),
                ("ETCD_UNSAFE_NO_FSYNC", "true"),
            ]),
            of(&[("log-level", "debug"), ("force-new-cluster", "true")]),
        ));
        let until_restart: Vec<ForeignSetting> = own()
            .foreign(&runs)
            .into_iter()
            .filter(|one| one.effect == Effect::UntilRestart)
            .collect();
        let names: Vec<&str> = until_restart.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["--force-new-cluster", "ETCD_UNSAFE_NO_FSYNC"]);
    }
}
