//! The typed model on the documents' spellings, older and newer.

use keddah_core::SourceMap;
use keddah_inventory::model::{
    CheckPort, DatabaseState, HbaAuth, HbaRule, NodeService, PgDatabase, PgRole, PgService, PgUser,
    PoolMode, RtoPlan, ServiceDestination, State, etcd_clusters, pg_clusters,
};
use keddah_inventory::{Inventory, Params, load, parameters};

fn inventory(text: &str) -> Inventory {
    let mut sources = SourceMap::default();
    let (inventory, problems) = load(&mut sources, "test.yml", text.as_bytes());
    assert!(problems.is_empty(), "{problems:?}");
    inventory.expect("it loads")
}

/// One host with these cluster variables.
fn host(vars: &str) -> Inventory {
    let vars: String = vars.lines().map(|line| format!("        {line}\n")).collect();
    inventory(&format!(
        "all:\n  children:\n    pg-test:\n      hosts: {{ 10.0.0.1: {{ pg_seq: 1, pg_role: primary }} }}\n      vars:\n        pg_cluster: pg-test\n{vars}"
    ))
}

fn params(inventory: &Inventory) -> Params<'_> {
    Params::new(inventory, &"10.0.0.1".into())
}

#[test]
fn a_place_is_the_same_however_it_is_written() {
    for written in ["/data/pg", "/data/pg/", "/data//pg", "/data/./pg//"] {
        let inventory = host(&format!("pg_fs_main: {written}"));
        assert_eq!(params(&inventory).get(parameters::PG_FS_MAIN), "/data/pg");
    }
}

#[test]
fn a_user_has_every_documented_field() {
    let inventory = host(
        "pg_users:
  - name: a
    password: pw
    login: false
    superuser: true
    createdb: true
    createrole: true
    inherit: false
    replication: true
    bypassrls: true
    pgbouncer: true
    connlimit: 7
    expire_in: 3650
    expire_at: '2030-12-31'
    comment: words
    roles: [dbrole_admin, { name: dbrole_readonly, admin: true, set: false, inherit: false, state: absent }]
    parameters: { log_min_duration_statement: 1000, search_path: [a, b], x: true }
    pool_mode: session
    pool_connlimit: 9
  - { name: gone, state: absent }
  - { password: nameless }",
    );
    let users = PgUser::business(&params(&inventory));
    assert_eq!(users.len(), 2, "an entry without a name is left out");
    let user = &users[0];
    assert_eq!(user.password.as_ref().map(|password| password.reveal()), Some("pw"));
    assert!(!user.login && user.superuser && user.createdb && user.createrole && !user.inherit);
    assert!(user.replication && user.bypassrls && user.pgbouncer);
    assert_eq!((user.connlimit, user.expire_in, user.pool_connlimit), (7, Some(3650), 9));
    assert_eq!(user.expire_at.as_deref(), Some("2030-12-31"));
    assert_eq!(user.pool_mode, Some(PoolMode::Session));
    assert_eq!(user.roles[0].role, "dbrole_admin");
    assert_eq!((user.roles[0].admin, user.roles[0].set), (false, None));
    assert_eq!((user.roles[1].admin, user.roles[1].set), (true, Some(false)));
    assert_eq!((user.roles[1].inherit, user.roles[1].state), (Some(false), State::Absent));
    let settings: Vec<_> =
        user.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(settings, ["log_min_duration_statement=1000", "search_path=a, b", "x=true"]);
    assert_eq!((users[1].state, users[1].login, users[1].inherit), (State::Absent, true, true));
    assert!(!format!("{users:?}").contains("pw"), "debug output shows no password");
}

#[test]
fn default_roles_follow_their_parameters() {
    let inventory = host("pg_admin_username: boss\npg_admin_password: bosspw");
    let roles = PgUser::defaults(&params(&inventory));
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "dbrole_readonly",
            "dbrole_offline",
            "dbrole_readwrite",
            "dbrole_admin",
            "postgres",
            "replicator",
            "boss",
            "dbuser_monitor"
        ]
    );
    assert_eq!(roles[6].password.as_ref().map(|secret| secret.reveal()), Some("bosspw"));
    assert_eq!(roles[5].password.as_ref().map(|secret| secret.reveal()), Some("DBUser.Replicator"));
    assert_eq!(roles[4].password, None, "the superuser has none by default");
    assert_eq!(roles[7].parameters, [("log_min_duration_statement".into(), "1000".into())]);
}

#[test]
fn a_database_has_every_documented_field_under_older_names_too() {
    let inventory = host(
        "pg_databases:
  - { name: meta, owner: boss, schemas: [a, { name: b, owner: c }], extensions: [vector, { name: postgis, schema: public }], pool_size_reserve: 5, pool_max_db_conn: 6, revokeconn: true, strategy: file_copy }
  - { name: other, state: recreate, pool_reserve: 7, pool_connlimit: 8, pgbouncer: false }",
    );
    let databases = PgDatabase::business(&params(&inventory));
    let meta = &databases[0];
    assert_eq!((meta.pool_size, meta.pool_reserve, meta.pool_connlimit), (64, 5, 6));
    assert_eq!(meta.schemas[0].name, "a");
    assert_eq!(meta.schemas[1].owner.as_deref(), Some("c"));
    assert_eq!(meta.extensions[0].name, "vector");
    assert_eq!(meta.extensions[1].schema.as_deref(), Some("public"));
    assert_eq!(meta.strategy.as_deref(), Some("FILE_COPY"));
    assert!(meta.revokeconn && meta.allowconn && meta.pgbouncer);
    let other = &databases[1];
    assert_eq!((other.pool_reserve, other.pool_connlimit), (7, 8));
    assert_eq!((other.state, other.pgbouncer), (DatabaseState::Recreate, false));
}

#[test]
fn services_of_either_spelling_are_the_same() {
    let older = host(
        "pg_services_extra:
  - { name: standby, src_ip: '*', src_port: 5435, dst_port: postgres, check_method: http, check_port: patroni, check_url: '/read-only?lag=0', check_code: 200, selector: '[]', selector_backup: '[? pg_role == `primary`]', haproxy: { maxconn: 4000, balance: leastconn, default_server_options: 'inter 9s' } }",
    );
    let newer = host(
        "pg_services:
  - { name: standby, ip: '*', port: 5435, dest: postgres, check: '/read-only?lag=0', selector: '[]', backup: '[? pg_role == `primary`]', maxconn: 4000, balance: leastconn, options: 'inter 9s' }",
    );
    let read = |inventory: &Inventory| {
        let mut services = PgService::all(&params(inventory));
        assert_eq!(services.len(), 5);
        let mut service = services.pop().expect("the extra one");
        service.span = None;
        service.name_span = None;
        service.port_span = None;
        service.selector_span = None;
        service.backup_span = None;
        service
    };
    let service = read(&newer);
    assert_eq!(read(&older), service);
    assert_eq!((service.port, service.dest), (5435, ServiceDestination::Postgres));
    assert_eq!((service.maxconn, service.balance.as_str()), (4000, "leastconn"));
    assert_eq!(service.check_port, CheckPort::Patroni);
}

#[test]
fn a_service_of_a_default_ones_name_replaces_it() {
    let inventory =
        host("pg_services: [{ name: primary, port: 15433, dest: 7000, selector: '[]' }]");
    let params = params(&inventory);
    let services = PgService::all(&params);
    let ports: Vec<u16> = services.iter().map(|service| service.port).collect();
    assert_eq!(ports, [15433, 5434, 5436, 5438]);
    assert_eq!(services[0].dest.port(&params), 7000);
    assert_eq!(services[1].dest.port(&params), 6432);
    assert_eq!(services[2].dest.port(&params), 5432);
}

#[test]
fn rules_come_in_their_order_with_the_systems_roles_filled_in() {
    let inventory = host(
        "pg_hba_rules:
  - { user: late, db: all, addr: intra, auth: pwd, title: without an order }
  - { user: [x, y], db: 'a,b', addr: 10.0.0.0/8, auth: ssl, order: 50, role: offline }
  - { user: bad, addr: intra, auth: nonsense }
  - { title: raw, rules: ['host all all 10.0.0.1/32 reject'], order: 60 }",
    );
    let rules = HbaRule::postgres(&params(&inventory));
    assert_eq!(rules.len(), 15, "a rule with an unknown method lets nobody in");
    assert_eq!(
        (rules[0].users.clone(), rules[0].databases.len()),
        (vec!["x".into(), "y".into()], 2)
    );
    assert_eq!(rules[0].auth, HbaAuth::TlsPassword);
    assert!(
        rules[0].applies_to(PgRole::Replica, true) && !rules[0].applies_to(PgRole::Replica, false)
    );
    assert_eq!(rules[1].raw.len(), 1);
    assert_eq!(rules[2].users, ["postgres"], "the superuser's placeholder");
    assert_eq!(rules[14].users, ["late"]);
}

#[test]
fn recovery_time_is_a_plan_or_seconds() {
    let plan = |vars: &str| RtoPlan::of(&params(&host(vars)));
    assert_eq!((plan("").ttl, plan("").retry_timeout), (30, 10));
    assert_eq!((plan("pg_rto: fast").ttl, plan("pg_rto: fast").inter.as_str()), (20, "1s"));
    let seconds = plan("pg_rto: 30");
    assert_eq!((seconds.ttl, seconds.loop_wait, seconds.retry_timeout), (30, 10, 10));
    let own = plan("pg_rto: own\npg_rto_plan: { own: [40, 5, 10, 25, 5, 2s, 1s, 2s, 2, 3] }");
    assert_eq!((own.ttl, own.rise, own.fall), (40, 2, 3));
    for ttl in 20..200 {
        let plan = plan(&format!("pg_rto: {ttl}"));
        assert!(plan.loop_wait + 2 * plan.retry_timeout <= plan.ttl && plan.loop_wait >= 1);
    }
}

#[test]
fn clusters_are_formed_by_variables_not_by_groups() {
    let inventory = inventory(
        "all:
  children:
    etcd: { hosts: { 10.0.0.1: { etcd_seq: 1 } }, vars: { etcd_cluster: etcd } }
    citus:
      hosts:
        10.0.0.1: { pg_cluster: a, pg_seq: 1, pg_role: primary }
        10.0.0.2: { pg_cluster: a, pg_seq: 2, pg_role: replica, pg_offline_query: true }
        10.0.0.3: { pg_cluster: b, pg_seq: 1, pg_role: primary, pg_upstream: 10.0.0.1 }
        10.0.0.4: { pg_cluster: b, pg_role: replica }
      vars: { pg_admin_password: poison, node_timezone: UTC }
",
    );
    let clusters = pg_clusters(&inventory);
    assert_eq!(clusters.len(), 2);
    assert_eq!(
        clusters[0].primary().map(|member| member.instance(&clusters[0].name)).as_deref(),
        Some("a-1")
    );
    assert_eq!(clusters[1].upstream(), Some("10.0.0.1"));
    assert_eq!(clusters[1].members.len(), 1, "a member without a number is left out");
    let facts = clusters[0].facts();
    assert_eq!(facts[1]["pg_offline_query"], true);
    assert_eq!(facts[0]["node_timezone"], "UTC");
    assert!(!format!("{facts:?}").contains("poison"));
    let etcd = etcd_clusters(&inventory);
    assert_eq!((etcd.len(), etcd[0].name.as_str(), etcd[0].members[0].seq), (1, "etcd", 1));
}

#[test]
fn node_services_are_read() {
    let inventory = host(
        "haproxy_services:
  - name: minio
    port: 9002
    options: [option httpchk, http-check expect status 200]
    servers: [{ name: m-1, ip: 10.0.0.1, port: 9000, options: check port 9000 }]",
    );
    let services = NodeService::all(&params(&inventory));
    assert_eq!((services[0].port, services[0].options.len()), (9002, 2));
    assert_eq!(services[0].servers[0].options.as_deref(), Some("check port 9000"));
}
