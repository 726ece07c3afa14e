//! Parameters of the INFRA module: facts of the whole deployment, the certificate authority, and shared services.

use super::default::{NO, NONE, YES, int, json, text};
use super::kind::ParameterType::{
    Arguments, Bool, Duration, Interval, Ip, List, Mapping, Password, Path, Port, Text, TextList,
    Url, Username,
};
use super::kind::{any_of, natural, one_of};
use super::{Levels, Module, Parameter, Support, defaults, row, section, structures};

pub(super) const META: &[Parameter] = &section(
    Module::Infra,
    "META",
    Support::Managed,
    [
        row(
            "version",
            Text,
            Levels::G,
            text("v4.5.0"),
            "Release of the configuration format this inventory was written for.",
        )
        .accepted(),
        row(
            "admin_ip",
            Ip,
            Levels::G,
            text("10.10.10.10"),
            "Address of the node from which the others are administered and that hosts shared \
         services; `${admin_ip}` in other values stands for it.",
        ),
        row(
            "region",
            any_of(&["default", "china", "europe"]),
            Levels::G,
            text("default"),
            "Which mirrors of upstream package repositories to prefer.",
        )
        .accepted(),
        row(
            "language",
            one_of(&["en", "zh"]),
            Levels::G,
            text("en"),
            "Language of user-facing texts.",
        )
        .accepted(),
        row(
            "proxy_env",
            Mapping,
            Levels::G,
            json(defaults::PROXY_ENV),
            "Proxy settings for downloads, as environment variables: `http_proxy`, \
         `https_proxy`, `all_proxy`, `no_proxy`.",
        ),
    ],
);

pub(super) const CA: &[Parameter] = &section(
    Module::Infra,
    "CA",
    Support::Managed,
    [
        row(
            "ca_create",
            Bool,
            Levels::G,
            YES,
            "Whether a certificate authority is made when there is none under `files/pki/ca`; \
         otherwise its absence is an error.",
        ),
        row(
            "ca_cn",
            Text,
            Levels::G,
            text("pigsty-ca"),
            "Common name of the authority's own certificate.",
        ),
        row(
            "cert_validity",
            Interval,
            Levels::G,
            text("7300d"),
            "How long issued certificates are valid, such as `7300d`.",
        ),
    ],
);

pub(super) const INFRA_ID: &[Parameter] = &section(
    Module::Infra,
    "INFRA_ID",
    Support::Managed,
    [
        row(
            "infra_seq",
            natural(),
            Levels::I,
            NONE,
            "Number of this infrastructure node, unique among them. Access rules call these nodes \
         `infra`, Patroni obeys them, and their DNS servers know the clusters.",
        ),
        row(
            "infra_portal",
            Mapping,
            Levels::G,
            json(r#"{"home": {"domain": "i.pigsty"}}"#),
            "Web services shown through the portal: a name to its domain, upstream endpoint \
         or directory, and options.",
        )
        .accepted(),
        row(
            "infra_data",
            Path,
            Levels::G,
            text("/data/infra"),
            "Directory in which the infrastructure services keep their data.",
        )
        .accepted(),
    ],
);

pub(super) const REPO: &[Parameter] = &section(
    Module::Infra,
    "REPO",
    Support::Unmanaged,
    [
        row(
            "repo_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether this node builds and serves a local package repository.",
        ),
        row(
            "repo_home",
            Path,
            Levels::G,
            text("/www"),
            "Directory that the local repository's web server publishes.",
        ),
        row(
            "repo_name",
            Text,
            Levels::G,
            text("pigsty"),
            "Name of the local repository and of its directory.",
        ),
        row(
            "repo_endpoint",
            Url,
            Levels::G,
            text("http://${admin_ip}:80"),
            "URL under which nodes reach the local repository.",
        ),
        row(
            "repo_remove",
            Bool,
            Levels::G_A,
            YES,
            "Whether other package sources are taken off the node that builds the repository.",
        ),
        row(
            "repo_modules",
            Text,
            Levels::G_A,
            text("infra,node,pgsql"),
            "Upstream repository groups to download from, separated by commas.",
        ),
        row(
            "repo_upstream",
            List(&structures::UPSTREAM),
            Levels::G,
            NONE,
            "Definitions of upstream package repositories by group, release and architecture.",
        ),
        row(
            "repo_packages",
            TextList,
            Levels::G,
            NONE,
            "Packages the local repository mirrors, by alias or name.",
        ),
        row(
            "repo_extra_packages",
            TextList,
            Levels::G_C_I,
            NONE,
            "Further packages to mirror, usually PostgreSQL's extensions.",
        ),
        row(
            "repo_url_packages",
            TextList,
            Levels::G,
            json("[]"),
            "Single files to download into the repository, by URL.",
        ),
    ],
);

pub(super) const INFRA_PACKAGE: &[Parameter] = &section(
    Module::Infra,
    "INFRA_PACKAGE",
    Support::Unmanaged,
    [
        row(
            "infra_packages",
            TextList,
            Levels::G,
            NONE,
            "Packages installed on infrastructure nodes.",
        ),
        row(
            "infra_packages_pip",
            Text,
            Levels::G,
            NONE,
            "Python packages installed on infrastructure nodes, separated by commas.",
        ),
    ],
);

pub(super) const NGINX: &[Parameter] = &section(
    Module::Infra,
    "NGINX",
    Support::Unmanaged,
    [
        row("nginx_enabled", Bool, Levels::G_I, YES, "Whether the web portal runs on this node."),
        row(
            "nginx_clean",
            Bool,
            Levels::G_A,
            NO,
            "Whether existing portal configuration is wiped first.",
        ),
        row(
            "nginx_exporter_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether the portal's metrics exporter runs.",
        ),
        row(
            "nginx_exporter_port",
            Port,
            Levels::G,
            int(9113),
            "TCP port of the portal's metrics exporter.",
        ),
        row(
            "nginx_sslmode",
            one_of(&["disable", "enable", "enforce"]),
            Levels::G,
            text("enable"),
            "Whether the portal speaks HTTPS: not at all, beside HTTP, or only.",
        ),
        row(
            "nginx_cert_validity",
            Duration,
            Levels::G,
            text("397d"),
            "How long the portal's certificate is valid.",
        ),
        row(
            "nginx_home",
            Path,
            Levels::G,
            text("/www"),
            "Directory of the portal's content as the web server sees it.",
        ),
        row(
            "nginx_data",
            Path,
            Levels::G,
            text("/data/nginx"),
            "Directory in which the portal's content really lies.",
        ),
        row(
            "nginx_users",
            Mapping,
            Levels::G,
            json("{}"),
            "Users of the portal's basic authentication, name to password.",
        ),
        row("nginx_port", Port, Levels::G, int(80), "TCP port of the portal for HTTP."),
        row("nginx_ssl_port", Port, Levels::G, int(443), "TCP port of the portal for HTTPS."),
        row(
            "certbot_sign",
            Bool,
            Levels::G_A,
            NO,
            "Whether public certificates are requested for the portal's domains.",
        ),
        row(
            "certbot_email",
            Text,
            Levels::G_A,
            text("your@email.com"),
            "Address that the public authority sends expiry notices to.",
        ),
        row(
            "certbot_options",
            Text,
            Levels::G_A,
            text(""),
            "Further options for the certificate client.",
        ),
    ],
);

pub(super) const DNS: &[Parameter] = &section(
    Module::Infra,
    "DNS",
    Support::Managed,
    [
        row(
            "dns_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether this node runs the DNS server for the deployment.",
        ),
        row("dns_port", Port, Levels::G, int(53), "Port of the DNS server."),
        row(
            "dns_records",
            TextList,
            Levels::G,
            json(defaults::DNS_RECORDS),
            "Static DNS records in the form of hosts file lines.",
        ),
    ],
);

pub(super) const VICTORIA: &[Parameter] = &section(
    Module::Infra,
    "VICTORIA",
    Support::Unmanaged,
    [
        row(
            "vmetrics_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether the metrics database runs on this node.",
        ),
        row("vmetrics_clean", Bool, Levels::G_A, NO, "Whether existing metrics are wiped first."),
        row("vmetrics_port", Port, Levels::G, int(8428), "TCP port of the metrics database."),
        row(
            "vmetrics_scrape_interval",
            Interval,
            Levels::G,
            text("10s"),
            "Time between two readings of a target.",
        ),
        row(
            "vmetrics_scrape_timeout",
            Interval,
            Levels::G,
            text("8s"),
            "Time after which a reading is given up.",
        ),
        row(
            "vmetrics_options",
            Arguments,
            Levels::G,
            text("-retentionPeriod=15d -promscrape.fileSDCheckInterval=5s"),
            "Further command-line options of the metrics database.",
        ),
        row("vlogs_enabled", Bool, Levels::G_I, YES, "Whether the log database runs on this node."),
        row("vlogs_clean", Bool, Levels::G_A, NO, "Whether existing logs are wiped first."),
        row("vlogs_port", Port, Levels::G, int(9428), "TCP port of the log database."),
        row(
            "vlogs_options",
            Arguments,
            Levels::G,
            text(
                "-retentionPeriod=15d -retention.maxDiskSpaceUsageBytes=50GiB \
         -insert.maxLineSizeBytes=1MB -search.maxQueryDuration=120s",
            ),
            "Further command-line options of the log database.",
        ),
        row(
            "vtraces_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether the trace database runs on this node.",
        ),
        row("vtraces_clean", Bool, Levels::G_A, NO, "Whether existing traces are wiped first."),
        row("vtraces_port", Port, Levels::G, int(10428), "TCP port of the trace database."),
        row(
            "vtraces_options",
            Arguments,
            Levels::G,
            text("-retentionPeriod=15d -retention.maxDiskSpaceUsageBytes=50GiB"),
            "Further command-line options of the trace database.",
        ),
        row(
            "vmalert_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether alerting rules are evaluated on this node.",
        ),
        row("vmalert_port", Port, Levels::G, int(8880), "TCP port of the rule evaluator."),
        row(
            "vmalert_options",
            Arguments,
            Levels::G,
            text(""),
            "Further command-line options of the rule evaluator.",
        ),
    ],
);

pub(super) const PROMETHEUS: &[Parameter] = &section(
    Module::Infra,
    "PROMETHEUS",
    Support::Unmanaged,
    [
        row(
            "blackbox_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether the exporter for outside probes (ping, TCP, HTTP) runs.",
        ),
        row("blackbox_port", Port, Levels::G, int(9115), "TCP port of the probe exporter."),
        row(
            "blackbox_options",
            Arguments,
            Levels::G,
            text(""),
            "Further command-line options of the probe exporter.",
        ),
        row(
            "alertmanager_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether alerts are grouped and delivered from this node.",
        ),
        row("alertmanager_port", Port, Levels::G, int(9059), "TCP port of the alert manager."),
        row(
            "alertmanager_options",
            Arguments,
            Levels::G,
            text(""),
            "Further command-line options of the alert manager.",
        ),
        row(
            "exporter_metrics_path",
            Path,
            Levels::G,
            text("/metrics"),
            "URL path under which exporters publish their metrics.",
        ),
    ],
);

pub(super) const GRAFANA: &[Parameter] = &section(
    Module::Infra,
    "GRAFANA",
    Support::Unmanaged,
    [
        row(
            "grafana_enabled",
            Bool,
            Levels::G_I,
            YES,
            "Whether dashboards are served from this node.",
        ),
        row("grafana_port", Port, Levels::G, int(3000), "TCP port of the dashboards."),
        row(
            "grafana_clean",
            Bool,
            Levels::G_A,
            NO,
            "Whether existing dashboards and settings are wiped first.",
        ),
        row(
            "grafana_admin_username",
            Username,
            Levels::G,
            text("admin"),
            "Name of the dashboards' administrator.",
        ),
        row(
            "grafana_admin_password",
            Password,
            Levels::G,
            text("pigsty"),
            "Password of the dashboards' administrator. The default is public: change it.",
        ),
        row(
            "grafana_auth_proxy",
            Bool,
            Levels::G,
            NO,
            "Whether the dashboards trust a login that the portal has already checked.",
        ),
        row(
            "grafana_pgurl",
            Url,
            Levels::G,
            text(""),
            "Database URL in which the dashboards keep their state, instead of a local file.",
        ),
        row(
            "grafana_view_password",
            Password,
            Levels::G,
            text("DBUser.Viewer"),
            "Password with which dashboards read databases as the view-only user. The default \
         is public: change it.",
        ),
    ],
);
