//! Settings kept with roles and databases (`ALTER … SET`), and the lists among them.

use super::{identifier, quote_literal};
use crate::HostError;
use std::collections::BTreeMap;

/// Parameters whose value is a list of names that the server quotes one by one
/// (`GUC_LIST_QUOTE` in its source); as one literal, `a, b` would become a single strange name.
const NAME_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// The statements that lead from the settings there are to those that should be.
///
/// `subject` is what precedes SET and RESET, such as `ALTER ROLE "dba"`.
///
/// # Errors
/// When a name cannot be a parameter's.
pub fn assignments(
    subject: &str,
    present: &BTreeMap<String, String>,
    wanted: &BTreeMap<String, String>,
) -> Result<Vec<String>, HostError> {
    let mut statements = Vec::new();
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        statements.push(format!("{subject} reset {}", parameter_name(name)?));
    }
    for (name, value) in wanted {
        if present.get(name) != Some(value) {
            let value = value_expression(name, value);
            statements.push(format!("{subject} set {} to {value}", parameter_name(name)?));
        }
    }
    Ok(statements)
}

/// The parts of an extension's parameter are identifiers of their own: `"auto_explain"."log_analyze"`.
pub(crate) fn parameter_name(name: &str) -> Result<String, HostError> {
    let parts: Result<Vec<String>, HostError> = name.split('.').map(identifier).collect();
    Ok(parts?.join("."))
}

fn value_expression(name: &str, value: &str) -> String {
    if !is_name_list(name) {
        return quote_literal(value);
    }
    let items: Vec<String> =
        split_names(value, folds(name)).iter().map(|item| quote_literal(item)).collect();
    if items.is_empty() { "''".to_owned() } else { items.join(", ") }
}

fn is_name_list(name: &str) -> bool {
    NAME_LISTS.iter().any(|list| list.eq_ignore_ascii_case(name))
}

/// Schemas and tablespaces are SQL names, lower case unless quoted; files are not.
fn folds(name: &str) -> bool {
    ["search_path", "temp_tablespaces"].iter().any(|list| list.eq_ignore_ascii_case(name))
}

/// Splits a list of names; one in double or single quotes is taken as it is.
fn split_names(text: &str, fold: bool) -> Vec<String> {
    let mut names = Vec::new();
    let mut characters = text.trim().chars().peekable();
    while characters.peek().is_some() {
        let mut name = String::new();
        let mut quoted = false;
        while characters.next_if(|character| character.is_whitespace()).is_some() {}
        if let Some(quote) = characters.next_if(|character| matches!(character, '"' | '\'')) {
            quoted = true;
            while let Some(character) = characters.next() {
                if character == quote && characters.next_if_eq(&quote).is_none() {
                    break;
                }
                name.push(character);
            }
        }
        for character in characters.by_ref() {
            if character == ',' {
                break;
            }
            name.push(character);
        }
        let name = name.trim_end();
        if quoted || !name.is_empty() {
            names.push(if fold && !quoted { name.to_lowercase() } else { name.to_owned() });
        }
    }
    names
}

/// Settings as the catalog has them (`name=value`), spelled as they were declared wherever that
/// means the same: the server writes `TimeZone` for `timezone` and `a, b` for `a,b`.
pub fn as_declared(
    catalog: &[String],
    declared: Option<&BTreeMap<String, String>>,
) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in catalog.iter().filter_map(|setting| setting.split_once('=')) {
        let twin = declared.and_then(|declared| {
            declared.iter().find(|(declared, _)| declared.eq_ignore_ascii_case(name))
        });
        match twin {
            Some((spelling, wanted)) if same_value(name, wanted, value) => {
                settings.insert(spelling.clone(), wanted.clone());
            }
            Some((spelling, _)) => {
                settings.insert(spelling.clone(), value.to_owned());
            }
            None => {
                settings.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    settings
}

fn same_value(name: &str, one: &str, other: &str) -> bool {
    let names = |text: &str| -> Vec<String> {
        // An empty list is stored as one empty name.
        split_names(text, folds(name)).into_iter().filter(|name| !name.is_empty()).collect()
    };
    one == other || (is_name_list(name) && names(one) == names(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn lists_are_split_and_plain_values_are_not() {
        let wanted = map(&[
            ("search_path", r#""$user", App ,"My Schema""#),
            ("work_mem", "64MB"),
            ("auto_explain.log_min_duration", "1s"),
        ]);
        let statements = assignments("ALTER ROLE \"r\"", &map(&[("jit", "off")]), &wanted).unwrap();
        assert_eq!(
            statements,
            [
                r#"ALTER ROLE "r" reset "jit""#,
                r#"ALTER ROLE "r" set "auto_explain"."log_min_duration" to '1s'"#,
                r#"ALTER ROLE "r" set "search_path" to '$user', 'app', 'My Schema'"#,
                r#"ALTER ROLE "r" set "work_mem" to '64MB'"#,
            ]
        );
    }

    #[test]
    fn quotes_inside_quotes_and_empty_lists() {
        assert_eq!(split_names(r#""a""b,c", 'd''e'"#, true), [r#"a"b,c"#, "d'e"]);
        assert_eq!(split_names("  ", true), Vec::<String>::new());
        assert_eq!(split_names(r#""""#, true), [""]);
        assert_eq!(split_names("$libdir/Plugin", false), ["$libdir/Plugin"]);
        assert_eq!(value_expression("search_path", ""), "''");
    }

    #[test]
    fn what_means_the_same_is_spelled_as_declared() {
        let declared = map(&[("timezone", "UTC"), ("search_path", "app,public"), ("jit", "on")]);
        let catalog = ["TimeZone=UTC", "search_path=app, public", "jit=off", "work_mem=1MB"]
            .map(str::to_owned);
        let found = as_declared(&catalog, Some(&declared));
        assert_eq!(
            found,
            map(&[
                ("timezone", "UTC"),
                ("search_path", "app,public"),
                ("jit", "off"),
                ("work_mem", "1MB")
            ])
        );
    }
}
