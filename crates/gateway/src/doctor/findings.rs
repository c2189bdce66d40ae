//! The findings, and how they are printed.

use std::io::{self, IsTerminal as _, Write as _};

use pailou_upstream::ServiceId;
use serde::Serialize;
use serde_json::json;

use crate::run::plural;
use crate::say;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// As it should be.
    Ok,
    /// It works, but a person should know.
    Warning,
    /// It does not work.
    Problem,
    /// It could not be checked.
    Unknown,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The server that said so; absent for what is on this machine.
    server: Option<String>,
    check: &'static str,
    /// The name of what was checked; empty if there is only one.
    subject: String,
    result: Outcome,
    found: String,
    cure: Option<String>,
}

/// All findings so far. They are printed as they come.
pub(super) struct Findings {
    all: Vec<Finding>,
    server: Option<String>,
    /// The id of the Nacos that the server is one of.
    nacos: String,
    tells: bool,
    /// Whether the server's name has been printed.
    is_named: bool,
}

impl Findings {
    /// No findings yet. With `tells` they are printed to standard output as they come.
    pub(super) fn new(tells: bool) -> Findings {
        Findings {
            all: Vec::new(),
            server: None,
            nacos: String::new(),
            tells,
            is_named: false,
        }
    }

    /// What follows is about this server of a Nacos.
    pub(super) fn begin(&mut self, server: &str, nacos: &str) {
        self.server = Some(server.to_owned());
        nacos.clone_into(&mut self.nacos);
        self.is_named = false;
    }

    /// A setting of the server's Nacos as a cure names it. For the default Nacos the cure also names the variable that people use.
    pub(super) fn setting(&self, key: &str, variable: Option<&str>) -> String {
        if self.nacos != ServiceId::DEFAULT_NACOS {
            return format!("other_nacos.{}.{key}", self.nacos);
        }
        match variable {
            Some(variable) => format!("nacos.{key} (or {variable})"),
            None => format!("nacos.{key}"),
        }
    }

    pub(super) fn ok(&mut self, check: &'static str, subject: &str, found: impl Into<String>) {
        self.add(check, subject, Outcome::Ok, found.into(), None);
    }

    pub(super) fn warning(
        &mut self,
        check: &'static str,
        subject: &str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let cure = Some(cure.into());
        self.add(check, subject, Outcome::Warning, found.into(), cure);
    }

    pub(super) fn problem(
        &mut self,
        check: &'static str,
        subject: &str,
        found: impl Into<String>,
        cure: impl Into<String>,
    ) {
        let cure = Some(cure.into());
        self.add(check, subject, Outcome::Problem, found.into(), cure);
    }

    pub(super) fn unknown(&mut self, check: &'static str, subject: &str, found: impl Into<String>) {
        self.add(check, subject, Outcome::Unknown, found.into(), None);
    }

    /// Shows on a terminal what is being checked, since some steps take seconds.
    pub(super) fn progress(&self, what: &str) {
        if self.tells && io::stderr().is_terminal() && io::stdout().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K  … {what}");
        }
    }

    /// Adds the findings of another list, which has printed them already.
    pub(super) fn extend(&mut self, others: &Findings) {
        self.all.extend(others.all.iter().cloned());
        self.is_named |= others.is_named;
    }

    /// Adds the findings of a server that differ from those of the first server.
    pub(super) fn compare(&mut self, said: &Findings, first: &str, by_first: &Findings) {
        let is_same = |one: &&Finding| {
            by_first.all.iter().any(|other| {
                (one.check, &one.subject, one.result, &one.found)
                    == (other.check, &other.subject, other.result, &other.found)
            })
        };
        let (same, other): (Vec<_>, Vec<_>) = said.all.iter().partition(is_same);
        if other.is_empty() {
            let found = format!(
                "says the same as {first} in {}",
                plural(same.len(), "thing")
            );
            return self.ok("servers", "", found);
        }
        let cure = "Look whether the servers form one Nacos: one cluster.conf, one database, and ports that are open between them.";
        let found = format!("says something else than {first} does; the differences follow");
        self.warning("servers", "", found, cure);
        for finding in other {
            self.push(finding.clone());
        }
    }

    /// Whether there is any problem.
    pub(super) fn is_anything_wrong(&self) -> bool {
        self.count(Outcome::Problem) > 0
    }

    #[cfg(test)]
    pub(super) fn warnings(&self) -> usize {
        self.count(Outcome::Warning)
    }

    /// Prints the sums, or, if nothing was printed so far, all findings as JSON.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        let (problems, warnings) = (self.count(Outcome::Problem), self.count(Outcome::Warning));
        if self.tells {
            self.clear_progress();
            say::out(&format!(
                "{}, {}\n",
                plural(problems, "problem"),
                plural(warnings, "warning")
            ))?;
            return Ok(());
        }
        let all = json!({
            "ok": problems == 0,
            "problems": problems,
            "warnings": warnings,
            "findings": self.all,
        });
        say::out(&format!("{}\n", serde_json::to_string_pretty(&all)?))?;
        Ok(())
    }

    fn count(&self, result: Outcome) -> usize {
        self.all.iter().filter(|one| one.result == result).count()
    }

    fn add(
        &mut self,
        check: &'static str,
        subject: &str,
        result: Outcome,
        found: String,
        cure: Option<String>,
    ) {
        self.push(Finding {
            server: self.server.clone(),
            check,
            subject: subject.to_owned(),
            result,
            found,
            cure,
        });
    }

    fn push(&mut self, finding: Finding) {
        if self.tells {
            self.clear_progress();
            let heading = match &finding.server {
                Some(server) if !self.is_named => format!("{server}\n"),
                _ => String::new(),
            };
            self.is_named |= finding.server.is_some();
            // A reader may close standard output early. The exit code still tells the result.
            let _ = say::out(&format!("{heading}{}", finding.text()));
        }
        self.all.push(finding);
    }

    fn clear_progress(&self) {
        if io::stderr().is_terminal() && io::stdout().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Finding {
    fn text(&self) -> String {
        let result = match self.result {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Problem => "PROBLEM",
            Outcome::Unknown => "unknown",
        };
        let subject = match self.subject.as_str() {
            "" => String::new(),
            subject => format!("{subject}: "),
        };
        let mut text = format!("  {result:8} {:10} {subject}{}\n", self.check, self.found);
        if let Some(cure) = &self.cure {
            text.push_str(&format!("{:21}→ {cure}\n", ""));
        }
        // What servers and registrations say must not move the cursor.
        text.replace(|c: char| c.is_control() && c != '\n', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(texts: &[(&str, &str)]) -> Findings {
        let mut findings = Findings::new(false);
        findings.begin("server", ServiceId::DEFAULT_NACOS);
        for (subject, found) in texts {
            findings.ok("document", subject, *found);
        }
        findings
    }

    #[test]
    fn a_second_server_is_told_of_only_where_it_differs() {
        let first = findings(&[("a", "1"), ("b", "2")]);
        for (second, expected) in [
            (
                findings(&[("b", "2"), ("a", "1")]),
                vec!["says the same as one in 2 things"],
            ),
            (
                findings(&[("a", "1"), ("b", "3")]),
                vec![
                    "says something else than one does; the differences follow",
                    "3",
                ],
            ),
        ] {
            let mut all = Findings::new(false);
            all.compare(&second, "one", &first);
            let found: Vec<_> = all.all.iter().map(|one| one.found.as_str()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_finding_is_a_line_and_its_cure_another() {
        let mut findings = Findings::new(false);
        findings.problem("service", "a\u{1b}[2J", "gone", "Start it.");
        let text = findings.all[0].text();
        let expected = "  PROBLEM  service    a [2J: gone\n                     → Start it.\n";
        assert_eq!(text, expected);
        assert!(findings.is_anything_wrong());
    }
}
