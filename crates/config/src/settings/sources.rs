//! Where the routes come from.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    kind::{Choice, FilePath, ItemKey, Kind, mapping_node, yaml_text},
    nacos::{DEFAULT_NACOS, NacosSettings},
    values::{NAME, NAMESPACE},
};
use crate::{field::Field, node::Node, route::Form};

/// How a file is told from a data id in the environment variable.
const FILE_PREFIX: &str = "file:";

/// One source of routes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteSource {
    /// A Nacos config.
    Config {
        /// The id of the Nacos that has it: `default`, or one of `other_nacos`.
        nacos: String,
        /// Its data id.
        data_id: String,
        /// Its group.
        group: String,
        /// The id of its namespace; empty for the public one.
        namespace: String,
        /// The form of its documents; `None` for the one that their content shows.
        form: Option<Form>,
    },
    /// A file, which is watched.
    File {
        /// Its path.
        path: PathBuf,
        /// The form of its documents; `None` for the one that their content shows.
        form: Option<Form>,
    },
}

impl RouteSource {
    /// The form that was set for its documents.
    pub fn form(&self) -> Option<Form> {
        match self {
            RouteSource::Config { form, .. } | RouteSource::File { form, .. } => *form,
        }
    }

    /// The data id, or the path of the file.
    pub(super) fn name(&self) -> String {
        match self {
            RouteSource::Config { data_id, .. } => data_id.clone(),
            RouteSource::File { path, .. } => path.display().to_string(),
        }
    }

    /// Whether it is in the same place, in whatever form.
    pub(super) fn is_same_place(&self, other: &RouteSource) -> bool {
        let without_form = |source: &RouteSource| {
            let mut source = source.clone();
            match &mut source {
                RouteSource::Config { form, .. } | RouteSource::File { form, .. } => *form = None,
            }
            source
        };
        without_form(self) == without_form(other)
    }
}

/// The forms of a document, as they are written.
const FORMS: Choice<Form> = Choice(&[("native", Form::Native), ("scg", Form::Scg)]);

/// A source as written: what is left out comes from `nacos`.
#[derive(Clone)]
pub(super) enum Source {
    Config {
        nacos: Option<String>,
        data_id: String,
        group: Option<String>,
        namespace: Option<String>,
        form: Option<Form>,
    },
    File(PathBuf, Option<Form>),
}

impl Source {
    pub(super) fn default() -> Source {
        Source::Config {
            nacos: None,
            data_id: "pailou-routes.yaml".to_owned(),
            group: None,
            namespace: None,
            form: None,
        }
    }

    /// The source with what it leaves out, and the id of the Nacos that it names, should there be none.
    pub(super) fn resolve(
        self,
        nacos: &NacosSettings,
        others: &BTreeMap<String, NacosSettings>,
    ) -> (RouteSource, Option<String>) {
        match self {
            Source::File(path, form) => (RouteSource::File { path, form }, None),
            Source::Config {
                nacos: id,
                data_id,
                group,
                namespace,
                form,
            } => {
                let id = id.unwrap_or_else(|| DEFAULT_NACOS.to_owned());
                let other = others.get(&id);
                let unknown = (other.is_none() && id != DEFAULT_NACOS).then(|| id.clone());
                let of = other.unwrap_or(nacos);
                let source = RouteSource::Config {
                    nacos: id,
                    data_id,
                    group: group.unwrap_or_else(|| of.group.clone()),
                    namespace: namespace.unwrap_or_else(|| of.namespace.clone()),
                    form,
                };
                (source, unknown)
            }
        }
    }
}

/// An item of `routes`.
pub(super) struct SourceItem;

impl Kind for SourceItem {
    type Value = Source;

    fn describe(&self) -> String {
        "mapping with `data_id`, or with `file`".to_owned()
    }

    fn read(&self, field: &Field<'_>, base: &Path) -> Option<Source> {
        let mut fields = field.mapping()?;
        let data_id = fields.optional("data_id");
        let file = fields.optional("file");
        let group = fields.optional("group");
        let namespace = fields.optional("namespace");
        let nacos = fields.optional("nacos");
        let form = fields.optional("form");
        fields.finish();
        let form = form.and_then(|form| FORMS.read(&form, base));
        match (data_id, file) {
            (Some(data_id), None) => Some(Source::Config {
                nacos: nacos.and_then(|nacos| NAME.read(&nacos, base)),
                data_id: data_id_text(&data_id, base)?,
                group: group.and_then(|group| NAME.read(&group, base)),
                namespace: namespace.and_then(|namespace| NAMESPACE.read(&namespace, base)),
                form,
            }),
            (None, Some(file)) => {
                for needless in [group, namespace, nacos].into_iter().flatten() {
                    needless.fault("a file has neither group nor namespace, and is in no Nacos");
                }
                FilePath
                    .read(&file, base)
                    .map(|path| Source::File(path, form))
            }
            (Some(_), Some(file)) => {
                file.fault_expected("`file` beside `data_id`", "one item for each");
                None
            }
            (None, None) => {
                field.fault_expected("no source", "`data_id` or `file`");
                None
            }
        }
    }

    fn write(&self, value: &Source) -> Option<String> {
        let written = |form: &Option<Form>| {
            let form = form.as_ref().and_then(|form| FORMS.write(form));
            form.map_or_else(String::new, |form| format!(", form: {form}"))
        };
        let (nacos, data_id, group, namespace, form) = match value {
            Source::File(path, form) => {
                return Some(format!(
                    "{{ file: {}{} }}",
                    yaml_text(&path.to_string_lossy()),
                    written(form)
                ));
            }
            Source::Config {
                nacos,
                data_id,
                group,
                namespace,
                form,
            } => (nacos, data_id, group, namespace, form),
        };
        let mut keys = vec![format!("data_id: {}", yaml_text(data_id))];
        keys.extend(
            group
                .iter()
                .map(|group| format!("group: {}", yaml_text(group))),
        );
        keys.extend(
            namespace
                .iter()
                .map(|namespace| format!("namespace: {}", yaml_text(namespace))),
        );
        keys.extend(
            nacos
                .iter()
                .map(|nacos| format!("nacos: {}", yaml_text(nacos))),
        );
        Some(format!("{{ {}{} }}", keys.join(", "), written(form)))
    }

    fn node(&self, text: &str) -> Node {
        match text.strip_prefix(FILE_PREFIX) {
            Some(path) => mapping_node([("file".to_owned(), FilePath.node(path))]),
            None => mapping_node([("data_id".to_owned(), NAME.node(text))]),
        }
    }

    fn item_keys(&self) -> Vec<ItemKey> {
        vec![
            ItemKey {
                name: "data_id",
                kind: "a name without spaces",
                doc: "The data id of a Nacos config.",
            },
            ItemKey {
                name: "group",
                kind: "a name without spaces",
                doc: "Its group; `nacos.group` unless given.",
            },
            ItemKey {
                name: "namespace",
                kind: "the id of a namespace",
                doc: "Its namespace; `nacos.namespace` unless given.",
            },
            ItemKey {
                name: "nacos",
                kind: "the id of a Nacos",
                doc: "One of `other_nacos`; `nacos` unless given. Group and namespace are then that one's unless given.",
            },
            ItemKey {
                name: "file",
                kind: "path of a file",
                doc: "A file instead, relative to this file's folder; it is watched.",
            },
            ItemKey {
                name: "form",
                kind: "`native`, `scg`",
                doc: "The form of the document: Pailou's own, or that of Spring Cloud Gateway; the one that its content shows unless given.",
            },
        ]
    }
}

fn data_id_text(field: &Field<'_>, base: &Path) -> Option<String> {
    let data_id = NAME.read(field, base)?;
    if data_id.starts_with("cipher-") {
        field.fault_expected(
            "encrypted configs cannot be read",
            "a data id without the prefix `cipher-`",
        );
        return None;
    }
    Some(data_id)
}
