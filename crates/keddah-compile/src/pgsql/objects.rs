//! What is in a cluster: databases, schemas, extensions, privileges and baselines, on the leader.

use super::Cluster;
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::model::{DatabaseState, PgDatabase, PgExtension, PgUser, State};
use keddah_resource::kind::pg_privileges::{DefaultPrivilege, SchemaPrivilege};
use keddah_resource::kind::{
    PgConnection, pg_baseline, pg_database, pg_extension, pg_privileges, pg_schema,
};
use keddah_resource::{Module, Resource, ResourceId, Spec};
use std::collections::BTreeSet;

/// Databases that every cluster has; what is put into `template1` is in every later database.
const TEMPLATE: &str = "template1";
const MAINTENANCE: &str = "postgres";

impl Compiler<'_> {
    pub(super) fn objects(
        &mut self,
        cluster: &Cluster<'_>,
        roles: &[ResourceId],
    ) -> Result<(), Problem> {
        let params = &cluster.params;
        if !params.bool("pg_provision") {
            return Ok(());
        }
        let extensions = PgExtension::defaults(params);
        let defaults = self.default_privileges(cluster)?;
        let template = self.contents(cluster, TEMPLATE, None, &[], &extensions, &defaults, roles);
        self.contents(cluster, MAINTENANCE, None, &[], &extensions, &defaults, roles);
        for database in PgDatabase::business(params) {
            let mut before = roles.to_vec();
            before.extend(template.iter().cloned());
            let id = self.add(cluster, self.database(cluster, &database).into(), &before);
            // Nobody can connect to put anything into it.
            if database.state == DatabaseState::Absent || !database.allowconn {
                continue;
            }
            if database.state == DatabaseState::Recreate {
                self.notes.push(format!(
                    "{}: the database `{}` says `state: recreate`; it is kept as it is, because \
                     apply never drops data that is wanted",
                    cluster.name, database.name
                ));
            }
            let mut wanted = database.extensions.clone();
            wanted.extend(
                extensions
                    .iter()
                    .filter(|default| {
                        !database.extensions.iter().any(|own| own.name == default.name)
                    })
                    .cloned(),
            );
            let owner = database.owner.clone().unwrap_or_else(|| cluster.superuser());
            let mut contents = self.contents(
                cluster,
                &database.name,
                Some(&owner),
                &database.schemas,
                &wanted,
                &defaults,
                std::slice::from_ref(&id),
            );
            contents.push(id);
            self.baseline(cluster, &database, &contents);
        }
        Ok(())
    }

    fn add(&mut self, cluster: &Cluster<'_>, spec: Spec, after: &[ResourceId]) -> ResourceId {
        let node = &cluster.leader().node.name;
        self.fleet.add(
            Resource::new(node, Module::Pgsql, spec)
                .in_cluster(&cluster.name)
                .after(after.iter().cloned()),
        )
    }

    fn database(&self, cluster: &Cluster<'_>, database: &PgDatabase) -> pg_database::Spec {
        let params = &cluster.params;
        let owner = database.owner.clone().unwrap_or_else(|| cluster.superuser());
        let connect_roles: BTreeSet<String> =
            ["pg_replication_username", "pg_monitor_username", "pg_admin_username"]
                .map(|name| params.str(name))
                .into_iter()
                .filter(|role| *role != owner)
                .collect();
        let locale = |own: &Option<String>| own.clone().or_else(|| database.locale.clone());
        let present = pg_database::Database {
            owner,
            template: database.template.clone(),
            encoding: database.encoding.as_deref().map(encoding_name),
            collate: locale(&database.lc_collate),
            ctype: locale(&database.lc_ctype),
            tablespace: database.tablespace.clone(),
            allow_connections: database.allowconn,
            connection_limit: i32::try_from(database.connlimit).unwrap_or(-1),
            public_connect: !database.revokeconn,
            connect_roles: if database.revokeconn { connect_roles } else { BTreeSet::new() },
            parameters: database.parameters.iter().cloned().collect(),
            comment: database.comment.clone(),
        };
        pg_database::Spec {
            connection: cluster.connection(),
            database: database.name.clone(),
            present: (database.state != DatabaseState::Absent).then_some(present),
        }
    }

    /// Schemas, extensions and privileges of one database.
    #[expect(clippy::too_many_arguments, reason = "one list for each kind of thing in a database")]
    fn contents(
        &mut self,
        cluster: &Cluster<'_>,
        database: &str,
        owner: Option<&str>,
        schemas: &[keddah_inventory::model::PgSchema],
        extensions: &[PgExtension],
        defaults: &BTreeSet<DefaultPrivilege>,
        after: &[ResourceId],
    ) -> Vec<ResourceId> {
        let connection = cluster.connection();
        let mut ids = Vec::new();
        let mut schema_specs: Vec<pg_schema::Spec> = cluster
            .params
            .texts("pg_default_schemas")
            .into_iter()
            .map(|schema| schema_spec(&connection, database, schema, None, true))
            .collect();
        for schema in schemas {
            schema_specs.retain(|other| other.schema != schema.name);
            schema_specs.push(schema_spec(
                &connection,
                database,
                schema.name.clone(),
                schema.owner.clone().or_else(|| owner.map(str::to_owned)),
                schema.state == State::Present,
            ));
        }
        // The schema `public` gets what a schema that is made later gets.
        let superuser = cluster.superuser();
        let public_schema = defaults
            .iter()
            .filter(|one| one.objects == "SCHEMAS" && one.creator == superuser)
            .map(|one| SchemaPrivilege {
                privilege: one.privilege.clone(),
                grantee: one.grantee.clone(),
            })
            .collect();
        let privileges = pg_privileges::Spec {
            connection: connection.clone(),
            database: database.to_owned(),
            defaults: defaults.clone(),
            public_schema,
            public_create: false,
        };
        let privileges = self.add(cluster, privileges.into(), after);
        // Schemas and extensions come after the default privileges, so that theirs are right.
        for spec in schema_specs {
            ids.push(self.add(cluster, spec.into(), std::slice::from_ref(&privileges)));
        }
        ids.push(privileges);
        let before = ids.clone();
        for extension in extensions {
            let spec = pg_extension::Spec {
                connection: connection.clone(),
                database: database.to_owned(),
                extension: extension.name.clone(),
                schema: extension.schema.clone(),
                version: extension.version.clone(),
                present: extension.state == State::Present,
            };
            ids.push(self.add(cluster, spec.into(), &before));
        }
        ids
    }

    fn baseline(&mut self, cluster: &Cluster<'_>, database: &PgDatabase, after: &[ResourceId]) {
        let Some(file) = &database.baseline else { return };
        let Some(sql) = self.input.baselines.get(file) else {
            self.notes.push(format!(
                "{}: the baseline `{file}` of the database `{}` is not under files/; it is not run",
                cluster.name, database.name
            ));
            return;
        };
        let spec = pg_baseline::Spec {
            connection: cluster.connection(),
            database: database.name.clone(),
            file: file.clone(),
            sql: sql.clone(),
        };
        self.add(cluster, spec.into(), after);
    }

    /// The default privileges for everyone who may make objects: the superuser, the admin user
    /// and `dbrole_admin`.
    fn default_privileges(
        &self,
        cluster: &Cluster<'_>,
    ) -> Result<BTreeSet<DefaultPrivilege>, Problem> {
        let params = &cluster.params;
        let users = PgUser::all(params);
        let creators: Vec<String> =
            [cluster.superuser(), params.str("pg_admin_username"), "dbrole_admin".to_owned()]
                .into_iter()
                .filter(|creator| {
                    users.iter().any(|user| user.name == *creator && user.state == State::Present)
                        || *creator == cluster.superuser()
                })
                .collect();
        let mut privileges = BTreeSet::new();
        for statement in params.texts("pg_default_privileges") {
            let Some((wanted, objects, grantees)) = parse_grant(&statement) else {
                return Err(problem(
                    "invalid-privilege",
                    params.span("pg_default_privileges"),
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

fn schema_spec(
    connection: &PgConnection,
    database: &str,
    schema: String,
    owner: Option<String>,
    present: bool,
) -> pg_schema::Spec {
    pg_schema::Spec {
        connection: connection.clone(),
        database: database.to_owned(),
        schema,
        owner,
        present,
    }
}

/// An encoding as `pg_encoding_to_char` spells it.
fn encoding_name(text: &str) -> String {
    match text.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
        "UTF8" | "UNICODE" => "UTF8".to_owned(),
        "SQLASCII" => "SQL_ASCII".to_owned(),
        _ => text.to_ascii_uppercase(),
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
