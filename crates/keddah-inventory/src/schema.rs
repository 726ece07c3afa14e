//! The JSON Schema (draft-07) of an inventory file, for editors: made from the parameter registry.

use crate::registry::{self, Field, Parameter, ParameterType, Structure};
use serde_json::{Map, Value as Json, json};

/// The schema that `keddah schema` prints and VS Code's YAML extension accepts.
///
/// It is as strict as an editor can be without resolving variables: names, types, words and
/// ranges. Everything that needs the whole inventory is [`crate::check`]'s part.
pub fn schema() -> Json {
    let mut definitions = Map::new();
    let mut properties = Map::new();
    for parameter in registry::all().chain(registry::extra()) {
        let mut schema = parameter_schema(parameter, &mut definitions);
        if parameter.name == "pg_instances" {
            let vars = json!({ "$ref": "#/definitions/vars" });
            schema["anyOf"] = json!([
                { "type": "object", "additionalProperties": vars },
                { "$ref": "#/definitions/placeholder" },
                { "type": "null" },
            ]);
        }
        properties.insert(parameter.name.into(), schema);
    }
    for (older, today) in registry::aliases() {
        if let Some(parameter) = registry::find(today) {
            let mut schema = parameter_schema(parameter, &mut definitions);
            schema["description"] = format!("Older name of `{today}`.").into();
            schema["deprecationMessage"] = format!("today's name is `{today}`").into();
            properties.insert(older.into(), schema);
        }
    }
    definitions.insert(
        "vars".into(),
        json!({
            "description": "Parameters by name.",
            "type": ["object", "null"],
            "properties": properties,
            // Ansible's own variables, and parts of the stack that Keddah does not manage.
            "patternProperties": {
                "^ansible_": true,
                "^(docker|loki|promtail|prometheus|pushgateway|ferret|mongo|juice|kafka|mysql)_": true,
            },
            "additionalProperties": false,
        }),
    );
    definitions.insert(
        "group".into(),
        json!({
            "description": "A group of nodes: a cluster, or several.",
            "type": ["object", "null"],
            "properties": {
                "hosts": {
                    "description": "The group's nodes by IP address, each with variables of its own.",
                    "type": ["object", "null"],
                    "additionalProperties": { "$ref": "#/definitions/vars" },
                },
                "vars": { "$ref": "#/definitions/vars" },
                "children": {
                    "description": "Groups inside this group, by name.",
                    "type": ["object", "null"],
                    "additionalProperties": { "$ref": "#/definitions/group" },
                },
            },
            "additionalProperties": false,
        }),
    );
    definitions.insert(
        "placeholder".into(),
        json!({
            "description": "A value that is filled in from other parameters.",
            "type": "string",
            "pattern": "\\$\\{|\\{\\{",
        }),
    );
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Keddah inventory",
        "description": "Nodes and clusters with their parameters, in Ansible's inventory format.",
        "type": "object",
        "properties": { "all": { "$ref": "#/definitions/group" } },
        "additionalProperties": { "$ref": "#/definitions/group" },
        "definitions": definitions,
    })
}

fn parameter_schema(parameter: &Parameter, definitions: &mut Map<String, Json>) -> Json {
    let mut schema = value_schema(&parameter.kind, definitions);
    schema["description"] = format!(
        "{}\n\n{} · level {}",
        parameter.description,
        parameter.module,
        parameter.levels.as_str()
    )
    .into();
    if let Some(default) = parameter.default.to_json() {
        schema["default"] = default;
    }
    schema
}

/// The schema of a value that may also be empty or a placeholder.
fn value_schema(kind: &ParameterType, definitions: &mut Map<String, Json>) -> Json {
    let own = kind_schema(kind, definitions);
    json!({ "anyOf": [own, { "$ref": "#/definitions/placeholder" }, { "type": "null" }] })
}

fn kind_schema(kind: &ParameterType, definitions: &mut Map<String, Json>) -> Json {
    let scalar = json!(["string", "number", "boolean"]);
    match kind {
        ParameterType::Text
        | ParameterType::Arguments
        | ParameterType::Url
        | ParameterType::DatabaseUrl
        | ParameterType::Username
        | ParameterType::Password => json!({ "type": scalar }),
        ParameterType::Path => json!({ "type": "string", "pattern": "^/" }),
        ParameterType::RelativePath => json!({ "type": "string" }),
        ParameterType::Size => json!({
            "type": ["string", "integer"],
            "pattern": "^ *[0-9.]+ *([kKmMgGtT]?[iI]?[bB]?) *$",
            "minimum": 0,
        }),
        ParameterType::Interval | ParameterType::Duration => json!({
            "type": ["string", "integer"],
            "pattern": "^ *[0-9.]+ *(us|ms|s|sec|m|min|h|hour|d|day|days|w|y)? *$",
            "minimum": 0,
        }),
        ParameterType::Ip => json!({
            "type": "string",
            "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
        }),
        ParameterType::IpOrEmpty | ParameterType::IpList | ParameterType::Cidr => {
            json!({ "type": "string" })
        }
        ParameterType::Cidr4 => json!({
            "type": "string",
            "pattern": "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$",
        }),
        ParameterType::Integer { min, max } => {
            let number = if *max == i64::MAX {
                json!({ "type": "integer", "minimum": min })
            } else {
                json!({ "type": "integer", "minimum": min, "maximum": max })
            };
            json!({ "anyOf": [number, { "type": "string", "pattern": "^-?[0-9]+$" }] })
        }
        ParameterType::IntegerOr { words } => json!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "enum": words },
                { "type": "string", "pattern": "^[0-9]+$" },
            ],
        }),
        ParameterType::Port => json!({
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 65535 },
                { "type": "string", "pattern": "^[0-9]{1,5}$" },
            ],
        }),
        ParameterType::Float { min, max } => {
            json!({ "type": "number", "minimum": min, "maximum": max })
        }
        ParameterType::Bool => json!({ "type": "boolean" }),
        ParameterType::Choice { values, open } => choice_schema(values, *open),
        ParameterType::TextList => json!({ "type": "array", "items": { "type": scalar } }),
        ParameterType::PathList => json!({ "type": "array", "items": { "type": "string" } }),
        ParameterType::CidrList => json!({ "type": "array", "items": { "type": "string" } }),
        ParameterType::PortList => json!({
            "type": "array",
            "items": { "type": "integer", "minimum": 1, "maximum": 65535 },
        }),
        ParameterType::Mapping => json!({ "type": "object" }),
        ParameterType::One(structure) => reference(structure, definitions),
        ParameterType::List(structure) => {
            let item = reference(structure, definitions);
            let item = match structure.shorthand {
                Some(_) => json!({ "anyOf": [item, { "type": "string" }] }),
                None => item,
            };
            json!({ "type": "array", "items": item })
        }
        ParameterType::TextOrList => json!({
            "anyOf": [{ "type": scalar }, { "type": "array", "items": { "type": scalar } }],
        }),
    }
}

fn choice_schema(values: &[&str], open: bool) -> Json {
    // An editor that reads YAML 1.1 sees a bare `off` as false, and `18` is a number everywhere.
    let mut words: Vec<Json> = values.iter().map(|word| (*word).into()).collect();
    words.extend(values.iter().filter_map(|word| word.parse::<i64>().ok()).map(Json::from));
    if values.contains(&"off") {
        words.push(false.into());
    }
    if open {
        json!({ "anyOf": [{ "enum": words }, { "type": ["string", "number"] }] })
    } else {
        json!({ "enum": words })
    }
}

fn reference(structure: &'static Structure, definitions: &mut Map<String, Json>) -> Json {
    // Structures of the same name differ by their list's name and first field.
    let key = format!(
        "{} {} {}",
        structure.name,
        structure.list_name,
        structure.fields.last().map_or("", |field| field.name)
    )
    .replace(['[', ']'], "")
    .replace(' ', "-");
    if !definitions.contains_key(&key) {
        // Reserve the name first: structures may contain themselves.
        definitions.insert(key.clone(), Json::Null);
        let mut properties = Map::new();
        for field in structure.fields {
            for name in std::iter::once(&field.name).chain(field.aliases) {
                properties.insert((*name).into(), field_schema(field, name, definitions));
            }
        }
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": structure.open,
        });
        let required: Vec<Json> = structure.fields.iter().filter_map(required).collect();
        if !required.is_empty() {
            schema["allOf"] = required.into();
        }
        definitions.insert(key.clone(), schema);
    }
    json!({ "$ref": format!("#/definitions/{key}") })
}

/// A required field under any of its spellings.
fn required(field: &Field) -> Option<Json> {
    field.required.then(|| {
        let spellings: Vec<Json> = std::iter::once(&field.name)
            .chain(field.aliases)
            .map(|name| json!({ "required": [name] }))
            .collect();
        json!({ "anyOf": spellings })
    })
}

fn field_schema(field: &Field, name: &str, definitions: &mut Map<String, Json>) -> Json {
    let mut schema = value_schema(&field.kind, definitions);
    schema["description"] = if name == field.name {
        match field.default {
            "" => field.description.into(),
            default => format!("{} Default: {default}.", field.description).into(),
        }
    } else {
        format!("Older name of `{}`.", field.name).into()
    };
    schema
}
