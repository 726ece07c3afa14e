//! Default values that are lists or mappings, as JSON text.

pub(super) const PG_DEFAULT_ROLES: &str = r#"[
  {"name": "dbrole_readonly", "login": false, "comment": "role for global read-only access"},
  {"name": "dbrole_offline", "login": false, "comment": "role for restricted read-only access"},
  {"name": "dbrole_readwrite", "login": false, "roles": ["dbrole_readonly"], "comment": "role for global read-write access"},
  {"name": "dbrole_admin", "login": false, "roles": ["pg_monitor", "dbrole_readwrite"], "comment": "role for object creation"},
  {"name": "postgres", "superuser": true, "comment": "system superuser"},
  {"name": "replicator", "replication": true, "roles": ["pg_monitor", "dbrole_readonly"], "comment": "system replicator"},
  {"name": "dbuser_dba", "superuser": true, "roles": ["dbrole_admin"], "pgbouncer": true, "pool_mode": "session", "pool_connlimit": 16, "comment": "pgsql admin user"},
  {"name": "dbuser_monitor", "roles": ["pg_monitor", "dbrole_readonly"], "pgbouncer": true, "parameters": {"log_min_duration_statement": 1000}, "pool_mode": "session", "pool_connlimit": 8, "comment": "pgsql monitor user"}
]"#;

pub(super) const PG_DEFAULT_PRIVILEGES: &str = r#"[
  "GRANT USAGE      ON SCHEMAS    TO  dbrole_readonly",
  "GRANT SELECT     ON TABLES     TO  dbrole_readonly",
  "GRANT SELECT     ON SEQUENCES  TO  dbrole_readonly",
  "GRANT EXECUTE    ON FUNCTIONS  TO  dbrole_readonly",
  "GRANT USAGE      ON SCHEMAS    TO  dbrole_offline",
  "GRANT SELECT     ON TABLES     TO  dbrole_offline",
  "GRANT SELECT     ON SEQUENCES  TO  dbrole_offline",
  "GRANT EXECUTE    ON FUNCTIONS  TO  dbrole_offline",
  "GRANT INSERT     ON TABLES     TO  dbrole_readwrite",
  "GRANT UPDATE     ON TABLES     TO  dbrole_readwrite",
  "GRANT DELETE     ON TABLES     TO  dbrole_readwrite",
  "GRANT USAGE      ON SEQUENCES  TO  dbrole_readwrite",
  "GRANT UPDATE     ON SEQUENCES  TO  dbrole_readwrite",
  "GRANT TRUNCATE   ON TABLES     TO  dbrole_admin",
  "GRANT REFERENCES ON TABLES     TO  dbrole_admin",
  "GRANT TRIGGER    ON TABLES     TO  dbrole_admin",
  "GRANT CREATE     ON SCHEMAS    TO  dbrole_admin"
]"#;

pub(super) const PG_DEFAULT_EXTENSIONS: &str = r#"[
  {"name": "pg_stat_statements", "schema": "monitor"},
  {"name": "pgstattuple", "schema": "monitor"},
  {"name": "pg_buffercache", "schema": "monitor"},
  {"name": "pageinspect", "schema": "monitor"},
  {"name": "pg_prewarm", "schema": "monitor"},
  {"name": "pg_visibility", "schema": "monitor"},
  {"name": "pg_freespacemap", "schema": "monitor"},
  {"name": "postgres_fdw", "schema": "public"},
  {"name": "file_fdw", "schema": "public"},
  {"name": "btree_gist", "schema": "public"},
  {"name": "btree_gin", "schema": "public"},
  {"name": "pg_trgm", "schema": "public"},
  {"name": "intagg", "schema": "public"},
  {"name": "intarray", "schema": "public"},
  {"name": "pg_repack"}
]"#;

pub(super) const PG_DEFAULT_HBA_RULES: &str = r#"[
  {"user": "${dbsu}", "db": "all", "addr": "local", "auth": "ident", "title": "dbsu access via local os user ident", "order": 100},
  {"user": "${dbsu}", "db": "replication", "addr": "local", "auth": "ident", "title": "dbsu replication from local os ident", "order": 150},
  {"user": "${repl}", "db": "replication", "addr": "localhost", "auth": "pwd", "title": "replicator replication from localhost", "order": 200},
  {"user": "${repl}", "db": "replication", "addr": "intra", "auth": "pwd", "title": "replicator replication from intranet", "order": 250},
  {"user": "${repl}", "db": "postgres", "addr": "intra", "auth": "pwd", "title": "replicator postgres db from intranet", "order": 300},
  {"user": "${monitor}", "db": "all", "addr": "localhost", "auth": "pwd", "title": "monitor from localhost with password", "order": 350},
  {"user": "${monitor}", "db": "all", "addr": "infra", "auth": "pwd", "title": "monitor from infra host with password", "order": 400},
  {"user": "${admin}", "db": "all", "addr": "intra", "auth": "pwd", "title": "admin @ intranet nodes with pwd", "order": 450},
  {"user": "${admin}", "db": "all", "addr": "world", "auth": "ssl", "title": "admin @ everywhere with ssl & pwd", "order": 500},
  {"user": "+dbrole_readonly", "db": "all", "addr": "localhost", "auth": "pwd", "title": "pgbouncer read/write via local socket", "order": 550},
  {"user": "+dbrole_readonly", "db": "all", "addr": "intra", "auth": "pwd", "title": "read/write biz user via password", "order": 600},
  {"user": "+dbrole_offline", "db": "all", "addr": "intra", "auth": "pwd", "title": "allow etl offline tasks from intranet", "order": 650}
]"#;

pub(super) const PGB_DEFAULT_HBA_RULES: &str = r#"[
  {"user": "${dbsu}", "db": "pgbouncer", "addr": "local", "auth": "peer", "title": "dbsu local admin access with os ident", "order": 100},
  {"user": "all", "db": "all", "addr": "localhost", "auth": "pwd", "title": "allow all user local access with pwd", "order": 150},
  {"user": "${monitor}", "db": "pgbouncer", "addr": "intra", "auth": "pwd", "title": "monitor access via intranet with pwd", "order": 200},
  {"user": "${monitor}", "db": "all", "addr": "world", "auth": "deny", "title": "reject all other monitor access addr", "order": 250},
  {"user": "${admin}", "db": "all", "addr": "intra", "auth": "pwd", "title": "admin access via intranet with pwd", "order": 300},
  {"user": "${admin}", "db": "all", "addr": "world", "auth": "deny", "title": "reject all other admin access addr", "order": 350},
  {"user": "all", "db": "all", "addr": "intra", "auth": "pwd", "title": "allow all user intra access with pwd", "order": 400}
]"#;

pub(super) const PGBACKREST_REPO: &str = r#"{
  "local": {"path": "/pg/backup", "retention_full_type": "count", "retention_full": 2},
  "minio": {"type": "s3", "s3_endpoint": "sss.pigsty", "s3_region": "us-east-1", "s3_bucket": "pgsql", "s3_key": "pgbackrest", "s3_key_secret": "S3User.Backup", "s3_uri_style": "path", "path": "/pgbackrest", "storage_port": 9000, "storage_ca_file": "/etc/pki/ca.crt", "block": "y", "bundle": "y", "bundle_limit": "20MiB", "bundle_size": "128MiB", "cipher_type": "aes-256-cbc", "cipher_pass": "pgBackRest", "retention_full_type": "time", "retention_full": 14}
}"#;

pub(super) const PGBOUNCER_IGNORE_PARAM: &str = r#"[
  "extra_float_digits",
  "application_name",
  "TimeZone",
  "DateStyle",
  "IntervalStyle",
  "search_path"
]"#;

pub(super) const PG_DEFAULT_SERVICES: &str = r#"[
  {"name": "primary", "port": 5433, "dest": "default", "check": "/primary", "selector": "[]"},
  {"name": "replica", "port": 5434, "dest": "default", "check": "/read-only", "selector": "[]", "backup": "[? pg_role == `primary` || pg_role == `offline` ]"},
  {"name": "default", "port": 5436, "dest": "postgres", "check": "/primary", "selector": "[]"},
  {"name": "offline", "port": 5438, "dest": "postgres", "check": "/replica", "selector": "[? pg_role == `offline` || pg_offline_query ]", "backup": "[? pg_role == `replica` && !pg_offline_query]"}
]"#;

pub(super) const PROXY_ENV: &str = r#"{
  "no_proxy": "localhost,127.0.0.1,10.0.0.0/8,192.168.0.0/16,*.pigsty,*.aliyun.com,mirrors.*,*.myqcloud.com,*.tsinghua.edu.cn"
}"#;

pub(super) const DNS_RECORDS: &str = r#"[
  "${admin_ip} i.pigsty",
  "${admin_ip} m.pigsty supa.pigsty api.pigsty adm.pigsty cli.pigsty ddl.pigsty"
]"#;

pub(super) const MINIO_BUCKETS: &str = r#"[
  {"name": "pgsql"},
  {"name": "meta", "versioning": true},
  {"name": "data"}
]"#;

pub(super) const MINIO_USERS: &str = r#"[
  {"access_key": "pgbackrest", "secret_key": "S3User.Backup", "policy": "pgsql"},
  {"access_key": "s3user_meta", "secret_key": "S3User.Meta", "policy": "meta"},
  {"access_key": "s3user_data", "secret_key": "S3User.Data", "policy": "data"}
]"#;
