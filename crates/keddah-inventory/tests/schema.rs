//! The JSON Schema: well-formed, and complete against the registry.

use keddah_inventory::{registry, schema};
use serde_json::Value as Json;

#[test]
fn every_parameter_stands_in_the_schema_with_its_description() {
    let schema = schema();
    let properties = &schema["definitions"]["vars"]["properties"];
    for parameter in registry::all().chain(registry::extra()) {
        let property = &properties[parameter.name];
        let description = property["description"].as_str().unwrap_or_default();
        assert!(description.starts_with(parameter.description), "{}", parameter.name);
        assert_eq!(property.get("default").cloned(), parameter.default.to_json());
    }
    for (older, _) in registry::aliases() {
        assert!(properties[older].is_object(), "{older}");
    }
}

#[test]
fn every_reference_leads_to_a_definition() {
    fn walk(node: &Json, root: &Json, count: &mut usize) {
        match node {
            Json::Object(entries) => {
                if let Some(target) = entries.get("$ref").and_then(Json::as_str) {
                    let pointer = target.strip_prefix('#').expect("a local reference");
                    assert!(root.pointer(pointer).is_some_and(Json::is_object), "{target}");
                    *count += 1;
                }
                entries.values().for_each(|entry| walk(entry, root, count));
            }
            Json::Array(items) => items.iter().for_each(|item| walk(item, root, count)),
            _ => {}
        }
    }
    let schema = schema();
    let mut count = 0;
    walk(&schema, &schema, &mut count);
    assert!(count > 300, "{count} references");
}

#[test]
fn groups_nest_and_unknown_names_are_refused() {
    let schema = schema();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let group = &schema["definitions"]["group"]["properties"];
    assert_eq!(group["children"]["additionalProperties"]["$ref"], "#/definitions/group");
    assert_eq!(group["hosts"]["additionalProperties"]["$ref"], "#/definitions/vars");
    let vars = &schema["definitions"]["vars"];
    assert_eq!(vars["additionalProperties"], false);
    assert_eq!(vars["patternProperties"]["^ansible_"], true);
}
