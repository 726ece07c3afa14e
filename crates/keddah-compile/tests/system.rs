//! What a node's system is asked for: time zone, aliases, kernel modules, swap, proxy, directories.

mod support;

use keddah_compile::{Removing, probes};
use keddah_core::{NodeName, SourceMap};
use keddah_resource::kind::sysctl;
use keddah_resource::{Kind, NodeFacts, ResourceId, Spec};
use std::collections::BTreeMap;
use support::{compiled, facts, file, without};

const NODE: &str = "10.0.0.1";

fn inventory(vars: &str) -> String {
    format!("all: {{ hosts: {{ {NODE}: {{ {vars} }} }} }}\n")
}

/// A machine that is no container.
fn machine() -> BTreeMap<NodeName, NodeFacts> {
    [(NodeName::new(NODE), NodeFacts { sysctl_read_only: false, ..facts() })].into()
}

fn container() -> BTreeMap<NodeName, NodeFacts> {
    [(NodeName::new(NODE), facts())].into()
}

fn kernel(vars: &str, nodes: &BTreeMap<NodeName, NodeFacts>) -> sysctl::Spec {
    let compiled = compiled(&inventory(vars), nodes);
    let id = ResourceId::new(&NodeName::new(NODE), Kind::Sysctl, "sysctl");
    match &compiled.fleet.get(&id).expect("every node has a kernel").spec {
        Spec::Sysctl(spec) => (**spec).clone(),
        other => panic!("a {}", other.kind()),
    }
}

/// The code with which it does not compile.
fn refused(vars: &str, nodes: &BTreeMap<NodeName, NodeFacts>) -> &'static str {
    let problems = without(&inventory(vars), nodes, &Removing::default()).expect_err(vars);
    assert!(problems[0].primary.is_some(), "{problems:?}");
    problems[0].code
}

#[test]
fn a_container_keeps_its_hosts_swap_and_modules() {
    let wanted = kernel("node_disable_swap: true, node_kernel_modules: [ softdog ]", &machine());
    assert!(wanted.without_swap && wanted.modules.contains("softdog"), "{wanted:?}");
    let spared = kernel("node_disable_swap: true, node_kernel_modules: [ softdog ]", &container());
    assert!(!spared.without_swap && spared.modules.is_empty(), "{spared:?}");
    let told = compiled(&inventory("node_disable_swap: true"), &container());
    assert_eq!(file(&told, NODE, "/etc/modules-load.d/keddah.conf"), None);
    assert!(told.notes.iter().any(|note| note.contains("node_disable_swap")), "{:?}", told.notes);
    assert!(!kernel("", &machine()).without_swap, "unasked");
    // One whose /proc/sys can be written.
    let mut privileged = machine();
    for facts in privileged.values_mut() {
        facts.system.container = true;
    }
    let spared = kernel("node_disable_swap: true, node_kernel_modules: [ softdog ]", &privileged);
    assert!(!spared.without_swap && spared.modules.is_empty(), "{spared:?}");
}

#[test]
fn a_module_that_the_kernel_lacks_is_an_error_only_where_it_is_asked_for() {
    let mut nodes = machine();
    for facts in nodes.values_mut() {
        facts.system.missing_modules = vec!["softdog".to_owned()];
    }
    let default = kernel("", &nodes);
    assert!(!default.modules.contains("softdog") && default.modules.contains("ip_vs"));
    assert_eq!(refused("node_kernel_modules: [ softdog ]", &nodes), "bad-module");
    assert_eq!(refused("node_kernel_modules: [ '../x' ]", &nodes), "bad-module");
}

#[test]
fn huge_pages_are_a_share_of_memory_unless_they_are_counted() {
    let pages = |vars: &str| kernel(vars, &machine()).values.get("vm.nr_hugepages").cloned();
    assert_eq!(pages(""), None);
    // 24 GiB of memory.
    assert_eq!(pages("node_hugepage_ratio: 0.25").as_deref(), Some("3072"));
    assert_eq!(pages("node_hugepage_ratio: 0.25, node_hugepage_count: 7").as_deref(), Some("7"));
}

#[test]
fn a_time_zone_is_one_that_the_node_has() {
    let zone = |name: &str| format!("node_timezone: '{name}'");
    let berlin = compiled(&inventory(&zone("Europe/Berlin")), &container());
    assert_eq!(file(&berlin, NODE, "/etc/timezone").as_deref(), Some("Europe/Berlin\n"));
    let link = ResourceId::new(&NodeName::new(NODE), Kind::Symlink, "/etc/localtime");
    let link = berlin.fleet.get(&link).expect("it is linked");
    assert!(matches!(&link.spec, Spec::Symlink(link) if link.target.ends_with("/Europe/Berlin")));
    let mut nodes = container();
    for facts in nodes.values_mut() {
        facts.system.has_timezone = Some(false);
    }
    assert_eq!(refused(&zone("Europe/Berlni"), &nodes), "unknown-timezone");
    for outside in ["../../etc/passwd", "/etc/passwd", "Europe/", ""] {
        if !outside.is_empty() {
            assert_eq!(refused(&zone(outside), &container()), "unknown-timezone", "{outside}");
        }
    }
    let text = inventory(&zone("Europe/Berlin"));
    let mut sources = SourceMap::default();
    let (loaded, _) = keddah_inventory::load(&mut sources, "t.yml", text.as_bytes());
    let asked = probes(&loaded.expect("it loads"));
    assert_eq!(asked[&NodeName::new(NODE)].system.timezone.as_deref(), Some("Europe/Berlin"));
    let untouched = compiled(&inventory(""), &container());
    assert_eq!(file(&untouched, NODE, "/etc/hosts-that-is-not-there"), None);
    assert!(!untouched.fleet.iter().any(|one| one.id.name == "/etc/localtime"), "left alone");
}

#[test]
fn aliases_are_quoted() {
    let some =
        compiled(&inventory("node_aliases: { p: psql, 'q.1': \"echo 'x y'\" }"), &container());
    let text = file(&some, NODE, "/etc/profile.d/keddah-aliases.sh").expect("it is there");
    assert!(text.contains("alias p='psql'\nalias q.1='echo '\\''x y'\\'''\n"), "{text}");
    assert_eq!(refused("node_aliases: { 'a b': x }", &container()), "bad-alias");
    assert_eq!(refused("node_aliases: { a: [ x ] }", &container()), "bad-alias");
}

#[test]
fn a_proxy_is_apts_and_no_login_in_it_is_shown() {
    let path = "/etc/apt/apt.conf.d/90keddah-proxy";
    assert_eq!(file(&compiled(&inventory(""), &container()), NODE, path), None);
    let vars = "proxy_env: { http_proxy: 'http://u:p@10.0.0.9:3128', no_proxy: 'localhost,*.x,10.0.0.0/8' }";
    let some = compiled(&inventory(vars), &container());
    let text = file(&some, NODE, path).expect("it is there");
    assert!(text.contains("Acquire::http::Proxy \"http://u:p@10.0.0.9:3128\";\n"), "{text}");
    assert!(text.contains("Acquire::http::Proxy::localhost \"DIRECT\";\n"), "{text}");
    assert!(!text.contains("10.0.0.0") && !text.contains("https"), "{text}");
    assert!(!format!("{:?}", some.fleet).contains("u:p@"), "a password");
    // Without a login, whoever asks apt something may read it.
    let plain =
        compiled(&inventory("proxy_env: { all_proxy: 'http://10.0.0.9:3128' }"), &container());
    let found = plain.fleet.iter().find(|one| one.id.name == path).expect("it is there");
    let Spec::File(found) = &found.spec else { panic!("a {}", found.spec.kind()) };
    assert_eq!(found.present.as_ref().map(|one| one.permissions.mode), Some(0o644));
    assert!(!found.is_secret());
    assert_eq!(refused("proxy_env: { http_proxy: 'x\"; Foo \"' }", &container()), "bad-proxy");
}

#[test]
fn packages_are_those_of_all_lists() {
    let vars = "node_default_packages: [ 'jq, lz4' ], node_packages: [ tree ]";
    let compiled = compiled(&inventory(vars), &container());
    let id = ResourceId::new(&NodeName::new(NODE), Kind::Packages, "node");
    let Some(Spec::Packages(set)) = compiled.fleet.get(&id).map(|one| &one.spec) else {
        panic!("no packages")
    };
    for name in ["jq", "lz4", "tree"] {
        assert!(set.names.iter().any(|one| one == name), "{:?}", set.names);
    }
}

#[test]
fn the_data_directory_is_made_where_it_is_named() {
    let made = |vars: &str| {
        let compiled = compiled(&inventory(vars), &container());
        let directories = compiled.fleet.iter().filter(|one| one.id.kind == Kind::Directory);
        directories.map(|one| one.id.name.clone()).collect::<Vec<_>>()
    };
    assert!(made("node_data: /srv/all/data").contains(&"/srv/all/data".to_owned()));
    assert!(!made("").contains(&"/data".to_owned()), "the default is what others name");
}
