//! What the page asks for, from the address of a request.

/// Servers in one answer, at most, and if not asked otherwise.
pub(super) const MOST_ROWS: usize = 200;
const DEFAULT_ROWS: usize = 50;

/// By what servers are ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Order {
    /// Those that are down, then those that drain, then the rest.
    #[default]
    Trouble,
    Address,
    Share,
    Calls,
    Failures,
    InFlight,
    Latency,
    ReportAge,
}

const ORDERS: [(&str, Order); 8] = [
    ("trouble", Order::Trouble),
    ("address", Order::Address),
    ("share", Order::Share),
    ("calls", Order::Calls),
    ("failures", Order::Failures),
    ("in_flight", Order::InFlight),
    ("latency", Order::Latency),
    ("report_age", Order::ReportAge),
];

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query {
    /// By its name; the first if there is no such pool.
    pub(super) pool: String,
    /// What a server's address, state or error holds; in lower case.
    pub(super) filter: String,
    pub(super) order: Order,
    pub(super) descending: bool,
    /// At most [`MOST_ROWS`].
    pub(super) rows: usize,
    /// The address of the one to show second by second; empty for none.
    pub(super) server: String,
}

impl Query {
    /// `text`: what follows the `?`. What is not understood is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self {
            pool: String::new(),
            filter: String::new(),
            order: Order::default(),
            descending: false,
            rows: DEFAULT_ROWS,
            server: String::new(),
        };
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match &*name {
                "pool" => query.pool = value.into_owned(),
                "filter" => query.filter = value.trim().to_lowercase(),
                "order" => {
                    let known = ORDERS.iter().find(|(name, _)| *name == value);
                    query.order = known.map(|(_, order)| *order).unwrap_or_default();
                }
                "descending" => query.descending = value == "true",
                "rows" => {
                    query.rows = value.parse().unwrap_or(DEFAULT_ROWS).clamp(1, MOST_ROWS);
                }
                "server" => query.server = value.into_owned(),
                _ => {}
            }
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_understood() {
        let query = Query::parse(
            "pool=bank.icici&filter=+10.0.%30&order=latency&descending=true&rows=7&server=%5B::1%5D:1",
        );
        let expected = Query {
            pool: "bank.icici".to_owned(),
            filter: "10.0.0".to_owned(),
            order: Order::Latency,
            descending: true,
            rows: 7,
            server: "[::1]:1".to_owned(),
        };
        assert_eq!(query, expected);
    }

    #[test]
    fn nonsense_is_passed_over_and_rows_are_bounded() {
        let check = |text: &str, rows: usize| {
            assert_eq!(Query::parse(text), Query { rows, ..Query::parse("") }, "{text}");
        };
        check("order=best&descending=perhaps&more", DEFAULT_ROWS);
        check("rows=-1", DEFAULT_ROWS);
        check("rows=0", 1);
        check("rows=100000", MOST_ROWS);
        check("&&==%FF%", DEFAULT_ROWS);
    }
}
