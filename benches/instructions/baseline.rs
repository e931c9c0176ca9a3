//! The numbers that are held: kept in a file, and compared with.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, process::Command, process::ExitCode};

use serde::{Deserialize, Serialize};

/// How much more than the baseline is borne.
const TOLERANCE: f64 = 1.05;
/// Of an allocation a call: a buffer that grew once is no regression.
const FEW_ALLOCATIONS: f64 = 0.01;

/// Something counted per call: of a client, the switch and a server, and of the two ends alone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Count {
    /// With the switch.
    pub(crate) through: f64,
    /// Without.
    pub(crate) ends: f64,
}

impl Count {
    /// What the switch adds.
    fn switch(self) -> f64 {
        self.through - self.ends
    }
}

/// What one call costs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Cost {
    pub(crate) instructions: Count,
    pub(crate) allocations: Count,
}

/// All costs, and what they were measured with.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// Compiler and target: others make other code.
    compiler: String,
    call: BTreeMap<String, Cost>,
}

impl Baseline {
    /// What was measured, by this compiler.
    pub(crate) fn of(call: BTreeMap<String, Cost>) -> Self {
        Self { compiler: compiler(), call }
    }

    /// Makes these the numbers to hold.
    pub(crate) fn save(&self) -> ExitCode {
        let head =
            "# Written by `cargo bench --bench instructions -- --save`: what a call takes.\n";
        let text = toml::to_string(self).expect("numbers can be written");
        fs::write(path(), format!("{head}{text}")).expect("the baseline can be written");
        println!("saved to {}", path().display());
        ExitCode::SUCCESS
    }

    /// Fails if anything costs more than the saved numbers allow.
    pub(crate) fn compare(&self) -> ExitCode {
        let Ok(text) = fs::read_to_string(path()) else {
            println!("{} cannot be read; `-- --save` writes it", path().display());
            return ExitCode::FAILURE;
        };
        let saved: Self = toml::from_str(&text).expect("the baseline is as `-- --save` wrote it");
        if saved.compiler != self.compiler {
            println!(
                "the baseline is of {}, this is {}: nothing is compared; \
                 `cargo bench --bench instructions -- --save` writes it anew",
                saved.compiler, self.compiler
            );
            return ExitCode::SUCCESS;
        }
        let complaints = self.complaints(&saved);
        for complaint in &complaints {
            println!("{complaint}");
        }
        if complaints.is_empty() {
            println!("within the baseline");
            return ExitCode::SUCCESS;
        }
        println!(
            "a call through the switch costs more than it did. Find out why \
             (valgrind --tool=callgrind on this program, run with `--counted`); if it is worth it, \
             `cargo bench --bench instructions -- --save` writes the baseline anew: commit it"
        );
        ExitCode::FAILURE
    }

    fn complaints(&self, saved: &Self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, cost) in &self.call {
            let Some(held) = saved.call.get(name) else {
                complaints.push(format!("{name}: not in the baseline; `-- --save` writes it"));
                continue;
            };
            let mut check = |what: &str, now: f64, then: f64, most: f64| {
                if now > most {
                    complaints
                        .push(format!("{name}: {now:.2} {what} per call, held are {then:.2}"));
                }
            };
            let (now, then) = (cost.instructions.switch(), held.instructions.switch());
            check("instructions in the switch", now, then, then * TOLERANCE);
            let (now, then) = (cost.instructions.ends, held.instructions.ends);
            check("instructions in the client and the server", now, then, then * TOLERANCE);
            let (now, then) = (cost.allocations.through, held.allocations.through);
            check("allocations", now, then, then * TOLERANCE + FEW_ALLOCATIONS);
        }
        complaints
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(to, "{}; per call:", self.compiler)?;
        for (name, cost) in &self.call {
            for (what, count) in
                [("instructions", cost.instructions), ("allocations", cost.allocations)]
            {
                let Count { through, ends } = count;
                writeln!(
                    to,
                    "{name:>27}: {:>10.2} {what} in the switch \
                     ({through:.2} with client and server, {ends:.2} in these alone)",
                    count.switch(),
                )?;
            }
        }
        Ok(())
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml")
}

/// The version and target of the compiler that cargo uses.
fn compiler() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("there is a compiler");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |key| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    format!("rustc {}, {}", line("release: "), line("host: "))
}
