//! What may be done with the calls to a pool: which methods may run twice.

use crate::error::LbError;

/// Of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteConfig {
    /// Methods that may run twice without harm: their calls are sent again when they may have run. None
    /// by default.
    pub idempotent: Vec<MethodPattern>,
}

/// A method, or all of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MethodPattern {
    /// `/package.Service/`.
    service: String,
    /// `None`: every one.
    method: Option<String>,
}

impl MethodPattern {
    /// Of `/package.Service/Method` or `/package.Service/*`.
    pub fn parse(text: &str) -> Result<Self, LbError> {
        let malformed = || LbError::MalformedMethod(text.to_owned());
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b"/*,=".contains(&b))
        };
        let (service, method) =
            text.strip_prefix('/').and_then(|rest| rest.split_once('/')).ok_or_else(malformed)?;
        if !is_name(service) || !(method == "*" || is_name(method)) {
            return Err(malformed());
        }
        let method = Some(method).filter(|method| *method != "*").map(str::to_owned);
        Ok(Self { service: format!("/{service}/"), method })
    }

    /// `path`: of a call, as in its header.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.service.as_bytes());
        rest.is_some_and(|rest| match &self.method {
            Some(method) => rest == method.as_bytes(),
            None => !rest.is_empty(),
        })
    }
}

impl RouteConfig {
    /// Whether a call to this path may run twice.
    pub(crate) fn is_idempotent(&self, path: &[u8]) -> bool {
        self.idempotent.iter().any(|pattern| pattern.matches(path))
    }

    /// Adds what is not there yet.
    pub(super) fn add(&mut self, patterns: impl IntoIterator<Item = MethodPattern>) {
        for pattern in patterns {
            if !self.idempotent.contains(&pattern) {
                self.idempotent.push(pattern);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, path: &str, expected: bool) {
        let pattern = MethodPattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(path.as_bytes()), expected, "{pattern:?} and {path}");
    }

    #[test]
    fn a_pattern_is_a_method_or_a_service() {
        check("/bank.Bank/Get", "/bank.Bank/Get", true);
        check("/bank.Bank/Get", "/bank.Bank/GetAll", false);
        check("/bank.Bank/Get", "/bank.Bank/", false);
        check("/bank.Bank/Get", "/bank.BankStore/Get", false);
        check("/bank.Bank/*", "/bank.Bank/Get", true);
        check("/bank.Bank/*", "/bank.Bank/", false);
        check("/bank.Bank/*", "/bank.BankStore/Get", false);
    }

    #[test]
    fn what_is_no_method_is_refused() {
        for text in [
            "",
            "/",
            "Get",
            "/Get",
            "bank.Bank/Get",
            "//Get",
            "/bank.Bank/",
            "/*/Get",
            "/*/*",
            "/bank.Bank/Get*",
            "/bank.Bank/Get/All",
            "/bank.Bank/G t",
        ] {
            assert!(MethodPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_idempotent_by_default() {
        assert!(!RouteConfig::default().is_idempotent(b"/bank.Bank/Get"));
    }
}
