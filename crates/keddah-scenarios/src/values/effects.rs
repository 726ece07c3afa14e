//! What the registry says of a parameter is so: one that is managed changes what is made, and one that
//! has no effect, or is decided by Keddah, changes nothing. The fleet is compiled with each value, so
//! that a name in a comment, or a value that is read for nothing, convinces nobody.

use super::fleet::{Made, Setting, make};
use super::samples::samples;
use keddah_inventory::registry::{self, Parameter, Support};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Parameters that act outside of the compilation of a new fleet, and the file in which.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ca_create", "crates/keddah-controller/src/authority.rs"),
    ("ca_cn", "crates/keddah-controller/src/authority.rs"),
    ("etcd_learner", "crates/keddah-compile/src/topology.rs"),
    ("etcd_safeguard", "crates/keddah-controller/src/remove.rs"),
    ("keddah_accept", "crates/keddah-compile/src/health.rs"),
    ("pg_safeguard", "crates/keddah-controller/src/remove.rs"),
];

/// Parameters of which one value alone is run, and every other is refused by `keddah check`.
const REFUSED: &[&str] = &["pg_mode"];

/// All that a setting comes to, as one text.
fn outcome(made: Made, parameter: &Parameter) -> String {
    let Made { fleet, removal, errors } = made;
    let mut text = String::new();
    for fleet in [Some(fleet), removal].into_iter().flatten() {
        match fleet {
            Ok(compiled) => {
                for one in compiled.fleet.iter() {
                    let spec = serde_json::to_string(&one.spec).expect("a spec is JSON");
                    text.push_str(&format!("{} {spec} {:?}\n", one.id, one.after));
                }
            }
            Err(problems) => {
                let codes: Vec<&str> = problems.iter().map(|problem| problem.code).collect();
                text.push_str(&format!("refused: {codes:?}\n"));
            }
        }
    }
    if REFUSED.contains(&parameter.name) {
        text.push_str(&format!("{errors:?}"));
    }
    text
}

/// Whether any value of a parameter changes what is made, of machines or of containers.
fn acts(parameter: &'static Parameter) -> bool {
    let name = parameter.name;
    let of = |value| outcome(make(&Setting::of(name, value), "trixie", false), parameter);
    let before = of(None);
    samples(parameter).into_iter().any(|value| of(Some(value)) != before)
}

/// Whether nothing comes of the first value of each of these, of the second of each, and so on.
fn together_idle(parameters: &[&'static Parameter]) -> bool {
    let tried: Vec<_> = parameters.iter().map(|one| (one.name, samples(one))).collect();
    let most = tried.iter().map(|(_, values)| values.len()).max().unwrap_or_default();
    let of = |beside: Map<String, Value>| {
        let setting = Setting { name: "version", value: None, beside };
        outcome(make(&setting, "trixie", false), parameters[0])
    };
    let before = of(Map::new());
    (0..most).all(|at| {
        let values = tried
            .iter()
            .filter_map(|(name, values)| Some(((*name).to_owned(), values.get(at)?.clone())));
        of(values.collect()) == before
    })
}

/// Each parameter that acts or does not, on all processors.
fn tried(parameters: &[&'static Parameter]) -> BTreeMap<&'static str, bool> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, Into::into) {
            scope.spawn(|| {
                while let Some(parameter) = parameters.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let acts = acts(parameter);
                    found.lock().expect("nobody panicked").insert(parameter.name, acts);
                }
            });
        }
    });
    found.into_inner().expect("nobody panicked")
}

#[test]
fn what_is_managed_acts_and_what_is_not_does_not() {
    let all: Vec<&'static Parameter> = registry::all().chain(registry::extra()).collect();
    let here: Vec<&'static Parameter> = all
        .into_iter()
        .filter(|parameter| !ELSEWHERE.iter().any(|(name, _)| *name == parameter.name))
        .collect();
    let (acting, idle): (Vec<_>, Vec<_>) =
        here.iter().copied().partition(|one| one.support == Support::Managed);
    let mut acts = tried(&acting);
    // Those that should do nothing are tried together, and each by itself only where they do something.
    acts.extend(if together_idle(&idle) {
        idle.iter().map(|one| (one.name, false)).collect()
    } else {
        tried(&idle)
    });
    let mut wrong = Vec::new();
    for parameter in here {
        let name = parameter.name;
        match (parameter.support, acts[name]) {
            (Support::Managed, false) => wrong.push(format!("{name} is managed, and does nothing")),
            (Support::Accepted | Support::Decided(_) | Support::Unmanaged, true) => {
                wrong.push(format!("{name} is said to do nothing, and does something"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_acts_elsewhere_is_read_there() {
    for (name, path) in ELSEWHERE {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
        let text = std::fs::read_to_string(&path).expect("a source");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let handle = format!("parameters::{}", name.to_uppercase());
        let read = code.into_iter().any(|line| line.contains(&handle));
        assert!(read, "{name} is not read in {}", path.display());
        let parameter = registry::find(name).expect("a parameter");
        assert_eq!(parameter.support, Support::Managed, "{name}");
    }
}
