//! What is in a cluster: databases, schemas, extensions, privileges and baselines, on the leader.

use super::Cluster;
use super::pool_auth::LOOKUP_SCHEMA;
use crate::compiler::{Compiler, Problem, problem};
use keddah_inventory::model::{DatabaseState, PgDatabase, PgExtension, PgSchema, PgUser, State};
use keddah_inventory::{Params, parameters};
use keddah_resource::kind::pg_privileges::{DefaultPrivilege, SchemaPrivilege};
use keddah_resource::kind::{
    pg_baseline, pg_census, pg_database, pg_extension, pg_privileges, pg_schema,
};
use keddah_resource::{Module, Resource, ResourceId, Spec};
use std::collections::{BTreeMap, BTreeSet};

/// Databases that every cluster has; what is put into `template1` is in every later database.
const TEMPLATE: &str = "template1";
const MAINTENANCE: &str = "postgres";

/// What every database of a cluster gets.
struct Model<'a> {
    cluster: &'a Cluster<'a>,
    schemas: Vec<String>,
    extensions: Vec<PgExtension>,
    defaults: BTreeSet<DefaultPrivilege>,
    /// What the default privileges give on a schema of the superuser: every declared schema has it,
    /// whoever owns it.
    on_schemas: BTreeSet<SchemaPrivilege>,
    /// The default roles.
    roles: BTreeSet<String>,
}

/// What one database gets.
struct Contents<'a> {
    database: &'a str,
    /// The database itself, for those that are not there from the beginning.
    whole: Option<&'a ResourceId>,
    /// Who owns schemas that name no owner; `None` for whoever makes them.
    owner: Option<&'a str>,
    schemas: &'a [PgSchema],
    extensions: &'a [PgExtension],
    /// What is declared of the whole server, to be looked at from this database.
    server: Option<pg_census::Server>,
    after: &'a [ResourceId],
}

impl Compiler<'_> {
    pub(super) fn objects(
        &mut self,
        cluster: &Cluster<'_>,
        roles: &[ResourceId],
    ) -> Result<(), Problem> {
        let params = &cluster.params;
        if !params.get(parameters::PG_PROVISION) {
            return Ok(());
        }
        let databases = PgDatabase::business(params);
        let model = self.model(cluster)?;
        let given = |database, server| Contents {
            database,
            whole: None,
            owner: None,
            schemas: &[],
            extensions: &[],
            server,
            after: roles,
        };
        let template = self.contents(&model, &given(TEMPLATE, None));
        let server = pg_census::Server {
            roles: PgUser::all(params)
                .into_iter()
                .map(|user| user.name)
                .chain([cluster.superuser()])
                .collect(),
            databases: databases.iter().map(|database| database.name.clone()).collect(),
            birth: birth(params),
        };
        self.contents(&model, &given(MAINTENANCE, Some(server)));
        let mut made: BTreeMap<&str, Vec<ResourceId>> = BTreeMap::new();
        for database in templates_first(&databases) {
            let mut before = roles.to_vec();
            before.extend(template.iter().cloned());
            let copied = database.template.as_deref().and_then(|template| made.get(template));
            before.extend(copied.into_iter().flatten().cloned());
            let id = self.add(cluster, self.database(cluster, database)?.into(), &before);
            let mut contents = vec![id.clone()];
            // Nobody can connect to put anything into one that allows no connections.
            if database.state != DatabaseState::Absent && database.allowconn {
                contents.extend(self.contents(
                    &model,
                    &Contents {
                        database: &database.name,
                        whole: Some(&id),
                        owner: database.owner.as_deref(),
                        schemas: &database.schemas,
                        extensions: &database.extensions,
                        server: None,
                        after: std::slice::from_ref(&id),
                    },
                ));
                contents.extend(self.baseline(cluster, database, &id, &contents));
            }
            made.insert(&database.name, contents);
        }
        Ok(())
    }

    fn model<'a>(&self, cluster: &'a Cluster<'a>) -> Result<Model<'a>, Problem> {
        let defaults = self.default_privileges(cluster)?;
        let superuser = cluster.superuser();
        let on_schemas = defaults
            .iter()
            .filter(|one| one.objects == "SCHEMAS" && one.creator == superuser)
            .map(|one| SchemaPrivilege {
                privilege: one.privilege.clone(),
                grantee: one.grantee.clone(),
            })
            .collect();
        let mut schemas = cluster.params.get(parameters::PG_DEFAULT_SCHEMAS);
        if !cluster.lookup_roles().is_empty() && !schemas.iter().any(|one| one == LOOKUP_SCHEMA) {
            schemas.push(LOOKUP_SCHEMA.to_owned());
        }
        Ok(Model {
            cluster,
            schemas,
            extensions: PgExtension::defaults(&cluster.params),
            defaults,
            on_schemas,
            roles: PgUser::defaults(&cluster.params).into_iter().map(|role| role.name).collect(),
        })
    }

    fn add(&mut self, cluster: &Cluster<'_>, spec: Spec, after: &[ResourceId]) -> ResourceId {
        self.fleet.add(resource(cluster, spec).after(after.iter().cloned()))
    }

    /// Adds something that is in a database.
    fn put(
        &mut self,
        model: &Model<'_>,
        into: &Contents<'_>,
        spec: Spec,
        after: &[ResourceId],
    ) -> ResourceId {
        let mut resource = resource(model.cluster, spec).after(after.iter().cloned());
        if let Some(whole) = into.whole {
            resource = resource.inside(whole);
        }
        self.fleet.add(resource)
    }

    fn database(
        &self,
        cluster: &Cluster<'_>,
        database: &PgDatabase,
    ) -> Result<pg_database::Spec, Problem> {
        offered(cluster, database)?;
        let params = &cluster.params;
        let connect_roles: BTreeSet<String> = [
            parameters::PG_REPLICATION_USERNAME,
            parameters::PG_MONITOR_USERNAME,
            parameters::PG_ADMIN_USERNAME,
        ]
        .map(|name| params.get(name))
        .into_iter()
        .chain(database.owner.clone())
        .collect();
        let locale = |own: &Option<String>| own.clone().or_else(|| database.locale.clone());
        let provider_locale = match database.locale_provider.as_deref() {
            Some("icu") => locale(&database.icu_locale),
            Some("builtin") => locale(&database.builtin_locale),
            _ => None,
        };
        let present = pg_database::Database {
            owner: database.owner.clone(),
            recreate: database.state == DatabaseState::Recreate,
            template: database.template.clone(),
            strategy: database.strategy.clone(),
            encoding: database.encoding.as_deref().map(encoding_name),
            collate: locale(&database.lc_collate),
            ctype: locale(&database.lc_ctype),
            provider: database.locale_provider.clone(),
            locale: provider_locale,
            icu_rules: database.icu_rules.clone(),
            is_template: database.is_template,
            tablespace: database.tablespace.clone(),
            allow_connections: database.allowconn,
            connection_limit: i32::try_from(database.connlimit).unwrap_or(-1),
            public_connect: !database.revokeconn,
            connect_roles: if database.revokeconn { connect_roles } else { BTreeSet::new() },
            parameters: database.parameters.iter().cloned().collect(),
            comment: database.comment.clone(),
        };
        Ok(pg_database::Spec {
            connection: cluster.connection(),
            database: database.name.clone(),
            present: (database.state != DatabaseState::Absent).then_some(present),
        })
    }

    /// Schemas, extensions and privileges of one database.
    fn contents(&mut self, model: &Model<'_>, into: &Contents<'_>) -> Vec<ResourceId> {
        let connection = model.cluster.connection();
        let database = into.database.to_owned();
        let schema = |name: &str, owner: Option<&str>, present: bool| pg_schema::Spec {
            connection: connection.clone(),
            database: database.clone(),
            schema: name.to_owned(),
            owner: owner.map(str::to_owned),
            privileges: if present { model.on_schemas.clone() } else { BTreeSet::new() },
            present,
        };
        let own = |name: &String| into.schemas.iter().any(|own| own.name == *name);
        let mut schemas: Vec<pg_schema::Spec> = model
            .schemas
            .iter()
            .filter(|name| !own(name))
            .map(|name| schema(name, None, true))
            .collect();
        for own in into.schemas {
            let owner = own.owner.as_deref().or(into.owner);
            schemas.push(schema(&own.name, owner, own.state == State::Present));
        }
        let own = |name: &String| into.extensions.iter().any(|own| own.name == *name);
        let defaults = model.extensions.iter().filter(|default| !own(&default.name));
        let extensions: Vec<&PgExtension> = into.extensions.iter().chain(defaults).collect();

        let census = pg_census::Spec {
            connection: connection.clone(),
            database: database.clone(),
            schemas: schemas
                .iter()
                .map(|one| one.schema.clone())
                .chain(extensions.iter().filter_map(|one| one.schema.clone()))
                .collect(),
            extensions: extensions.iter().map(|one| one.name.clone()).collect(),
            server: into.server.clone(),
        };
        self.put(model, into, census.into(), into.after);
        let privileges = pg_privileges::Spec {
            connection: connection.clone(),
            database: database.clone(),
            defaults: model.defaults.clone(),
            complete_for: model.roles.clone(),
            // The schema `public` is older than any default privilege.
            public_schema: model.on_schemas.clone(),
            public_create: false,
        };
        let privileges = self.put(model, into, privileges.into(), into.after);
        // Schemas and extensions come after the default privileges, so that theirs are right.
        let mut ids = Vec::new();
        for spec in schemas {
            ids.push(self.put(model, into, spec.into(), std::slice::from_ref(&privileges)));
        }
        ids.push(privileges);
        let before = ids.clone();
        for extension in extensions {
            let spec = pg_extension::Spec {
                connection: connection.clone(),
                database: database.clone(),
                extension: extension.name.clone(),
                schema: extension.schema.clone(),
                version: extension.version.clone(),
                present: extension.state == State::Present,
            };
            ids.push(self.put(model, into, spec.into(), &before));
        }
        let (lookup, callers) = self.pool_lookup(model.cluster, into.database);
        let before: Vec<ResourceId> = before.into_iter().chain(callers).collect();
        ids.push(self.put(model, into, lookup.into(), &before));
        ids
    }

    fn baseline(
        &mut self,
        cluster: &Cluster<'_>,
        database: &PgDatabase,
        whole: &ResourceId,
        after: &[ResourceId],
    ) -> Option<ResourceId> {
        let file = database.baseline.as_ref()?;
        let Some(sql) = self.input.baselines.get(file) else {
            self.notes.push(format!(
                "{}: the baseline `{file}` of the database `{}` is not under files/; it is not run",
                cluster.name, database.name
            ));
            return None;
        };
        let spec = pg_baseline::Spec {
            connection: cluster.connection(),
            database: database.name.clone(),
            file: file.clone(),
            sql: sql.clone(),
        };
        let resource = resource(cluster, spec.into()).after(after.iter().cloned()).inside(whole);
        Some(self.fleet.add(resource))
    }
}

/// A resource of the cluster as a whole, which is the leader's.
fn resource(cluster: &Cluster<'_>, spec: Spec) -> Resource {
    Resource::new(&cluster.leader().node.name, Module::Pgsql, spec).in_cluster(&cluster.name)
}

/// The databases in an order in which each comes after the one it is a copy of.
fn templates_first(databases: &[PgDatabase]) -> Vec<&PgDatabase> {
    let mut ordered: Vec<&PgDatabase> = Vec::with_capacity(databases.len());
    for database in databases {
        let mut chain = vec![database];
        // `check` has refused databases that are copies of each other.
        while let Some(template) = chain.last().and_then(|one| one.template.as_deref()) {
            let next = databases.iter().find(|other| other.name == template);
            match next.filter(|next| !chain.iter().any(|one| one.name == next.name)) {
                Some(next) => chain.push(next),
                None => break,
            }
        }
        for one in chain.into_iter().rev() {
            if !ordered.iter().any(|before| before.name == one.name) {
                ordered.push(one);
            }
        }
    }
    ordered
}

/// Refuses properties that the cluster's version of PostgreSQL does not have.
fn offered(cluster: &Cluster<'_>, database: &PgDatabase) -> Result<(), Problem> {
    let provider = database.locale_provider.as_deref();
    let needed = [
        (database.strategy.is_some(), "strategy", 15),
        (provider == Some("icu"), "locale_provider: icu", 15),
        (provider == Some("libc"), "locale_provider: libc", 15),
        (database.icu_rules.is_some(), "icu_rules", 16),
        (provider == Some("builtin"), "locale_provider: builtin", 17),
    ];
    let Some((_, field, version)) =
        needed.into_iter().find(|&(said, _, version)| said && cluster.version < version)
    else {
        return Ok(());
    };
    Err(problem(
        "database-option",
        database.span,
        format!(
            "`{field}` of the database `{}` needs PostgreSQL {version}, and {} runs {}",
            database.name, cluster.name, cluster.version
        ),
    )
    .help(format!("leave it out, or let the cluster run PostgreSQL {version} (`pg_version`)"))
    .into())
}

/// An encoding as `pg_encoding_to_char` spells it.
/// What `initdb` is told, as the server says it afterwards.
fn birth(params: &Params<'_>) -> BTreeMap<String, String> {
    let checksums = if params.get(parameters::PG_CHECKSUM) { "on" } else { "off" };
    [
        ("pg_encoding", encoding_name(&params.get(parameters::PG_ENCODING))),
        ("pg_lc_collate", params.get(parameters::PG_LC_COLLATE)),
        ("pg_lc_ctype", params.get(parameters::PG_LC_CTYPE)),
        ("pg_checksum", checksums.to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn encoding_name(text: &str) -> String {
    match text.to_ascii_uppercase().replace(['-', '_'], "").as_str() {
        "UTF8" | "UNICODE" => "UTF8".to_owned(),
        "SQLASCII" => "SQL_ASCII".to_owned(),
        _ => text.to_ascii_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_spelled_as_the_server_does() {
        for (written, spelled) in
            [("utf-8", "UTF8"), ("sql_ascii", "SQL_ASCII"), ("latin1", "LATIN1")]
        {
            assert_eq!(encoding_name(written), spelled);
        }
    }
}
