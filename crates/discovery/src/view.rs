//! What discovery tells people: the admin interface serializes these.

use std::collections::BTreeMap;

use pailou_config::Fault;
use pailou_nacos::{ConnectionState, Counts, LoginState, Origin, SessionState};
use serde::Serialize;

/// Everything that discovery knows, at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct DiscoveryView {
    /// Whether the gateway may take requests, and if not, why.
    pub readiness: Readiness,
    /// The table that is being served.
    pub table: TableView,
    /// The route documents, in the order of `gateway.yaml`.
    pub documents: Vec<DocumentView>,
    /// The services that are watched, by name.
    pub services: Vec<FeedView>,
    /// The connections to Nacos, one for each Nacos and namespace.
    pub sessions: Vec<SessionView>,
    /// The gateway's own registration.
    pub registration: RegistrationView,
    /// Whether something is served that nobody vouches for at the moment: a lost connection told of it, or
    /// the snapshot.
    pub stale: bool,
    /// The snapshot on disk, unless it is off.
    pub snapshot: Option<SnapshotView>,
}

/// Whether the gateway may take requests.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Readiness {
    /// True once there is a table whose services are known, or one to go on with after ten seconds.
    pub ready: bool,
    /// Why not, or with what reservation; empty when all is well.
    pub reason: String,
}

/// The published table.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TableView {
    /// Counts the tables since start; 0 while there is none.
    pub revision: u64,
    /// MD5 over the texts of all applied documents, in their order: with one document, the MD5 that
    /// Nacos shows for it.
    pub md5: String,
    /// How many routes it has.
    pub routes: usize,
    /// When it was published, in milliseconds since 1970.
    pub published_unix_ms: Option<u64>,
    /// How long its documents took from the source to the swap, in milliseconds.
    pub took_ms: Option<u64>,
}

/// One route document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentView {
    /// The data id, or the path of the file.
    pub name: String,
    /// The kind of source: `nacos` or `file`.
    pub source: &'static str,
    /// What the newest state of the document is.
    pub state: DocumentState,
    /// Whether routes are served that are not those of the newest state: a person should look.
    pub alarm: bool,
    /// Why, in one sentence, when there is an alarm or nothing was read yet.
    pub reason: Option<String>,
    /// Whether the applied text is the snapshot's: it was good in an earlier run, and no good one was heard
    /// of since.
    pub from_snapshot: bool,
    /// Why the source cannot tell the newest state at the moment, such as a missing right.
    pub trouble: Option<String>,
    /// MD5 of the text that is applied.
    pub md5: Option<String>,
    /// The first table revision with that text.
    pub revision: Option<u64>,
    /// How many routes of the document are applied, disabled ones included.
    pub routes: usize,
    /// What is wrong with the newest state, and routes that an earlier document keeps out.
    pub faults: Vec<Fault>,
    /// The warnings about the applied text.
    pub warnings: Vec<Fault>,
}

/// What the newest state of a document is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentState {
    /// The source has not answered yet.
    Waiting,
    /// It is served.
    Applied,
    /// It is served without the routes that cannot run. The last good versions of these are served, if there are any.
    Partial,
    /// It has faults; the last good text is served.
    Refused,
    /// It has no content; the last good text is served. (`routes: {}` is how to say "no routes".)
    Blank,
    /// It does not exist; the last good text, if any, is served.
    Missing,
    /// It cannot be read; the last good text is served.
    Unreadable,
}

impl DocumentState {
    /// The name, as serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            DocumentState::Waiting => "waiting",
            DocumentState::Applied => "applied",
            DocumentState::Partial => "partial",
            DocumentState::Refused => "refused",
            DocumentState::Blank => "blank",
            DocumentState::Missing => "missing",
            DocumentState::Unreadable => "unreadable",
        }
    }
}

/// One watched service, with what Nacos says of it. The balancer's view shows its endpoints.
#[derive(Clone, Debug, Serialize)]
pub struct FeedView {
    /// `group@@name`, with the namespace before it where there is one.
    pub service: String,
    /// Whether Nacos has answered at all.
    pub known: bool,
    /// Whether some route of the table names it. One that is not named is unsubscribed after a grace.
    pub named: bool,
    /// Whether the connection it was heard over is lost.
    pub stale: bool,
    /// Whether its endpoints are the snapshot's, since Nacos has not answered yet.
    pub from_snapshot: bool,
    /// Seconds since Nacos last spoke of it.
    pub age_seconds: Option<f64>,
    /// The number of the connection it was last heard over.
    pub epoch: Option<u64>,
    /// How it was last heard.
    pub origin: Option<Origin>,
    /// How many instances Nacos listed.
    pub listed: usize,
    /// How many endpoints are kept although Nacos does not list them at the moment.
    pub held: usize,
    /// Seconds until the next held endpoint is dropped.
    pub hold_seconds: Option<f64>,
    /// Whether Nacos's protection threshold hides the real health.
    pub protected: bool,
    /// Instances that are not endpoints, and why.
    pub refused: Vec<RefusedView>,
    /// Why the latest attempt to hear of it failed.
    pub error: Option<String>,
}

/// The snapshot on disk.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SnapshotView {
    /// The file.
    pub path: String,
    /// Its size, once there is one.
    pub bytes: Option<u64>,
    /// When this process last wrote it, in milliseconds since 1970. It is written when something changes.
    pub written_unix_ms: Option<u64>,
    /// What was found in it at start.
    pub restored: Option<RestoredView>,
    /// Why it was ignored at start, or cannot be written now.
    pub error: Option<String>,
}

/// What an earlier run left.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RestoredView {
    /// How many documents, of this gateway's Nacos and files.
    pub documents: usize,
    /// How many services.
    pub services: usize,
    /// For how long nothing had changed in it at start.
    pub age_seconds: Option<u64>,
}

/// An instance that is not used.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Serialize)]
pub struct RefusedView {
    /// As registered: `ip:port` or `host:port`.
    pub address: String,
    /// Why it is not used, out of a fixed list.
    pub reason: &'static str,
    /// More on that, such as the error of a name lookup.
    pub detail: Option<String>,
}

/// The connection to one Nacos for one namespace.
#[derive(Clone, Debug, Serialize)]
pub struct SessionView {
    /// The id of the Nacos: `default`, or one of `other_nacos`.
    pub nacos: String,
    /// The namespace id; empty is the default one.
    pub namespace: String,
    /// Whether it is connected, to which server, since when, and the last error.
    pub connection: ConnectionState,
    /// Where the login stands.
    pub login: LoginState,
    /// What happened so far.
    pub counts: Counts,
}

impl SessionView {
    pub(crate) fn new(nacos: &str, state: SessionState) -> SessionView {
        SessionView {
            nacos: nacos.to_owned(),
            namespace: state.namespace,
            connection: state.connection,
            login: state.login,
            counts: state.counts,
        }
    }
}

/// The gateway's own registration in Nacos.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RegistrationView {
    /// Whether it is configured.
    pub enabled: bool,
    /// Whether the server has accepted it.
    pub registered: bool,
    /// `group@@name`.
    pub service: String,
    /// The advertised `ip:port`, once known.
    pub address: Option<String>,
    /// The metadata last sent.
    pub metadata: BTreeMap<String, String>,
    /// Keys of `registration.metadata` that found no room.
    pub left_out: Vec<String>,
    /// Why it is not registered, or not up to date.
    pub error: Option<String>,
}
