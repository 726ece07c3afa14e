//! The privilege model of a cluster: whose future objects give what to whom (access control
//! document, "Default Privilege").

use super::Cluster;
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::model::{PgUser, State};
use keddah_inventory::parameters;
use keddah_resource::kind::pg_privileges::DefaultPrivilege;
use std::collections::BTreeSet;

impl Compiler<'_> {
    /// The default privileges for everyone who may make objects: the superuser, the admin user
    /// and `dbrole_admin`.
    pub(super) fn default_privileges(
        &self,
        cluster: &Cluster<'_>,
    ) -> Result<BTreeSet<DefaultPrivilege>, Problem> {
        let params = &cluster.params;
        let users = PgUser::all(params);
        let creators: Vec<String> = [
            cluster.superuser(),
            params.get(parameters::PG_ADMIN_USERNAME),
            "dbrole_admin".to_owned(),
        ]
        .into_iter()
        .filter(|creator| {
            users.iter().any(|user| user.name == *creator && user.state == State::Present)
                || *creator == cluster.superuser()
        })
        .collect();
        let mut privileges = BTreeSet::new();
        for statement in params.get(parameters::PG_DEFAULT_PRIVILEGES) {
            let Some((wanted, objects, grantees)) = parse_grant(&statement) else {
                return Err(problem(
                    "invalid-privilege",
                    params.span(parameters::PG_DEFAULT_PRIVILEGES),
                    format!(
                        "`{statement}` is not of the form GRANT privilege ON TABLES|SEQUENCES|\
                         FUNCTIONS|TYPES|SCHEMAS TO role"
                    ),
                ));
            };
            for creator in &creators {
                for privilege in &wanted {
                    for grantee in &grantees {
                        privileges.insert(DefaultPrivilege {
                            creator: creator.clone(),
                            objects: objects.clone(),
                            privilege: privilege.clone(),
                            grantee: grantee.clone(),
                        });
                    }
                }
            }
        }
        Ok(privileges)
    }
}

/// `GRANT a, b ON objects TO role, role` as its three lists.
fn parse_grant(statement: &str) -> Option<(Vec<String>, String, Vec<String>)> {
    let words: Vec<&str> = statement.split_whitespace().collect();
    let position = |word: &str| words.iter().position(|other| other.eq_ignore_ascii_case(word));
    let (on, to) = (position("ON")?, position("TO")?);
    if !words.first()?.eq_ignore_ascii_case("GRANT") || on < 2 || to != on + 2 {
        return None;
    }
    let list = |words: &[&str]| -> Vec<String> {
        words
            .join(" ")
            .split(',')
            .map(|word| word.trim().trim_matches('"').to_owned())
            .filter(|word| !word.is_empty())
            .collect()
    };
    let mut objects = words[on + 1].to_ascii_uppercase();
    if objects == "ROUTINES" {
        objects = "FUNCTIONS".to_owned();
    }
    let all: &[&str] = match objects.as_str() {
        "TABLES" => &["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
        "SEQUENCES" => &["SELECT", "USAGE", "UPDATE"],
        "FUNCTIONS" => &["EXECUTE"],
        "TYPES" => &["USAGE"],
        "SCHEMAS" => &["USAGE", "CREATE"],
        _ => return None,
    };
    let mut privileges: Vec<String> =
        list(&words[1..on]).into_iter().map(|word| word.to_ascii_uppercase()).collect();
    if privileges.iter().any(|word| word == "ALL" || word == "ALL PRIVILEGES") {
        privileges = all.iter().map(|&word| word.to_owned()).collect();
    }
    if privileges.is_empty()
        || privileges.iter().any(|word| !all.contains(&word.as_str()) && word != "MAINTAIN")
    {
        return None;
    }
    let grantees = list(&words[to + 1..]);
    (!grantees.is_empty()).then_some((privileges, objects, grantees))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read() {
        assert_eq!(
            parse_grant("GRANT USAGE      ON SCHEMAS    TO  dbrole_readonly"),
            Some((vec!["USAGE".into()], "SCHEMAS".into(), vec!["dbrole_readonly".into()]))
        );
        assert_eq!(parse_grant("GRANT ALL ON TYPES TO a, b").unwrap().2, ["a", "b"]);
        for bad in ["", "GRANT SELECT ON TABLES", "GRANT FLY ON TABLES TO x", "REVOKE x ON y TO z"]
        {
            assert_eq!(parse_grant(bad), None, "{bad}");
        }
    }
}
