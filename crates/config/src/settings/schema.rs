//! How sections are declared and read: each key once, with its type, default, kind and documentation, from which follow the
//! struct, the reading, the environment variable, `--print-config` and the reference.

use std::path::Path;

use super::{
    environment::{Environment, variable_name},
    kind::{ItemKey, Kind},
};
use crate::{
    fault::{Fault, Position, Report, Severity},
    field::{Field, Fields},
    node::Key,
};

/// Declares a section: a struct, and how it is read.
///
/// The documentation of a field is also the documentation of its key, so it speaks to both readers.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $struct:ident in $section:literal {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty = $default:expr, $kind:expr $(, also $variable:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $struct {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`. Legal: `", stringify!($kind), "`.")]
                pub $key: $type,
            )+
        }

        impl Default for $struct {
            fn default() -> $struct {
                $struct { $($key: $default,)+ }
            }
        }

        impl $struct {
            pub(super) fn read(top: &mut $crate::settings::schema::Section<'_, '_>) -> $struct {
                $struct::read_keys(top.section($section, &[$($about),+]))
            }

            fn read_keys(mut section: $crate::settings::schema::Section<'_, '_>) -> $struct {
                let settings = $struct {
                    $(
                        $key: section.key(
                            $crate::settings::schema::KeyText {
                                name: stringify!($key),
                                doc: &[$($doc),+],
                                also: &[$($variable)?],
                            },
                            $kind,
                            $default,
                        ),
                    )+
                };
                section.finish();
                settings
            }
        }
    };
}

pub(super) use section;

/// What is said about a key where it is declared.
pub(crate) struct KeyText {
    pub(crate) name: &'static str,
    /// Lines of documentation, each with the blank that begins a doc comment.
    pub(crate) doc: &'static [&'static str],
    /// Other environment variables that set it, after its own.
    pub(crate) also: &'static [&'static str],
}

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(Position),
    Environment(String),
}

/// A setting that has been read.
pub(crate) struct Entry {
    /// The section's name; empty for a key at the top. One of several that are alike has a dot before its own.
    pub(crate) section: String,
    pub(crate) name: &'static str,
    pub(crate) doc: &'static [&'static str],
    pub(crate) kind: String,
    /// The value and the default as YAML; `None` when not set.
    pub(crate) value: Option<String>,
    pub(crate) default: Option<String>,
    pub(crate) origin: Origin,
    /// The environment variables that set it, in their order.
    pub(crate) variables: Vec<String>,
    pub(crate) item_keys: Vec<ItemKey>,
}

impl Entry {
    pub(crate) fn path(&self) -> String {
        if self.section.is_empty() {
            self.name.to_owned()
        } else {
            format!("{}.{}", self.section, self.name)
        }
    }
}

/// What reading has found so far.
pub(crate) struct Reader<'a> {
    environment: &'a Environment,
    /// The folder that relative paths start at.
    base: &'a Path,
    /// Faults in the file.
    file: &'a Report,
    /// Faults in the environment.
    overrides: Report,
    entries: Vec<Entry>,
    sections: Vec<(&'static str, &'static [&'static str])>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        environment: &'a Environment,
        base: &'a Path,
        file: &'a Report,
    ) -> Reader<'a> {
        Reader {
            environment,
            base,
            file,
            overrides: Report::new("environment"),
            entries: Vec::new(),
            sections: Vec::new(),
        }
    }

    /// The keys at the top of the file. `fields` is `None` without a file.
    pub(crate) fn top<'r>(&'r mut self, fields: Option<Fields<'a>>) -> Section<'a, 'r> {
        Section {
            name: String::new(),
            is_main: true,
            fields,
            reader: self,
        }
    }

    /// The environment.
    pub(crate) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The folder that relative paths start at.
    pub(crate) fn base(&self) -> &'a Path {
        self.base
    }

    /// The entry at `path`, which the schema is known to have.
    fn entry(&mut self, path: &str) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.path() == path)
    }

    pub(crate) fn origin(&mut self, path: &str) -> Origin {
        self.entry(path)
            .map_or(Origin::Default, |entry| entry.origin.clone())
    }

    /// Notes that the setting at `path` gave way to another.
    pub(crate) fn unset(&mut self, path: &str) {
        if let Some(entry) = self.entry(path) {
            entry.value = None;
            entry.origin = Origin::Default;
        }
    }

    /// Reports a fault of the setting at `path` where that setting was made: in the file or in the environment.
    pub(crate) fn fault(&mut self, path: &str, problem: impl Into<String>, expected: Option<&str>) {
        let (report, position, path) = match self.origin(path) {
            Origin::Environment(variable) => (&self.overrides, None, variable),
            Origin::File(position) => (self.file, Some(position), path.to_owned()),
            Origin::Default => (self.file, None, path.to_owned()),
        };
        report.push(Fault {
            document: report.document().clone(),
            position,
            path,
            problem: problem.into(),
            expected: expected.map(str::to_owned),
            nearest: None,
            severity: Severity::Error,
        });
    }

    /// The faults of the environment, and what has been read.
    pub(crate) fn finish(self) -> Outcome {
        let mut faults = self.overrides.into_faults();
        for fault in &mut faults {
            // An environment variable has a name and no line.
            fault.position = None;
        }
        Outcome {
            faults,
            entries: self.entries,
            sections: self.sections,
        }
    }
}

/// What a [`Reader`] found.
pub(crate) struct Outcome {
    /// The faults of the environment.
    pub(crate) faults: Vec<Fault>,
    /// Every setting, in the order of reading.
    pub(crate) entries: Vec<Entry>,
    /// The sections in the order of reading, with what is said about them.
    pub(crate) sections: Vec<(&'static str, &'static [&'static str])>,
}

/// A section that is being read.
pub(crate) struct Section<'a, 'r> {
    name: String,
    /// Whether the variables that people already use mean this one.
    is_main: bool,
    fields: Option<Fields<'a>>,
    pub(crate) reader: &'r mut Reader<'a>,
}

impl<'a> Section<'a, '_> {
    /// The section `name` of this one. A section without keys, as when all of them are commented out, counts as empty.
    pub(crate) fn section<'s>(
        &'s mut self,
        name: &'static str,
        about: &'static [&'static str],
    ) -> Section<'a, 's> {
        self.reader.sections.push((name, about));
        let field = self
            .fields
            .as_mut()
            .and_then(|fields| fields.optional(name));
        let fields = field
            .filter(|field| !field.is_null())
            .and_then(|field| field.mapping());
        Section {
            name: name.to_owned(),
            is_main: true,
            fields,
            reader: &mut *self.reader,
        }
    }

    /// The sections in `name`, which the user has named and which are alike; each is read with [`Section::one_of`].
    pub(crate) fn sections(
        &mut self,
        name: &'static str,
        about: &'static [&'static str],
    ) -> Vec<(&'a Key, Field<'a>)> {
        self.reader.sections.push((name, about));
        let field = self
            .fields
            .as_mut()
            .and_then(|fields| fields.optional(name));
        let entries = field.filter(|field| !field.is_null());
        entries
            .and_then(|field| field.entries())
            .unwrap_or_default()
    }

    /// One of several sections that are alike, by its whole path.
    pub(crate) fn one_of<'s>(&'s mut self, path: String, field: &Field<'a>) -> Section<'a, 's> {
        Section {
            name: path,
            is_main: false,
            fields: field.mapping(),
            reader: &mut *self.reader,
        }
    }

    /// The value of a key: from the environment, else from the file, else the default.
    pub(crate) fn key<K: Kind>(&mut self, text: KeyText, kind: K, default: K::Value) -> K::Value {
        let path = if self.name.is_empty() {
            text.name.to_owned()
        } else {
            format!("{}.{}", self.name, text.name)
        };
        let also = if self.is_main { text.also } else { &[] };
        let variables: Vec<String> = std::iter::once(variable_name(&path))
            .chain(also.iter().map(|&name| name.to_owned()))
            .collect();
        let written_default = kind.write(&default);
        // The file is read even when the environment wins, so that its faults are found.
        let in_file = self
            .fields
            .as_mut()
            .and_then(|fields| fields.optional(text.name))
            .and_then(|field| {
                let value = kind.read(&field, self.reader.base)?;
                Some((value, Origin::File(field.at())))
            });
        let in_environment = self.reader.variable(&variables, &kind);
        let (value, origin) = in_environment
            .or(in_file)
            .unwrap_or((default, Origin::Default));
        self.reader.entries.push(Entry {
            section: self.name.clone(),
            name: text.name,
            doc: text.doc,
            kind: kind.describe(),
            value: kind.write(&value),
            default: written_default,
            origin,
            variables,
            item_keys: kind.item_keys(),
        });
        value
    }

    /// Reports the keys of the file that the section does not have.
    pub(crate) fn finish(self) {
        if let Some(fields) = self.fields {
            fields.finish();
        }
    }
}

impl Reader<'_> {
    /// The value of the first variable that is set.
    fn variable<K: Kind>(&self, variables: &[String], kind: &K) -> Option<(K::Value, Origin)> {
        let (name, text) = variables
            .iter()
            .find_map(|name| Some((name, self.environment.value(name)?)))?;
        let node = kind.node(text);
        let field = Field::new(&node, name.clone(), &self.overrides);
        Some((
            kind.read(&field, self.base)?,
            Origin::Environment(name.clone()),
        ))
    }

    /// Warns of `PAILOU_*` variables that set nothing.
    pub(crate) fn warn_of_unknown_variables(&self) {
        let known: Vec<&str> = self
            .entries
            .iter()
            .flat_map(|entry| &entry.variables)
            .map(String::as_str)
            .collect();
        for name in self
            .environment
            .own_names()
            .filter(|name| !known.contains(name))
        {
            self.overrides.push(Fault {
                document: self.overrides.document().clone(),
                position: None,
                path: name.to_owned(),
                problem: "no setting has this variable".to_owned(),
                expected: None,
                nearest: crate::nearest(name, known.iter().copied()).map(str::to_owned),
                severity: Severity::Warning,
            });
        }
    }

    /// Adds a warning about a variable that was set and is not used.
    pub(crate) fn warn_of_variable(&self, name: &str, problem: &str) {
        self.overrides.push(Fault {
            document: self.overrides.document().clone(),
            position: None,
            path: name.to_owned(),
            problem: problem.to_owned(),
            expected: None,
            nearest: None,
            severity: Severity::Warning,
        });
    }
}
