//! What the plan says of a fault, in words.

/// `1 of 12 servers 3× slower`; the fault's own name if the plan does not say more.
pub(crate) fn told(plan: &toml::Table, workload: &str, fault: &str, servers: u32) -> String {
    let Some(entry) = entry(plan, workload, fault) else { return fault.to_owned() };
    let what = match entry.get("kind").and_then(toml::Value::as_str) {
        Some("slow") => {
            let factor = entry.get("factor");
            let whole = |value: &toml::Value| value.as_integer().map(|whole| whole as f64);
            let factor = factor.and_then(|value| value.as_float().or_else(|| whole(value)));
            factor.map_or_else(|| "slower".to_owned(), |factor| format!("{factor}× slower"))
        }
        Some("freeze") => "suspended".to_owned(),
        Some("fail_fast") => "failing every call at once".to_owned(),
        Some("kill") => "killed, then started again".to_owned(),
        Some("bank_away") => {
            return format!("{} killed, then started again", a_bank(plan, workload));
        }
        Some("add") => return format!("one more server than {servers}, for a while"),
        _ => return fault.to_owned(),
    };
    format!("1 of {servers} servers {what}")
}

/// `1 of 3 banks`.
fn a_bank(plan: &toml::Table, workload: &str) -> String {
    let banks = of_workload(plan, workload).and_then(|entry| entry.get("banks")?.as_integer());
    banks.map_or_else(|| "a bank".to_owned(), |banks| format!("1 of {banks} banks"))
}

/// Where a fault stands among its workload's in the plan; behind all others if it does not.
pub(crate) fn position(plan: &toml::Table, workload: &str, fault: &str) -> usize {
    let faults = faults(plan, workload).map_or(&[][..], Vec::as_slice);
    faults.iter().position(|entry| named(entry) == Some(fault)).unwrap_or(faults.len())
}

fn entry<'a>(plan: &'a toml::Table, workload: &str, fault: &str) -> Option<&'a toml::Value> {
    faults(plan, workload)?.iter().find(|entry| named(entry) == Some(fault))
}

fn faults<'a>(plan: &'a toml::Table, workload: &str) -> Option<&'a Vec<toml::Value>> {
    of_workload(plan, workload)?.get("faults")?.as_array()
}

/// The plan's entry of a workload, which its name or else its kind names.
pub(crate) fn of_workload<'a>(plan: &'a toml::Table, workload: &str) -> Option<&'a toml::Value> {
    let workloads = plan.get("workloads")?.as_array()?;
    workloads.iter().find(|entry| named(entry) == Some(workload))
}

/// An entry's name, by default its kind.
fn named(entry: &toml::Value) -> Option<&str> {
    let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
    text("name").or_else(|| text("kind"))
}
