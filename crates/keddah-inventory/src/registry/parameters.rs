//! A handle for every parameter, in the order of the tables: `params.get(parameters::PG_PORT)`. What each is
//! for stands in its row; a test holds this list to the tables.
#![allow(missing_docs, reason = "a parameter's description stands in its row, once")]
#![allow(
    long_running_const_eval,
    reason = "each name is looked up in the tables while this is compiled"
)]

use super::handle::{Bytes, Entries, Handle, Seconds, handle};
use crate::Value;
use keddah_core::Secret;

// The rows of `registry/pgsql_identity.rs`.
pub const PG_MODE: Handle<String> = handle("pg_mode");
pub const PG_CLUSTER: Handle<String> = handle("pg_cluster");
pub const PG_SEQ: Handle<i64> = handle("pg_seq");
pub const PG_ROLE: Handle<String> = handle("pg_role");
pub const PG_INSTANCES: Handle<Entries> = handle("pg_instances");
pub const PG_UPSTREAM: Handle<String> = handle("pg_upstream");
pub const PG_SHARD: Handle<String> = handle("pg_shard");
pub const PG_GROUP: Handle<i64> = handle("pg_group");
pub const GP_ROLE: Handle<String> = handle("gp_role");
pub const PG_EXPORTERS: Handle<Entries> = handle("pg_exporters");
pub const PG_OFFLINE_QUERY: Handle<bool> = handle("pg_offline_query");
pub const PG_USERS: Handle<Vec<Value>> = handle("pg_users");
pub const PG_DATABASES: Handle<Vec<Value>> = handle("pg_databases");
pub const PG_SERVICES: Handle<Vec<Value>> = handle("pg_services");
pub const PG_HBA_RULES: Handle<Vec<Value>> = handle("pg_hba_rules");
pub const PGB_HBA_RULES: Handle<Vec<Value>> = handle("pgb_hba_rules");
pub const PG_CRONTAB: Handle<Vec<String>> = handle("pg_crontab");
pub const PG_REPLICATION_USERNAME: Handle<String> = handle("pg_replication_username");
pub const PG_REPLICATION_PASSWORD: Handle<Secret> = handle("pg_replication_password");
pub const PG_ADMIN_USERNAME: Handle<String> = handle("pg_admin_username");
pub const PG_ADMIN_PASSWORD: Handle<Secret> = handle("pg_admin_password");
pub const PG_MONITOR_USERNAME: Handle<String> = handle("pg_monitor_username");
pub const PG_MONITOR_PASSWORD: Handle<Secret> = handle("pg_monitor_password");
pub const PG_DBSU_PASSWORD: Handle<Secret> = handle("pg_dbsu_password");
pub const PG_DBSU: Handle<String> = handle("pg_dbsu");
pub const PG_DBSU_UID: Handle<i64> = handle("pg_dbsu_uid");
pub const PG_DBSU_SUDO: Handle<String> = handle("pg_dbsu_sudo");
pub const PG_DBSU_HOME: Handle<String> = handle("pg_dbsu_home");
pub const PG_DBSU_SSH_EXCHANGE: Handle<bool> = handle("pg_dbsu_ssh_exchange");
pub const PG_VERSION: Handle<i64> = handle("pg_version");
pub const PG_BIN_DIR: Handle<String> = handle("pg_bin_dir");
pub const PG_LOG_DIR: Handle<String> = handle("pg_log_dir");
pub const PG_PACKAGES: Handle<Vec<String>> = handle("pg_packages");
pub const PG_EXTENSIONS: Handle<Vec<String>> = handle("pg_extensions");

// The rows of `registry/pgsql_bootstrap.rs`.
pub const PG_DATA: Handle<String> = handle("pg_data");
pub const PG_FS_MAIN: Handle<String> = handle("pg_fs_main");
pub const PG_FS_BACKUP: Handle<String> = handle("pg_fs_backup");
pub const PG_STORAGE_TYPE: Handle<String> = handle("pg_storage_type");
pub const PG_DUMMY_FILESIZE: Handle<Bytes> = handle("pg_dummy_filesize");
pub const PG_LISTEN: Handle<String> = handle("pg_listen");
pub const PG_PORT: Handle<u16> = handle("pg_port");
pub const PG_LOCALHOST: Handle<String> = handle("pg_localhost");
pub const PG_NAMESPACE: Handle<String> = handle("pg_namespace");
pub const PATRONI_ENABLED: Handle<bool> = handle("patroni_enabled");
pub const PATRONI_MODE: Handle<String> = handle("patroni_mode");
pub const PATRONI_PORT: Handle<u16> = handle("patroni_port");
pub const PATRONI_LOG_DIR: Handle<String> = handle("patroni_log_dir");
pub const PATRONI_SSL_ENABLED: Handle<bool> = handle("patroni_ssl_enabled");
pub const PATRONI_WATCHDOG_MODE: Handle<String> = handle("patroni_watchdog_mode");
pub const PATRONI_USERNAME: Handle<String> = handle("patroni_username");
pub const PATRONI_PASSWORD: Handle<Secret> = handle("patroni_password");
pub const PG_PRIMARY_DB: Handle<String> = handle("pg_primary_db");
pub const PG_PARAMETERS: Handle<Entries> = handle("pg_parameters");
pub const PG_FILES: Handle<Vec<String>> = handle("pg_files");
pub const PG_CONF: Handle<String> = handle("pg_conf");
pub const PG_MAX_CONN: Handle<i64> = handle("pg_max_conn");
pub const PG_SHARED_BUFFER_RATIO: Handle<f64> = handle("pg_shared_buffer_ratio");
pub const PG_RTO: Handle<String> = handle("pg_rto");
pub const PG_RPO: Handle<Bytes> = handle("pg_rpo");
pub const PG_LIBS: Handle<String> = handle("pg_libs");
pub const PG_DELAY: Handle<String> = handle("pg_delay");
pub const PG_CHECKSUM: Handle<bool> = handle("pg_checksum");
pub const PG_PWD_ENC: Handle<String> = handle("pg_pwd_enc");
pub const PG_ENCODING: Handle<String> = handle("pg_encoding");
pub const PG_LOCALE: Handle<String> = handle("pg_locale");
pub const PG_LC_COLLATE: Handle<String> = handle("pg_lc_collate");
pub const PG_LC_CTYPE: Handle<String> = handle("pg_lc_ctype");
pub const PG_IO_METHOD: Handle<String> = handle("pg_io_method");
pub const PG_ETCD_PASSWORD: Handle<Secret> = handle("pg_etcd_password");
pub const PGSODIUM_KEY: Handle<String> = handle("pgsodium_key");
pub const PGSODIUM_GETKEY_SCRIPT: Handle<String> = handle("pgsodium_getkey_script");
pub const PG_PROVISION: Handle<bool> = handle("pg_provision");
pub const PG_INIT: Handle<String> = handle("pg_init");
pub const PG_DEFAULT_ROLES: Handle<Vec<Value>> = handle("pg_default_roles");
pub const PG_DEFAULT_PRIVILEGES: Handle<Vec<String>> = handle("pg_default_privileges");
pub const PG_DEFAULT_SCHEMAS: Handle<Vec<String>> = handle("pg_default_schemas");
pub const PG_DEFAULT_EXTENSIONS: Handle<Vec<Value>> = handle("pg_default_extensions");
pub const PG_RELOAD: Handle<bool> = handle("pg_reload");
pub const PG_DEFAULT_HBA_RULES: Handle<Vec<Value>> = handle("pg_default_hba_rules");
pub const PGB_DEFAULT_HBA_RULES: Handle<Vec<Value>> = handle("pgb_default_hba_rules");

// The rows of `registry/pgsql_access.rs`.
pub const PGBACKREST_ENABLED: Handle<bool> = handle("pgbackrest_enabled");
pub const PGBACKREST_CLEAN: Handle<bool> = handle("pgbackrest_clean");
pub const PGBACKREST_LOG_DIR: Handle<String> = handle("pgbackrest_log_dir");
pub const PGBACKREST_METHOD: Handle<String> = handle("pgbackrest_method");
pub const PGBACKREST_INIT_BACKUP: Handle<bool> = handle("pgbackrest_init_backup");
pub const PGBACKREST_REPO: Handle<Entries> = handle("pgbackrest_repo");
pub const PGBOUNCER_ENABLED: Handle<bool> = handle("pgbouncer_enabled");
pub const PGBOUNCER_PORT: Handle<u16> = handle("pgbouncer_port");
pub const PGBOUNCER_LOG_DIR: Handle<String> = handle("pgbouncer_log_dir");
pub const PGBOUNCER_AUTH_QUERY: Handle<bool> = handle("pgbouncer_auth_query");
pub const PGBOUNCER_POOLMODE: Handle<String> = handle("pgbouncer_poolmode");
pub const PGBOUNCER_SSLMODE: Handle<String> = handle("pgbouncer_sslmode");
pub const PGBOUNCER_IGNORE_PARAM: Handle<Vec<String>> = handle("pgbouncer_ignore_param");
pub const PG_WEIGHT: Handle<i64> = handle("pg_weight");
pub const PG_SERVICE_PROVIDER: Handle<String> = handle("pg_service_provider");
pub const PG_DEFAULT_SERVICE_DEST: Handle<String> = handle("pg_default_service_dest");
pub const PG_DEFAULT_SERVICES: Handle<Vec<Value>> = handle("pg_default_services");
pub const PG_VIP_ENABLED: Handle<bool> = handle("pg_vip_enabled");
pub const PG_VIP_ADDRESS: Handle<String> = handle("pg_vip_address");
pub const PG_VIP_INTERFACE: Handle<String> = handle("pg_vip_interface");
pub const PG_DNS_SUFFIX: Handle<String> = handle("pg_dns_suffix");
pub const PG_DNS_TARGET: Handle<String> = handle("pg_dns_target");
pub const PG_EXPORTER_ENABLED: Handle<bool> = handle("pg_exporter_enabled");
pub const PG_EXPORTER_CONFIG: Handle<String> = handle("pg_exporter_config");
pub const PG_EXPORTER_CACHE_TTLS: Handle<String> = handle("pg_exporter_cache_ttls");
pub const PG_EXPORTER_PORT: Handle<u16> = handle("pg_exporter_port");
pub const PG_EXPORTER_PARAMS: Handle<String> = handle("pg_exporter_params");
pub const PG_EXPORTER_URL: Handle<String> = handle("pg_exporter_url");
pub const PG_EXPORTER_AUTO_DISCOVERY: Handle<bool> = handle("pg_exporter_auto_discovery");
pub const PG_EXPORTER_EXCLUDE_DATABASE: Handle<String> = handle("pg_exporter_exclude_database");
pub const PG_EXPORTER_INCLUDE_DATABASE: Handle<String> = handle("pg_exporter_include_database");
pub const PG_EXPORTER_CONNECT_TIMEOUT: Handle<i64> = handle("pg_exporter_connect_timeout");
pub const PG_EXPORTER_OPTIONS: Handle<String> = handle("pg_exporter_options");
pub const PGBOUNCER_EXPORTER_ENABLED: Handle<bool> = handle("pgbouncer_exporter_enabled");
pub const PGBOUNCER_EXPORTER_PORT: Handle<u16> = handle("pgbouncer_exporter_port");
pub const PGBOUNCER_EXPORTER_URL: Handle<String> = handle("pgbouncer_exporter_url");
pub const PGBOUNCER_EXPORTER_OPTIONS: Handle<String> = handle("pgbouncer_exporter_options");
pub const PGBACKREST_EXPORTER_ENABLED: Handle<bool> = handle("pgbackrest_exporter_enabled");
pub const PGBACKREST_EXPORTER_PORT: Handle<u16> = handle("pgbackrest_exporter_port");
pub const PGBACKREST_EXPORTER_OPTIONS: Handle<String> = handle("pgbackrest_exporter_options");
pub const PG_RM_DATA: Handle<bool> = handle("pg_rm_data");
pub const PG_RM_BACKUP: Handle<bool> = handle("pg_rm_backup");
pub const PG_RM_PKG: Handle<bool> = handle("pg_rm_pkg");
pub const PG_SAFEGUARD: Handle<bool> = handle("pg_safeguard");

// The rows of `registry/infra.rs`.
pub const VERSION: Handle<String> = handle("version");
pub const ADMIN_IP: Handle<String> = handle("admin_ip");
pub const REGION: Handle<String> = handle("region");
pub const LANGUAGE: Handle<String> = handle("language");
pub const PROXY_ENV: Handle<Entries> = handle("proxy_env");
pub const CA_CREATE: Handle<bool> = handle("ca_create");
pub const CA_CN: Handle<String> = handle("ca_cn");
pub const CERT_VALIDITY: Handle<Seconds> = handle("cert_validity");
pub const INFRA_SEQ: Handle<i64> = handle("infra_seq");
pub const INFRA_PORTAL: Handle<Entries> = handle("infra_portal");
pub const INFRA_DATA: Handle<String> = handle("infra_data");
pub const REPO_ENABLED: Handle<bool> = handle("repo_enabled");
pub const REPO_HOME: Handle<String> = handle("repo_home");
pub const REPO_NAME: Handle<String> = handle("repo_name");
pub const REPO_ENDPOINT: Handle<String> = handle("repo_endpoint");
pub const REPO_REMOVE: Handle<bool> = handle("repo_remove");
pub const REPO_MODULES: Handle<String> = handle("repo_modules");
pub const REPO_UPSTREAM: Handle<Vec<Value>> = handle("repo_upstream");
pub const REPO_PACKAGES: Handle<Vec<String>> = handle("repo_packages");
pub const REPO_EXTRA_PACKAGES: Handle<Vec<String>> = handle("repo_extra_packages");
pub const REPO_URL_PACKAGES: Handle<Vec<String>> = handle("repo_url_packages");
pub const INFRA_PACKAGES: Handle<Vec<String>> = handle("infra_packages");
pub const INFRA_PACKAGES_PIP: Handle<String> = handle("infra_packages_pip");
pub const NGINX_ENABLED: Handle<bool> = handle("nginx_enabled");
pub const NGINX_CLEAN: Handle<bool> = handle("nginx_clean");
pub const NGINX_EXPORTER_ENABLED: Handle<bool> = handle("nginx_exporter_enabled");
pub const NGINX_EXPORTER_PORT: Handle<u16> = handle("nginx_exporter_port");
pub const NGINX_SSLMODE: Handle<String> = handle("nginx_sslmode");
pub const NGINX_CERT_VALIDITY: Handle<Seconds> = handle("nginx_cert_validity");
pub const NGINX_HOME: Handle<String> = handle("nginx_home");
pub const NGINX_DATA: Handle<String> = handle("nginx_data");
pub const NGINX_USERS: Handle<Entries> = handle("nginx_users");
pub const NGINX_PORT: Handle<u16> = handle("nginx_port");
pub const NGINX_SSL_PORT: Handle<u16> = handle("nginx_ssl_port");
pub const CERTBOT_SIGN: Handle<bool> = handle("certbot_sign");
pub const CERTBOT_EMAIL: Handle<String> = handle("certbot_email");
pub const CERTBOT_OPTIONS: Handle<String> = handle("certbot_options");
pub const DNS_ENABLED: Handle<bool> = handle("dns_enabled");
pub const DNS_PORT: Handle<u16> = handle("dns_port");
pub const DNS_RECORDS: Handle<Vec<String>> = handle("dns_records");
pub const VMETRICS_ENABLED: Handle<bool> = handle("vmetrics_enabled");
pub const VMETRICS_CLEAN: Handle<bool> = handle("vmetrics_clean");
pub const VMETRICS_PORT: Handle<u16> = handle("vmetrics_port");
pub const VMETRICS_SCRAPE_INTERVAL: Handle<Seconds> = handle("vmetrics_scrape_interval");
pub const VMETRICS_SCRAPE_TIMEOUT: Handle<Seconds> = handle("vmetrics_scrape_timeout");
pub const VMETRICS_OPTIONS: Handle<String> = handle("vmetrics_options");
pub const VLOGS_ENABLED: Handle<bool> = handle("vlogs_enabled");
pub const VLOGS_CLEAN: Handle<bool> = handle("vlogs_clean");
pub const VLOGS_PORT: Handle<u16> = handle("vlogs_port");
pub const VLOGS_OPTIONS: Handle<String> = handle("vlogs_options");
pub const VTRACES_ENABLED: Handle<bool> = handle("vtraces_enabled");
pub const VTRACES_CLEAN: Handle<bool> = handle("vtraces_clean");
pub const VTRACES_PORT: Handle<u16> = handle("vtraces_port");
pub const VTRACES_OPTIONS: Handle<String> = handle("vtraces_options");
pub const VMALERT_ENABLED: Handle<bool> = handle("vmalert_enabled");
pub const VMALERT_PORT: Handle<u16> = handle("vmalert_port");
pub const VMALERT_OPTIONS: Handle<String> = handle("vmalert_options");
pub const BLACKBOX_ENABLED: Handle<bool> = handle("blackbox_enabled");
pub const BLACKBOX_PORT: Handle<u16> = handle("blackbox_port");
pub const BLACKBOX_OPTIONS: Handle<String> = handle("blackbox_options");
pub const ALERTMANAGER_ENABLED: Handle<bool> = handle("alertmanager_enabled");
pub const ALERTMANAGER_PORT: Handle<u16> = handle("alertmanager_port");
pub const ALERTMANAGER_OPTIONS: Handle<String> = handle("alertmanager_options");
pub const EXPORTER_METRICS_PATH: Handle<String> = handle("exporter_metrics_path");
pub const GRAFANA_ENABLED: Handle<bool> = handle("grafana_enabled");
pub const GRAFANA_PORT: Handle<u16> = handle("grafana_port");
pub const GRAFANA_CLEAN: Handle<bool> = handle("grafana_clean");
pub const GRAFANA_ADMIN_USERNAME: Handle<String> = handle("grafana_admin_username");
pub const GRAFANA_ADMIN_PASSWORD: Handle<Secret> = handle("grafana_admin_password");
pub const GRAFANA_AUTH_PROXY: Handle<bool> = handle("grafana_auth_proxy");
pub const GRAFANA_PGURL: Handle<String> = handle("grafana_pgurl");
pub const GRAFANA_VIEW_PASSWORD: Handle<Secret> = handle("grafana_view_password");

// The rows of `registry/node.rs`.
pub const NODENAME: Handle<String> = handle("nodename");
pub const NODE_CLUSTER: Handle<String> = handle("node_cluster");
pub const NODENAME_OVERWRITE: Handle<bool> = handle("nodename_overwrite");
pub const NODENAME_EXCHANGE: Handle<bool> = handle("nodename_exchange");
pub const NODE_ID_FROM_PG: Handle<bool> = handle("node_id_from_pg");
pub const NODE_WRITE_ETC_HOSTS: Handle<bool> = handle("node_write_etc_hosts");
pub const NODE_DEFAULT_ETC_HOSTS: Handle<Vec<String>> = handle("node_default_etc_hosts");
pub const NODE_ETC_HOSTS: Handle<Vec<String>> = handle("node_etc_hosts");
pub const NODE_DNS_METHOD: Handle<String> = handle("node_dns_method");
pub const NODE_DNS_SERVERS: Handle<Vec<String>> = handle("node_dns_servers");
pub const NODE_DNS_OPTIONS: Handle<Vec<String>> = handle("node_dns_options");
pub const NODE_REPO_MODULES: Handle<String> = handle("node_repo_modules");
pub const NODE_REPO_REMOVE: Handle<bool> = handle("node_repo_remove");
pub const NODE_PACKAGES: Handle<Vec<String>> = handle("node_packages");
pub const NODE_DEFAULT_PACKAGES: Handle<Vec<String>> = handle("node_default_packages");
pub const NODE_DISABLE_NUMA: Handle<bool> = handle("node_disable_numa");
pub const NODE_DISABLE_SWAP: Handle<bool> = handle("node_disable_swap");
pub const NODE_STATIC_NETWORK: Handle<bool> = handle("node_static_network");
pub const NODE_DISK_PREFETCH: Handle<bool> = handle("node_disk_prefetch");
pub const NODE_KERNEL_MODULES: Handle<Vec<String>> = handle("node_kernel_modules");
pub const NODE_HUGEPAGE_COUNT: Handle<i64> = handle("node_hugepage_count");
pub const NODE_HUGEPAGE_RATIO: Handle<f64> = handle("node_hugepage_ratio");
pub const NODE_OVERCOMMIT_RATIO: Handle<f64> = handle("node_overcommit_ratio");
pub const NODE_TUNE: Handle<String> = handle("node_tune");
pub const NODE_SYSCTL_PARAMS: Handle<Entries> = handle("node_sysctl_params");
pub const NODE_SELINUX_MODE: Handle<String> = handle("node_selinux_mode");
pub const NODE_FIREWALL_MODE: Handle<String> = handle("node_firewall_mode");
pub const NODE_FIREWALL_INTRANET: Handle<Vec<String>> = handle("node_firewall_intranet");
pub const NODE_FIREWALL_PUBLIC_PORT: Handle<Vec<String>> = handle("node_firewall_public_port");
pub const NODE_DATA: Handle<String> = handle("node_data");
pub const NODE_ADMIN_ENABLED: Handle<bool> = handle("node_admin_enabled");
pub const NODE_ADMIN_UID: Handle<i64> = handle("node_admin_uid");
pub const NODE_ADMIN_USERNAME: Handle<String> = handle("node_admin_username");
pub const NODE_ADMIN_SUDO: Handle<String> = handle("node_admin_sudo");
pub const NODE_ADMIN_SSH_EXCHANGE: Handle<bool> = handle("node_admin_ssh_exchange");
pub const NODE_ADMIN_PK_CURRENT: Handle<bool> = handle("node_admin_pk_current");
pub const NODE_ADMIN_PK_LIST: Handle<Vec<String>> = handle("node_admin_pk_list");
pub const NODE_ALIASES: Handle<Entries> = handle("node_aliases");
pub const NODE_TIMEZONE: Handle<String> = handle("node_timezone");
pub const NODE_NTP_ENABLED: Handle<bool> = handle("node_ntp_enabled");
pub const NODE_NTP_SERVERS: Handle<Vec<String>> = handle("node_ntp_servers");
pub const NODE_CRONTAB_OVERWRITE: Handle<bool> = handle("node_crontab_overwrite");
pub const NODE_CRONTAB: Handle<Vec<String>> = handle("node_crontab");
pub const VIP_ENABLED: Handle<bool> = handle("vip_enabled");
pub const VIP_ADDRESS: Handle<String> = handle("vip_address");
pub const VIP_VRID: Handle<i64> = handle("vip_vrid");
pub const VIP_ROLE: Handle<String> = handle("vip_role");
pub const VIP_PREEMPT: Handle<bool> = handle("vip_preempt");
pub const VIP_INTERFACE: Handle<String> = handle("vip_interface");
pub const VIP_DNS_SUFFIX: Handle<String> = handle("vip_dns_suffix");
pub const VIP_AUTH_PASS: Handle<Secret> = handle("vip_auth_pass");
pub const VIP_EXPORTER_PORT: Handle<u16> = handle("vip_exporter_port");
pub const HAPROXY_ENABLED: Handle<bool> = handle("haproxy_enabled");
pub const HAPROXY_CLEAN: Handle<bool> = handle("haproxy_clean");
pub const HAPROXY_RELOAD: Handle<bool> = handle("haproxy_reload");
pub const HAPROXY_AUTH_ENABLED: Handle<bool> = handle("haproxy_auth_enabled");
pub const HAPROXY_ADMIN_USERNAME: Handle<String> = handle("haproxy_admin_username");
pub const HAPROXY_ADMIN_PASSWORD: Handle<Secret> = handle("haproxy_admin_password");
pub const HAPROXY_EXPORTER_PORT: Handle<u16> = handle("haproxy_exporter_port");
pub const HAPROXY_CLIENT_TIMEOUT: Handle<String> = handle("haproxy_client_timeout");
pub const HAPROXY_SERVER_TIMEOUT: Handle<String> = handle("haproxy_server_timeout");
pub const HAPROXY_SERVICES: Handle<Vec<Value>> = handle("haproxy_services");
pub const NODE_EXPORTER_ENABLED: Handle<bool> = handle("node_exporter_enabled");
pub const NODE_EXPORTER_PORT: Handle<u16> = handle("node_exporter_port");
pub const NODE_EXPORTER_OPTIONS: Handle<String> = handle("node_exporter_options");
pub const VECTOR_ENABLED: Handle<bool> = handle("vector_enabled");
pub const VECTOR_CLEAN: Handle<bool> = handle("vector_clean");
pub const VECTOR_DATA: Handle<String> = handle("vector_data");
pub const VECTOR_PORT: Handle<u16> = handle("vector_port");
pub const VECTOR_READ_FROM: Handle<String> = handle("vector_read_from");
pub const VECTOR_LOG_ENDPOINT: Handle<Vec<String>> = handle("vector_log_endpoint");

// The rows of `registry/etcd.rs`.
pub const ETCD_SEQ: Handle<i64> = handle("etcd_seq");
pub const ETCD_CLUSTER: Handle<String> = handle("etcd_cluster");
pub const ETCD_LEARNER: Handle<bool> = handle("etcd_learner");
pub const ETCD_DATA: Handle<String> = handle("etcd_data");
pub const ETCD_PORT: Handle<u16> = handle("etcd_port");
pub const ETCD_PEER_PORT: Handle<u16> = handle("etcd_peer_port");
pub const ETCD_INIT: Handle<String> = handle("etcd_init");
pub const ETCD_ELECTION_TIMEOUT: Handle<i64> = handle("etcd_election_timeout");
pub const ETCD_HEARTBEAT_INTERVAL: Handle<i64> = handle("etcd_heartbeat_interval");
pub const ETCD_ROOT_PASSWORD: Handle<Secret> = handle("etcd_root_password");
pub const ETCD_SAFEGUARD: Handle<bool> = handle("etcd_safeguard");
pub const ETCD_RM_DATA: Handle<bool> = handle("etcd_rm_data");
pub const ETCD_RM_PKG: Handle<bool> = handle("etcd_rm_pkg");

// The rows of `registry/redis.rs`.
pub const REDIS_CLUSTER: Handle<String> = handle("redis_cluster");
pub const REDIS_INSTANCES: Handle<Entries> = handle("redis_instances");
pub const REDIS_NODE: Handle<i64> = handle("redis_node");
pub const REDIS_FS_MAIN: Handle<String> = handle("redis_fs_main");
pub const REDIS_EXPORTER_ENABLED: Handle<bool> = handle("redis_exporter_enabled");
pub const REDIS_EXPORTER_PORT: Handle<u16> = handle("redis_exporter_port");
pub const REDIS_EXPORTER_OPTIONS: Handle<String> = handle("redis_exporter_options");
pub const REDIS_MODE: Handle<String> = handle("redis_mode");
pub const REDIS_CONF: Handle<String> = handle("redis_conf");
pub const REDIS_BIND_ADDRESS: Handle<String> = handle("redis_bind_address");
pub const REDIS_MAX_MEMORY: Handle<Bytes> = handle("redis_max_memory");
pub const REDIS_MEM_POLICY: Handle<String> = handle("redis_mem_policy");
pub const REDIS_PASSWORD: Handle<Secret> = handle("redis_password");
pub const REDIS_RDB_SAVE: Handle<Vec<String>> = handle("redis_rdb_save");
pub const REDIS_AOF_ENABLED: Handle<bool> = handle("redis_aof_enabled");
pub const REDIS_RENAME_COMMANDS: Handle<Entries> = handle("redis_rename_commands");
pub const REDIS_CLUSTER_REPLICAS: Handle<i64> = handle("redis_cluster_replicas");
pub const REDIS_SENTINEL_MONITOR: Handle<Vec<Value>> = handle("redis_sentinel_monitor");
pub const REDIS_SAFEGUARD: Handle<bool> = handle("redis_safeguard");
pub const REDIS_RM_DATA: Handle<bool> = handle("redis_rm_data");
pub const REDIS_RM_PKG: Handle<bool> = handle("redis_rm_pkg");

// The rows of `registry/minio.rs`.
pub const MINIO_SEQ: Handle<i64> = handle("minio_seq");
pub const MINIO_CLUSTER: Handle<String> = handle("minio_cluster");
pub const MINIO_USER: Handle<String> = handle("minio_user");
pub const MINIO_HTTPS: Handle<bool> = handle("minio_https");
pub const MINIO_NODE: Handle<String> = handle("minio_node");
pub const MINIO_DATA: Handle<String> = handle("minio_data");
pub const MINIO_VOLUMES: Handle<String> = handle("minio_volumes");
pub const MINIO_DOMAIN: Handle<String> = handle("minio_domain");
pub const MINIO_PORT: Handle<u16> = handle("minio_port");
pub const MINIO_ADMIN_PORT: Handle<u16> = handle("minio_admin_port");
pub const MINIO_ACCESS_KEY: Handle<String> = handle("minio_access_key");
pub const MINIO_SECRET_KEY: Handle<Secret> = handle("minio_secret_key");
pub const MINIO_EXTRA_VARS: Handle<String> = handle("minio_extra_vars");
pub const MINIO_PROVISION: Handle<bool> = handle("minio_provision");
pub const MINIO_ALIAS: Handle<String> = handle("minio_alias");
pub const MINIO_ENDPOINT: Handle<String> = handle("minio_endpoint");
pub const MINIO_BUCKETS: Handle<Vec<Value>> = handle("minio_buckets");
pub const MINIO_USERS: Handle<Vec<Value>> = handle("minio_users");
pub const MINIO_SAFEGUARD: Handle<bool> = handle("minio_safeguard");
pub const MINIO_RM_DATA: Handle<bool> = handle("minio_rm_data");
pub const MINIO_RM_PKG: Handle<bool> = handle("minio_rm_pkg");

// The rows of `registry/extra.rs`.
pub const NODE_UV_ENV: Handle<String> = handle("node_uv_env");
pub const NODE_PIP_PACKAGES: Handle<Vec<String>> = handle("node_pip_packages");
pub const KEDDAH_ACCEPT: Handle<Vec<String>> = handle("keddah_accept");
pub const PG_RTO_PLAN: Handle<Entries> = handle("pg_rto_plan");
pub const PATRONI_SYNCHRONOUS_MODE: Handle<String> = handle("patroni_synchronous_mode");
pub const PATRONI_SYNCHRONOUS_NODE_COUNT: Handle<i64> = handle("patroni_synchronous_node_count");
pub const PATRONI_SYNCHRONOUS_MODE_STRICT: Handle<bool> = handle("patroni_synchronous_mode_strict");
pub const ETCD_CLEAN: Handle<bool> = handle("etcd_clean");
pub const INFRA_SERVICES: Handle<Vec<Value>> = handle("infra_services");
pub const INFRA_EXTRA_SERVICES: Handle<Vec<Value>> = handle("infra_extra_services");
pub const REDIS_TYPE: Handle<String> = handle("redis_type");
pub const MINIO_TYPE: Handle<String> = handle("minio_type");
pub const DOCKER_ENABLED: Handle<bool> = handle("docker_enabled");
pub const DOCKER_DATA: Handle<String> = handle("docker_data");
pub const DOCKER_STORAGE_DRIVER: Handle<String> = handle("docker_storage_driver");
pub const DOCKER_CGROUPS_DRIVER: Handle<String> = handle("docker_cgroups_driver");
pub const DOCKER_REGISTRY_MIRRORS: Handle<Vec<String>> = handle("docker_registry_mirrors");
pub const DOCKER_EXPORTER_PORT: Handle<u16> = handle("docker_exporter_port");
pub const DOCKER_IMAGE: Handle<Vec<String>> = handle("docker_image");
pub const DOCKER_IMAGE_CACHE: Handle<String> = handle("docker_image_cache");
pub const APP: Handle<String> = handle("app");
pub const APPS: Handle<Entries> = handle("apps");

#[cfg(test)]
mod tests {
    use super::super::{all, extra};

    #[test]
    fn every_parameter_has_a_handle_of_its_own_name() {
        let source = include_str!("parameters.rs");
        for parameter in all().chain(extra()) {
            let name = parameter.name;
            let line = format!(" {}: Handle<", name.to_uppercase());
            let lines: Vec<&str> = source.lines().filter(|one| one.contains(&line)).collect();
            assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        }
        // Nothing is read under another's name.
        for line in source.lines().filter(|line| line.starts_with("pub const ")) {
            let (constant, rest) =
                line["pub const ".len()..].split_once(": ").expect("it has a type");
            let name = constant.to_lowercase();
            assert!(rest.ends_with(&format!("handle(\"{name}\");")), "{line}");
        }
    }
}
