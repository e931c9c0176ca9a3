//! A host's addresses of both families, and what new answers change about them.
//!
//! | A, AAAA | the host's addresses |
//! |---|---|
//! | found, found or nothing | as found |
//! | found, failed | as found; of the family that failed, those known |
//! | nothing or failed, both | those known |

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What a question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lookup<T> {
    /// At least one, and how long that is good for.
    Found(Vec<T>, Duration),
    /// The server of DNS says that there is none.
    Nothing,
    /// Nobody knows.
    Failed(String),
}

/// The addresses known of one host: IPv4, then IPv6.
#[derive(Debug, Default)]
pub(super) struct Families([Vec<IpAddr>; 2]);

/// What answers came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    /// The addresses are as the answers say, at least of one family.
    pub(super) is_answered: bool,
    /// Empty if all is well.
    pub(super) problem: String,
    /// Of the shortest-lived record.
    pub(super) ttl: Duration,
}

impl Families {
    /// `found`: of A and of AAAA.
    pub(super) fn fold(&mut self, found: [Lookup<IpAddr>; 2]) -> Folded {
        let is_answered = found.iter().any(|lookup| matches!(lookup, Lookup::Found(..)));
        let (mut ttl, mut problem) = (Duration::MAX, String::new());
        for (known, lookup) in self.0.iter_mut().zip(found) {
            match lookup {
                Lookup::Found(addresses, of_family) => {
                    *known = addresses;
                    ttl = ttl.min(of_family);
                }
                Lookup::Nothing if is_answered => known.clear(),
                Lookup::Nothing => {}
                Lookup::Failed(why) => problem = why,
            }
        }
        if !is_answered && problem.is_empty() {
            "DNS names no address".clone_into(&mut problem);
        }
        Folded { is_answered, problem, ttl }
    }

    /// `host:port` of each.
    pub(super) fn servers(&self, port: u16) -> impl Iterator<Item = String> {
        self.0.iter().flatten().map(move |&address| SocketAddr::new(address, port).to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Lookup<IpAddr> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Lookup::Found(addresses, Duration::from_secs(5))
    }

    fn failed() -> Lookup<IpAddr> {
        Lookup::Failed("timed out".to_owned())
    }

    #[test]
    fn what_was_known_stays_until_an_answer_says_otherwise() {
        let mut families = Families::default();
        let mut check = |found: [Lookup<IpAddr>; 2], expected: &[&str], problem: &str| {
            let folded = families.fold(found);
            let servers: Vec<_> = families.servers(9).collect();
            assert_eq!((servers, folded.problem.as_str()), (owned(expected), problem));
            folded.is_answered
        };
        assert!(!check([failed(), failed()], &[], "timed out"));
        assert!(!check([Lookup::Nothing, Lookup::Nothing], &[], "DNS names no address"));
        let both = ["10.0.0.1:9", "[fd00::1]:9"];
        assert!(check([found(&["10.0.0.1"]), found(&["fd00::1"])], &both, ""));
        assert!(!check([failed(), failed()], &both, "timed out"));
        assert!(!check([failed(), Lookup::Nothing], &both, "timed out"));
        assert!(!check([Lookup::Nothing, Lookup::Nothing], &both, "DNS names no address"));
        let half = ["10.0.0.2:9", "[fd00::1]:9"];
        assert!(check([found(&["10.0.0.2"]), failed()], &half, "timed out"));
        assert!(check([found(&["10.0.0.2"]), Lookup::Nothing], &["10.0.0.2:9"], ""));
        assert!(check([Lookup::Nothing, found(&["fd00::2"])], &["[fd00::2]:9"], ""));
    }

    fn owned(servers: &[&str]) -> Vec<String> {
        servers.iter().map(|&server| server.to_owned()).collect()
    }

    #[test]
    fn the_shortest_lived_record_counts() {
        let long = Lookup::Found(vec!["fd00::1".parse().unwrap()], Duration::from_secs(60));
        let folded = Families::default().fold([found(&["10.0.0.1"]), long]);
        assert_eq!(folded.ttl, Duration::from_secs(5));
    }
}
