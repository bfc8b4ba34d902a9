//! Rules that the code keeps, read from its text: quick enough for each time somebody saves a file.

mod defaults;
mod functions;
mod layers;
mod modules;
mod prose;
mod quotes;
mod source;
pub(crate) mod surface;
mod width;

/// One rule, and what breaks it: a line for each place.
struct Rule {
    name: &'static str,
    findings: fn() -> Result<Vec<String>, String>,
}

const RULES: &[Rule] = &[
    Rule { name: "layers of core, without circles", findings: layers::core },
    Rule { name: "no circles between the command's modules", findings: layers::host },
    Rule { name: "defaults for missing values", findings: defaults::check },
    Rule { name: "functions of 80 lines at most", findings: functions::lengths },
    Rule { name: "no exceptions from the number of parameters", findings: functions::parameters },
    Rule { name: "100 columns of Rust", findings: width::rust },
    Rule { name: "100 columns of Markdown", findings: width::markdown },
    Rule { name: "blocks quoted from files", findings: quotes::check },
    Rule { name: "plain English", findings: prose::check },
];

/// Checks all rules.
///
/// # Errors
/// Every place that breaks one.
pub(crate) fn check() -> Result<String, String> {
    let mut report = String::new();
    for Rule { name, findings } in RULES {
        let findings = findings()?;
        if !findings.is_empty() {
            report += &format!("{name}:\n");
            findings.iter().for_each(|finding| report += &format!("  {finding}\n"));
            report += &format!("  {} in all\n", findings.len());
        }
    }
    if !report.is_empty() {
        return Err(report);
    }
    Ok(format!("{} rules", RULES.len()))
}

/// Writes the lists that rules compare with.
pub(crate) fn accept() -> Result<(), String> {
    defaults::accept()
}
