//! What a service is told: by flags, by `CATENA_*` variables, by `catena.toml`; in that order.
//!
//! Promises: a setting that is not known is refused by name. Does not: guess.

use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use catena_catalog::{Database, PostgresPlace};
use catena_embedding::{Allowed, DEFAULT_MODEL, Device, Place, Secret};
use catena_index::OpenLimits;
use catena_ingest::Workers;
use catena_runtime::environment;
use catena_runtime::telemetry::LogFormat;
use reqwest::Url;
use serde::Deserialize;

use crate::oidc;

/// The file that is read when `--config` names no other.
const DEFAULT_FILE: &str = "catena.toml";
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Variables that start like a setting and are none of the service's.
const OTHER_VARIABLES: [&str; 7] = [
    "CATENA_URL",
    "CATENA_KEY",
    "CATENA_TENANT",
    "CATENA_LOG",
    "CATENA_PROVISION",
    "CATENA_CONFIG",
    "CATENA_SYSTEM_TESTS",
];

/// Settings as a file or the environment gives them; each may be absent.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    data: Option<PathBuf>,
    catalog: Option<String>,
    catalog_owner: Option<String>,
    listen: Option<SocketAddr>,
    models: Option<PathBuf>,
    model: Option<String>,
    reranker: Option<String>,
    allowed_models: Option<Vec<String>>,
    device: Option<DeviceName>,
    embedding_key: Option<String>,
    onnxruntime: Option<PathBuf>,
    workers: Option<NonZeroUsize>,
    open_tenants: Option<NonZeroUsize>,
    open_maps: Option<usize>,
    open_gib: Option<u64>,
    operator_key: Option<String>,
    allowed_hosts: Option<Vec<String>>,
    allowed_origins: Option<Vec<String>>,
    log_format: Option<LogFormatName>,
    corpora: Option<PathBuf>,
    purge_deleted_after_days: Option<u32>,
    public_url: Option<String>,
    oidc: Option<Vec<oidc::Given>>,
    jobs_at_once: Option<u32>,
    jobs_at_once_per_tenant: Option<NonZeroU32>,
    job_lease_seconds: Option<u32>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LogFormatName {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DeviceName {
    Cpu,
    Cuda,
}

/// Flags that override everything else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) config: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) catalog: Option<String>,
    pub(crate) catalog_owner: Option<String>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) demo: Demo,
}

/// Whether the demo tenants are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Demo {
    #[default]
    Off,
    On,
}

/// What a service is told, complete.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) database: Database,
    pub(crate) listen: SocketAddr,
    pub(crate) models: PathBuf,
    pub(crate) model: String,
    pub(crate) reranker: Option<String>,
    pub(crate) allowed_models: Allowed,
    pub(crate) device: Device,
    pub(crate) embedding_key: Option<Secret>,
    pub(crate) onnxruntime: Option<PathBuf>,
    pub(crate) workers: NonZeroUsize,
    pub(crate) open_tenants: NonZeroUsize,
    pub(crate) open_maps: usize,
    pub(crate) open_bytes: u64,
    pub(crate) operator_key: Option<String>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) corpora: PathBuf,
    pub(crate) purge_deleted_after: Option<Duration>,
    pub(crate) public_url: Option<Url>,
    pub(crate) oidc: Vec<oidc::Trust>,
    pub(crate) jobs: Workers,
    pub(crate) demo: Demo,
}

impl Settings {
    /// Gathers the settings from everywhere.
    pub(crate) fn gather(flags: Flags) -> anyhow::Result<Self> {
        let file = from_file(flags.config.as_deref())?;
        let variables = from_variables(environment::variables("CATENA_"))?;
        let project = environment::variable("CATENA_PROVISION").unwrap_or_else(|| ".catena".to_owned());
        let project = PathBuf::from(project);
        let given = variables.over(file);
        let demo_data = || project.join("demo");
        let catalog = flags.catalog.or(given.catalog);
        let settings = Self {
            database: database(catalog, flags.catalog_owner.or(given.catalog_owner))?,
            data: flags.data.or(given.data).unwrap_or_else(|| match flags.demo {
                Demo::On => demo_data(),
                Demo::Off => PathBuf::from("catena-data"),
            }),
            listen: flags.listen.or(given.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            models: given.models.unwrap_or_else(|| project.join("models")),
            model: given.model.unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
            reranker: given.reranker,
            allowed_models: Allowed::with(given.allowed_models.unwrap_or_default()),
            device: match given.device {
                Some(DeviceName::Cuda) => Device::Cuda,
                Some(DeviceName::Cpu) | None => Device::Cpu,
            },
            embedding_key: given.embedding_key.map(Secret::new),
            onnxruntime: given.onnxruntime,
            workers: given.workers.unwrap_or_else(environment::processors),
            open_tenants: given.open_tenants.unwrap_or(NonZeroUsize::new(4_096).unwrap_or(NonZeroUsize::MIN)),
            open_maps: given.open_maps.unwrap_or(OpenLimits::MAPS),
            open_bytes: given.open_gib.map_or(OpenLimits::MAPPED_BYTES, |gib| gib.saturating_mul(GIB)),
            operator_key: given.operator_key,
            allowed_hosts: given.allowed_hosts.unwrap_or_default(),
            allowed_origins: given.allowed_origins.unwrap_or_default(),
            log_format: match given.log_format {
                Some(LogFormatName::Json) => LogFormat::Json,
                Some(LogFormatName::Text) | None => LogFormat::Text,
            },
            corpora: given.corpora.unwrap_or_else(|| PathBuf::from("corpora")),
            purge_deleted_after: given.purge_deleted_after_days.map(|days| DAY * days),
            public_url: given.public_url.as_deref().map(oidc::public_address).transpose()?,
            oidc: oidc::Trust::all(given.oidc.unwrap_or_default())?,
            jobs: jobs(given.jobs_at_once, given.jobs_at_once_per_tenant, given.job_lease_seconds)?,
            demo: flags.demo,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.demo == Demo::On && !self.listen.ip().is_loopback() {
            bail!(
                "--demo answers with keys that it prints at every start, so it listens on this machine only; \
                 leave --listen out or give a loopback address instead of {}",
                self.listen
            );
        }
        Ok(())
    }

    /// What models run on.
    pub(crate) fn place(&self) -> Place {
        Place {
            onnxruntime: self.onnxruntime.clone(),
            workers: self.workers,
            device: self.device,
            remote_key: self.embedding_key.clone(),
        }
    }

    /// How much of tenants' indexes is kept open.
    pub(crate) fn open_limits(&self) -> OpenLimits {
        OpenLimits { generations: self.open_tenants, mapped_bytes: self.open_bytes, maps: self.open_maps }
    }

    /// Host names that MCP requests may be sent to.
    pub(crate) fn mcp_hosts(&self) -> Vec<String> {
        let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        if let IpAddr::V4(ip) = self.listen.ip() {
            hosts.push(ip.to_string());
        }
        hosts.extend(self.allowed_hosts.iter().cloned());
        hosts.extend(self.public_url.as_ref().and_then(Url::host_str).map(str::to_owned));
        hosts
    }
}

impl Given {
    fn over(self, other: Self) -> Self {
        Self {
            data: self.data.or(other.data),
            catalog: self.catalog.or(other.catalog),
            catalog_owner: self.catalog_owner.or(other.catalog_owner),
            listen: self.listen.or(other.listen),
            models: self.models.or(other.models),
            model: self.model.or(other.model),
            reranker: self.reranker.or(other.reranker),
            allowed_models: self.allowed_models.or(other.allowed_models),
            device: self.device.or(other.device),
            embedding_key: self.embedding_key.or(other.embedding_key),
            onnxruntime: self.onnxruntime.or(other.onnxruntime),
            workers: self.workers.or(other.workers),
            open_tenants: self.open_tenants.or(other.open_tenants),
            open_maps: self.open_maps.or(other.open_maps),
            open_gib: self.open_gib.or(other.open_gib),
            operator_key: self.operator_key.or(other.operator_key),
            allowed_hosts: self.allowed_hosts.or(other.allowed_hosts),
            allowed_origins: self.allowed_origins.or(other.allowed_origins),
            log_format: self.log_format.or(other.log_format),
            corpora: self.corpora.or(other.corpora),
            purge_deleted_after_days: self.purge_deleted_after_days.or(other.purge_deleted_after_days),
            public_url: self.public_url.or(other.public_url),
            oidc: self.oidc.or(other.oidc),
            jobs_at_once: self.jobs_at_once.or(other.jobs_at_once),
            jobs_at_once_per_tenant: self.jobs_at_once_per_tenant.or(other.jobs_at_once_per_tenant),
            job_lease_seconds: self.job_lease_seconds.or(other.job_lease_seconds),
        }
    }
}

/// How jobs are run.
fn jobs(
    at_once: Option<u32>,
    at_once_per_tenant: Option<NonZeroU32>,
    lease_seconds: Option<u32>,
) -> anyhow::Result<Workers> {
    let usual = Workers::default();
    let lease = lease_seconds.map_or(usual.lease, |seconds| Duration::from_secs(seconds.into()));
    if !Workers::LEASES.contains(&lease) {
        let (least, most) = (Workers::LEASES.start().as_secs(), Workers::LEASES.end().as_secs());
        bail!("job_lease_seconds is {}; it may be {least} to {most}", lease.as_secs());
    }
    let at_once = at_once.unwrap_or(usual.at_once);
    if at_once > Workers::AT_ONCE_MAX {
        bail!(
            "jobs_at_once is {at_once}; it may be 0, where other processes run the jobs, to {}",
            Workers::AT_ONCE_MAX
        );
    }
    let at_once_per_tenant = at_once_per_tenant.map_or(usual.at_once_per_tenant, NonZeroU32::get);
    Ok(Workers { at_once, at_once_per_tenant, lease })
}

/// Where the catalog is: in the data folder, unless an address says otherwise. No error repeats an address, because a
/// password may stand in it.
pub(crate) fn database(catalog: Option<String>, owner: Option<String>) -> anyhow::Result<Database> {
    let Some(url) = catalog else {
        if owner.is_some() {
            bail!(
                "catalog_owner is given but catalog is not; give both, or neither to keep the catalog in the data folder"
            );
        }
        return Ok(Database::Embedded);
    };
    for (setting, url) in [("catalog", Some(&url)), ("catalog_owner", owner.as_ref())] {
        if !url.is_none_or(|url| ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))) {
            bail!("{setting} is not an address like postgres://USER:PASSWORD@HOST:PORT/DATABASE");
        }
    }
    Ok(Database::Postgres(PostgresPlace::new(url, owner)))
}

fn from_file(named: Option<&Path>) -> anyhow::Result<Given> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("{} is not understood", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => Ok(Given::default()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Each variable is the setting of its name: `CATENA_LISTEN` is `listen`. Lists are separated by commas.
fn from_variables(variables: Vec<(String, String)>) -> anyhow::Result<Given> {
    let mut table = toml::Table::new();
    for (name, value) in variables {
        if OTHER_VARIABLES.contains(&name.as_str()) || value.is_empty() {
            continue;
        }
        let setting = name.trim_start_matches("CATENA_").to_lowercase();
        let value = match setting.as_str() {
            "allowed_hosts" | "allowed_origins" | "allowed_models" => {
                let parts = value.split(',').map(|part| toml::Value::String(part.trim().to_owned()));
                toml::Value::Array(parts.collect())
            }
            "jobs_at_once"
            | "jobs_at_once_per_tenant"
            | "job_lease_seconds"
            | "workers"
            | "open_tenants"
            | "open_maps"
            | "open_gib"
            | "purge_deleted_after_days" => {
                let number: i64 = value.parse().with_context(|| format!("{name}={value} is not a number"))?;
                toml::Value::Integer(number)
            }
            _ => toml::Value::String(value),
        };
        let mut one = toml::Table::new();
        one.insert(setting.clone(), value.clone());
        Given::deserialize(one).with_context(|| format!("the variable {name} is not understood"))?;
        table.insert(setting, value);
    }
    Ok(Given::deserialize(table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> anyhow::Result<Given> {
        from_variables(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn an_unknown_setting_is_refused_by_name() {
        let error = variables(&[("CATENA_LISTN", "127.0.0.1:1")]).map(|_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("CATENA_LISTN"), "{error:#}");
        assert!(format!("{error:#}").contains("listn"), "{error:#}");
        assert!(toml::from_str::<Given>("dta = 'x'").is_err());
    }

    #[test]
    fn variables_come_before_the_file() {
        let file: Given = toml::from_str("model = 'a'\nlisten = '127.0.0.1:1'").unwrap();
        let given = variables(&[("CATENA_MODEL", "b"), ("CATENA_URL", "ignored")]).unwrap().over(file);
        assert_eq!(given.model.as_deref(), Some("b"));
        assert_eq!(given.listen, Some(SocketAddr::from(([127, 0, 0, 1], 1))));
    }

    #[test]
    fn the_demo_stays_on_this_machine() {
        let flags = Flags { listen: Some(SocketAddr::from(([0, 0, 0, 0], 80))), demo: Demo::On, ..Flags::default() };
        assert!(Settings::gather(flags).is_err());
    }
}
