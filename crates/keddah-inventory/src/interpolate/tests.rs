use super::*;
use crate::value::Key;
use indexmap::IndexMap;

fn text(text: &str) -> Value {
    Value::from(Data::String(text.to_owned()))
}

fn list(items: &[&str]) -> Value {
    Value::from(Data::List(items.iter().map(|item| text(item)).collect()))
}

fn lookup(name: &str) -> Option<Value> {
    Some(match name {
        "admin_ip" => text("10.10.10.10"),
        "pg_rto" => Value::from(Data::Int(30)),
        "pg_version" => Value::from(Data::Int(17)),
        "flag" => Value::from(Data::Bool(true)),
        "endpoint" => text("${admin_ip}:9090"),
        "nothing" => Value::from(Data::Null),
        "packages" => list(&["node", "pgsql-utility", "${admin_ip}"]),
        "a" => text("x${b}"),
        "b" => text("{{ c }}"),
        "c" => text("${a}"),
        "half" => text("${half0}${half0}"),
        "raw" => Value::from(Data::Unsafe("${admin_ip}{{ x }}".to_owned())),
        _ => {
            let level: u32 = name.strip_prefix("half")?.parse().ok()?;
            if level > 28 {
                text("x")
            } else {
                text(&format!("${{half{0}}}${{half{0}}}", level + 1))
            }
        }
    })
}

fn expand(source: &str) -> Result<Value, Diagnostic> {
    interpolate(&text(source), &lookup, Unknown::Error)
}

#[test]
fn placeholders_and_expressions_expand() {
    for (source, expected) in [
        ("plain", text("plain")),
        ("http://${admin_ip}:80", text("http://10.10.10.10:80")),
        ("${endpoint}", text("10.10.10.10:9090")),
        ("pgvector_${ pg_version }*", text("pgvector_17*")),
        ("${pg_version}", Value::from(Data::Int(17))),
        ("${flag}!", text("true!")),
        ("${HOME:-/root} $x ${", text("${HOME:-/root} $x ${")),
        ("{{ pg_rto }}", Value::from(Data::Int(30))),
        ("{{ (pg_rto / 4)|round(0, 'ceil')|int }}", Value::from(Data::Int(8))),
        ("ttl: {{ pg_rto }}s", text("ttl: 30s")),
        (
            "{{ packages | reject('equalto', 'pgsql-utility') | list }}",
            list(&["node", "10.10.10.10"]),
        ),
        ("{{ endpoint }} ${admin_ip}", text("10.10.10.10:9090 10.10.10.10")),
        ("{{ missing | default('x') }}", text("x")),
        ("${raw}", Value::from(Data::Unsafe("${admin_ip}{{ x }}".to_owned()))),
    ] {
        assert_eq!(expand(source).unwrap(), expected, "{source}");
    }
    let map = IndexMap::from([(Key::new("${admin_ip}"), text("${admin_ip}"))]);
    let expected = IndexMap::from([(Key::new("${admin_ip}"), text("10.10.10.10"))]);
    let expanded = interpolate(&Data::Map(map).into(), &lookup, Unknown::Error).unwrap();
    assert_eq!(expanded, Data::Map(expected).into());
}

#[test]
fn problems_have_names() {
    for (source, code) in [
        ("${missing}", "unknown-placeholder"),
        ("{{ missing }}", "expression-failed"),
        ("{{ missing.field }}", "expression-failed"),
        ("{{ 1 + }}", "expression-failed"),
        ("{{ lookup('file', 'x') }}", "expression-failed"),
        ("x {{ pg_rto", "expression-failed"),
        ("${a}", "interpolation-cycle"),
        ("{{ b }}", "interpolation-cycle"),
        ("x${packages}", "interpolation-not-text"),
        ("x${nothing}", "interpolation-not-text"),
        ("${half}", "interpolation-too-large"),
    ] {
        assert_eq!(expand(source).unwrap_err().code, code, "{source}");
    }
    let cycle = expand("${a}").unwrap_err().message;
    assert_eq!(cycle, "variable `a` refers to itself: a → b → c → a");
}

#[test]
fn unknown_names_can_stay_for_later() {
    for source in ["x ${missing}", "{{ missing }} y", "${missing}"] {
        let kept = interpolate(&text(source), &lookup, Unknown::Keep).unwrap();
        assert_eq!(kept, text(source));
    }
    let mixed = interpolate(&text("${admin_ip}${missing}"), &lookup, Unknown::Keep).unwrap();
    assert_eq!(mixed, text("10.10.10.10${missing}"));
}
