//! A small driver for fuzz tests, on the stable toolchain.
//!
//! One job: to call a check with many inputs. In go seeds and words; they are mutated for a time that is bounded, and
//! an input whose outcome is new becomes a seed itself, which takes the place of coverage. A panic in the check is the
//! failure that is looked for: the input is made smaller, kept in a file and printed with what repeats it.
//!
//! It must not know what is fuzzed.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `FUZZ_SECONDS` | how long each target runs | 1 |
//! | `FUZZ_SEED` | begins the random numbers: the same one gives the same inputs | 1 |
//! | `FUZZ_INPUT` | a file: its bytes are the only input | none |
//!
//! ```
//! pailou_fuzz::Fuzz::new("digits")
//!     .seed("1234")
//!     .words(["+", "-"])
//!     .run(|bytes| {
//!         let text = String::from_utf8_lossy(bytes);
//!         text.parse::<u8>().map_err(|error| error.kind().clone())
//!     });
//! ```

mod mutate;
mod quiet;
mod shrink;
mod watch;

use std::any::Any;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutate::Mutator;
use watch::Watch;

/// The longest input, unless the target says otherwise.
const MAX_BYTES: usize = 2048;
/// The most inputs that are kept for their outcome.
const MAX_KEPT: usize = 2000;
/// How long an input may take before it counts as a failure: slow machines run several tests at once.
const MAX_TIME: Duration = Duration::from_secs(5);

/// A target of fuzzing.
#[derive(Debug)]
pub struct Fuzz {
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    max_bytes: usize,
}

impl Fuzz {
    /// A target of this name, without a seed yet.
    pub fn new(name: &'static str) -> Fuzz {
        Fuzz {
            name,
            seeds: Vec::new(),
            words: Vec::new(),
            max_bytes: MAX_BYTES,
        }
    }

    /// Adds an input that others are made of.
    #[must_use]
    pub fn seed(mut self, seed: impl AsRef<[u8]>) -> Fuzz {
        self.seeds.push(seed.as_ref().to_vec());
        self
    }

    /// Adds inputs that others are made of.
    #[must_use]
    pub fn seeds<T: AsRef<[u8]>>(self, seeds: impl IntoIterator<Item = T>) -> Fuzz {
        seeds.into_iter().fold(self, Fuzz::seed)
    }

    /// Adds words that mean something to what is tested.
    #[must_use]
    pub fn words<T: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = T>) -> Fuzz {
        let words = words.into_iter().map(|word| word.as_ref().to_vec());
        self.words.extend(words);
        self
    }

    /// Sets the longest input, in bytes. 2,048 is the default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Fuzz {
        self.max_bytes = bytes;
        self
    }

    /// Calls `check` with the seeds and with what becomes of them. What it returns says which inputs are alike.
    ///
    /// # Panics
    /// When `check` panics, or takes longer than 5 s, for some input.
    pub fn run<T: Hash>(self, check: impl Fn(&[u8]) -> T) {
        let watch = Watch::start(self.name, MAX_TIME);
        let outcome = |input: &[u8]| {
            watch.begin(input);
            let outcome = catch_unwind(AssertUnwindSafe(|| hash(&check(input))));
            watch.end();
            outcome
        };
        if let Some(path) = std::env::var_os("FUZZ_INPUT") {
            let input = std::fs::read(path).expect("FUZZ_INPUT names a file");
            check(&input);
            return;
        }
        let seed = variable("FUZZ_SEED").unwrap_or(1);
        let until = Instant::now() + Duration::from_secs(variable("FUZZ_SECONDS").unwrap_or(1));
        let mut mutator = Mutator::new(seed, self.words, self.max_bytes);
        let mut kept = self.seeds;
        kept.push(Vec::new());
        let mut seen = HashSet::new();
        for input in &kept {
            match outcome(input) {
                Ok(hash) => seen.insert(hash),
                Err(panic) => fail(self.name, seed, input, &panic, &outcome),
            };
        }
        let mut inputs = kept.len() as u64;
        while Instant::now() < until {
            let input = mutator.next(&kept);
            inputs += 1;
            match outcome(&input) {
                Ok(hash) if seen.insert(hash) && kept.len() < MAX_KEPT => kept.push(input),
                Ok(_) => {}
                Err(panic) => fail(self.name, seed, &input, &panic, &outcome),
            }
        }
        println!(
            "fuzz {}: {inputs} inputs, {} outcomes, FUZZ_SEED={seed}",
            self.name,
            seen.len()
        );
    }
}

/// What a check comes to, or its panic.
type Outcome = Result<u64, Box<dyn Any + Send>>;

fn fail(
    name: &str,
    seed: u64,
    input: &[u8],
    panic: &Box<dyn Any + Send>,
    outcome: &impl Fn(&[u8]) -> Outcome,
) -> ! {
    let kind = kind(panic);
    let fails_alike = |input: &[u8]| outcome(input).is_err_and(|panic| self::kind(&panic) == kind);
    let small = quiet::quietly(|| shrink::shrink(input, fails_alike));
    let text = text(panic);
    panic!(
        "fuzz {name} failed: {text}\n  input: b\"{}\"\n  kept in {}: FUZZ_INPUT= repeats it; it came of FUZZ_SEED={seed}",
        small.escape_ascii(),
        keep(name, &small).display(),
    );
}

fn text(panic: &Box<dyn Any + Send>) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked")
}

/// What failures of one kind have in common: the first line, without what is the input's.
fn kind(panic: &Box<dyn Any + Send>) -> String {
    let line = text(panic).lines().next().unwrap_or_default();
    line.chars()
        .filter(|one| !one.is_ascii_digit())
        .take(60)
        .collect()
}

/// Writes an input to a file of its own; says which.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("fuzz-{name}-{:016x}", hash(input)));
    // It is printed as well.
    let _ = std::fs::write(&path, input);
    path
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {value}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_needs_two_steps_is_found_and_made_small() {
        let found = catch_unwind(|| {
            Fuzz::new("staircase")
                .seeds(["GET / HTTP/1.1", "POST"])
                .words(["magic"])
                .run(|bytes| {
                    let has_word = bytes.windows(5).any(|five| five == b"magic");
                    assert!(!(has_word && bytes.ends_with(b"!")), "found");
                    (has_word, bytes.ends_with(b"!"))
                });
        });
        let text = found.expect_err("it is found");
        let text = text.downcast_ref::<String>().expect("a text");
        assert!(text.contains("b\"magic!\""), "{text}");
        assert!(text.contains("FUZZ_SEED=1"), "{text}");
    }
}
