//! The configuration file of `strife lb --config`: the pools, as TOML. Everything else is flags.

use std::{fs, path::Path};

use serde::Deserialize;
use strife_policy::by_spec;
use toml::Spanned;

use super::{MethodPattern, PoolConfig, pool_name, source};
use crate::error::LbError;

/// What is not here is refused: a misspelt field would otherwise do nothing, silently.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// Of pools that name none.
    policy: Option<Spanned<String>>,
    #[serde(default, rename = "pool")]
    pools: Vec<Spanned<PoolTable>>,
}

/// `[[pool]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PoolTable {
    name: String,
    /// `host:port`, or any other source as in `--pool`.
    #[serde(default)]
    servers: Vec<String>,
    /// A path, from the directory of the configuration file.
    file: Option<String>,
    /// `host:port`.
    dns: Option<String>,
    /// `_service._proto.name`.
    srv: Option<String>,
    #[serde(default)]
    register: bool,
    policy: Option<String>,
    /// Methods that may run twice, as in `--idempotent`.
    #[serde(default)]
    idempotent: Vec<String>,
}

/// What a configuration file says.
#[derive(Debug, Default)]
pub(super) struct FileConfig {
    pub(super) policy: Option<String>,
    /// The policy is empty if the pool has none of its own.
    pub(super) pools: Vec<PoolConfig>,
}

impl FileConfig {
    pub(super) fn read(path: &Path) -> Result<Self, LbError> {
        let name = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| LbError::UnreadableConfig {
            path: name.clone(),
            reason: error.to_string(),
        })?;
        Self::parse(&text, &name, path.parent().unwrap_or(Path::new("")))
    }

    /// `name`: of the file, for errors; `directory`: where its relative paths start.
    pub(super) fn parse(text: &str, name: &str, directory: &Path) -> Result<Self, LbError> {
        let refused = |at: usize, reason: String| LbError::InvalidConfig {
            path: name.to_owned(),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            reason: reason.replace('\n', " "),
        };
        let document: Document = toml::from_str(text).map_err(|error| {
            refused(error.span().map_or(0, |span| span.start), error.message().to_owned())
        })?;
        let mut pools: Vec<PoolConfig> = Vec::with_capacity(document.pools.len());
        for table in document.pools {
            let at = table.span().start;
            let wrong = |error: LbError| refused(at, error.to_string());
            let pool = table.into_inner().read(directory).map_err(wrong)?;
            if pools.iter().any(|other| other.name == pool.name) {
                return Err(wrong(LbError::DuplicatePool(pool.name)));
            }
            pools.push(pool);
        }
        if let Some(policy) = &document.policy {
            let wrong = |error| refused(policy.span().start, LbError::from(error).to_string());
            by_spec(policy.get_ref()).map_err(wrong)?;
        }
        Ok(Self { policy: document.policy.map(Spanned::into_inner), pools })
    }
}

impl PoolTable {
    fn read(self, directory: &Path) -> Result<PoolConfig, LbError> {
        let name = pool_name(&self.name).ok_or(LbError::MalformedPoolName(self.name))?;
        let policy = self.policy.unwrap_or_default();
        if !policy.is_empty() {
            by_spec(&policy)?;
        }
        let mut texts: Vec<_> = self.servers.iter().map(|text| from(directory, text)).collect();
        texts.extend(self.file.map(|path| from(directory, &format!("file:{path}"))));
        texts.extend(self.dns.map(|name| format!("dns:{name}")));
        texts.extend(self.srv.map(|name| format!("srv:{name}")));
        texts.extend(self.register.then(|| "register:".to_owned()));
        let sources = source::sources(&name, texts.iter().map(String::as_str))?;
        let methods = self.idempotent.iter().map(|text| MethodPattern::parse(text));
        let mut pool = PoolConfig::new(name, sources, &policy);
        pool.route.add(methods.collect::<Result<Vec<_>, _>>()?);
        Ok(pool)
    }
}

/// A source's text, a relative path made one from `directory`.
fn from(directory: &Path, text: &str) -> String {
    match text.trim().strip_prefix("file:") {
        Some(path) if !path.is_empty() => format!("file:{}", directory.join(path).display()),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
