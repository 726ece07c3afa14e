//! Random inventories: trees of groups with repeated groups and hosts, priorities, variables of
//! every kind, ranges, anchors and merge keys.

use proptest::prelude::*;
use std::fmt::Write;

#[derive(Debug, Clone)]
pub enum Content {
    /// A scalar without quotes, in whatever form.
    Plain(String),
    /// A text in double quotes.
    Quoted(String),
    List(Vec<Content>),
    /// Keys are plain scalars; an optional list of anchors is merged in.
    Map(Vec<(String, Content)>, Vec<usize>),
    /// An alias of one of the variables that carry anchors.
    Alias(usize),
}

type Variables = Vec<(String, Content)>;

#[derive(Debug, Clone)]
pub struct GroupNode {
    name: String,
    priority: Option<i32>,
    vars: Variables,
    hosts: Vec<(String, Variables)>,
    children: Vec<GroupNode>,
    hosts_last: bool,
}

#[derive(Debug, Clone)]
pub struct GeneratedInventory {
    anchors: Vec<Vec<(String, Content)>>,
    all: GroupNode,
    beside: Vec<GroupNode>,
}

const ANCHORS: usize = 3;

fn plain_scalar() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "yes", "no", "On", "off", "true", "False", "y", "n", "~", "null", "NULL", "0", "1",
            "-1", "0644", "0o644", "0x1f", "0b11", "1_000", "22:22", "1:60", "1.5", "1e3", "1.0e+3",
            ".5", "-.5", ".inf", "-.inf", "2030-12-31", "2001-12-14 21:59:43.10 -5", "10.10.10.10",
            "${admin_ip}", "text", "two words", "a:b", "x#y", "9223372036854775808", "08", "1__0.5",
            "12:30:45", "1:2.5", "2030-02-28 1:02:03",
        ]).prop_map(str::to_owned),
        2 => "[0-9.+][0-9_.:eE+-]{0,6}[0-9_.]",
        1 => "[+-]?[0-9][0-9_]{0,20}",
        1 => "0[bxo0-9][0-9a-f_]{0,8}",
        1 => "[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])([Tt ][0-2]?[0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{0,8})?( ?(Z|[+-][01]?[0-9](:[0-5][0-9])?))?)?",
        1 => "[a-zA-Z][a-zA-Z0-9_./-]{0,8}",
    ]
}

/// Dates are no keys: Ansible cannot print such a mapping.
fn plain_key() -> impl Strategy<Value = String> {
    plain_scalar().prop_filter("a date", |text| {
        let year = text.bytes().take_while(u8::is_ascii_digit).count();
        year != 4 || !text[year..].starts_with('-')
    })
}

fn content() -> impl Strategy<Value = Content> {
    let leaf = prop_oneof![
        6 => plain_scalar().prop_map(Content::Plain),
        2 => "[ -~é漢]{0,8}".prop_map(Content::Quoted),
        1 => (0..ANCHORS).prop_map(Content::Alias),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Content::List),
            (
                prop::collection::vec((plain_key(), inner), 0..4),
                prop::collection::vec(0..ANCHORS, 0..3),
            )
                .prop_map(|(entries, merged)| Content::Map(entries, merged)),
        ]
    })
}

fn variables() -> impl Strategy<Value = Variables> {
    let name = prop::sample::select(vec!["va", "vb", "vc", "vd", "ve"]).prop_map(str::to_owned);
    prop::collection::vec((name, content()), 0..4)
}

fn host_key() -> impl Strategy<Value = String> {
    prop_oneof![
        100 => prop::sample::select(vec![
            "10.10.10.10", "10.10.10.11", "node1", "node2", "node3", "node[1:3]", "node[01:02]",
            "x[a:c]", "10.10.10.[10:12]", "node1:2222", "node2:0", "node[3:1]",
        ]),
        1 => prop::sample::select(vec!["n[1:9:3]y", "node[1:2:0]", "g1", "12", "yes"]),
    ]
    .prop_map(str::to_owned)
}

fn hosts() -> impl Strategy<Value = Vec<(String, Variables)>> {
    prop::collection::vec((host_key(), variables()), 0..4)
}

fn group_name() -> impl Strategy<Value = String> {
    prop_oneof![
        60 => prop::sample::select(vec![
            "g1", "g2", "g3", "g4", "g5", "g6", "g7", "g8", "g9", "pg-a", "pg-b", "pg-c", "pg-d",
        ]),
        1 => prop::sample::select(vec!["ungrouped", "all"]),
    ]
    .prop_map(str::to_owned)
}

fn group() -> impl Strategy<Value = GroupNode> {
    let parts =
        || (group_name(), prop::option::weighted(0.2, -3..9), variables(), hosts(), any::<bool>());
    let leaf = parts().prop_map(|(name, priority, vars, hosts, hosts_last)| GroupNode {
        name,
        priority,
        vars,
        hosts,
        children: Vec::new(),
        hosts_last,
    });
    leaf.prop_recursive(4, 10, 3, move |inner| {
        (parts(), prop::collection::vec(inner, 0..4)).prop_map(
            |((name, priority, vars, hosts, hosts_last), children)| GroupNode {
                name,
                priority,
                vars,
                hosts,
                children,
                hosts_last,
            },
        )
    })
}

/// Any inventory of the generator; some of them are refused, for a circle or a bad range.
pub fn inventory() -> impl Strategy<Value = GeneratedInventory> {
    (
        prop::collection::vec(
            prop::collection::vec(("k[a-e]", plain_scalar().prop_map(Content::Plain)), 1..4),
            ANCHORS,
        ),
        variables(),
        hosts(),
        prop::collection::vec(group(), 1..4),
        prop::collection::vec(group(), 0..2),
    )
        .prop_map(|(anchors, vars, hosts, children, beside)| GeneratedInventory {
            anchors,
            all: GroupNode {
                name: "all".to_owned(),
                priority: None,
                vars,
                hosts,
                children,
                hosts_last: false,
            },
            beside,
        })
}

impl GeneratedInventory {
    /// The inventory as YAML, in a mixture of block and flow style.
    pub fn to_yaml(&self) -> String {
        let mut out = String::from("anchors:\n  vars:\n");
        for (index, entries) in self.anchors.iter().enumerate() {
            let _ = writeln!(out, "    anchor{index}: &a{index}");
            for (key, value) in entries {
                let _ = writeln!(out, "      {key}: {}", flow(value));
            }
        }
        // A repeated top-level key would hide the earlier one and end the search too early.
        let mut names = vec!["anchors"];
        for group in std::iter::once(&self.all).chain(&self.beside) {
            if !names.contains(&group.name.as_str()) {
                write_group(&mut out, group, 0);
                names.push(&group.name);
            }
        }
        out
    }
}

fn write_group(out: &mut String, group: &GroupNode, depth: usize) {
    let pad = "  ".repeat(depth);
    let _ = writeln!(out, "{pad}{}:", group.name);
    if !group.hosts_last {
        write_hosts(out, group, &pad);
    }
    if !group.vars.is_empty() || group.priority.is_some() {
        let _ = writeln!(out, "{pad}  vars:");
        if let Some(priority) = group.priority {
            let _ = writeln!(out, "{pad}    ansible_group_priority: {priority}");
        }
        for (name, value) in &group.vars {
            let _ = writeln!(out, "{pad}    {name}: {}", flow(value));
        }
    }
    // `ungrouped` belongs below `all` and contains no groups: elsewhere, Ansible forgets some of
    // the groups of its hosts.
    if !group.children.is_empty() && group.name != "ungrouped" {
        let _ = writeln!(out, "{pad}  children:");
        for child in &group.children {
            if depth == 0 && group.name == "all" || child.name != "ungrouped" {
                write_group(out, child, depth + 2);
            }
        }
    }
    if group.hosts_last {
        write_hosts(out, group, &pad);
    }
}

fn write_hosts(out: &mut String, group: &GroupNode, pad: &str) {
    if group.hosts.is_empty() {
        return;
    }
    let _ = writeln!(out, "{pad}  hosts:");
    for (key, vars) in &group.hosts {
        // Brackets, and a colon before a digit, need no quotes inside of a plain block key.
        if vars.is_empty() {
            let _ = writeln!(out, "{pad}    {key}:");
        } else {
            let _ = writeln!(out, "{pad}    {key}: {}", flow(&Content::Map(vars.clone(), vec![])));
        }
    }
}

fn flow(content: &Content) -> String {
    match content {
        // A comma or bracket would end a plain scalar in flow style.
        Content::Plain(text) => match text.contains(['{', '}', ',', '[', ']']) {
            true => format!("'{text}'"),
            false => text.clone(),
        },
        Content::Quoted(text) => {
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        }
        Content::List(items) => {
            format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", "))
        }
        Content::Map(entries, merged) => {
            let mut parts: Vec<String> = entries
                .iter()
                .map(|(key, value)| {
                    format!("{} : {}", flow(&Content::Plain(key.clone())), flow(value))
                })
                .collect();
            match merged.as_slice() {
                [] => {}
                [one] => parts.push(format!("<<: *a{one}")),
                more => {
                    let names: Vec<String> = more.iter().map(|name| format!("*a{name}")).collect();
                    parts.insert(0, format!("<<: [{}]", names.join(", ")));
                }
            }
            format!("{{ {} }}", parts.join(", "))
        }
        Content::Alias(index) => format!("*a{index}"),
    }
}
