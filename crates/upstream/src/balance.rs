//! Balancing policies: how the endpoints of a selection share its requests.
//!
//! To add one: a file here with an [`Entry`], a line in [`REGISTRY`], a row in the crate's README; a test fails while the row is
//! missing, and the shared suite (`tests/policies.rs`) runs over whatever the registry lists.

mod consistent_hash;
mod cycle;
mod draw;
mod least_request;
mod peak_ewma;
mod random;
mod ring;
mod round_robin;
mod weights;

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pailou_config::{EndpointLimitSpec, Field, PartSpec, Report, RequestKey};

use crate::endpoint::Endpoint;
use crate::transport::Transport;
pub(crate) use ring::hash;
pub(crate) use weights::quantise;

/// Every policy there is.
pub const REGISTRY: &[Entry] = &[
    round_robin::ENTRY,
    random::ENTRY,
    least_request::ENTRY,
    peak_ewma::ENTRY,
    consistent_hash::ENTRY,
];

/// One policy in the registry.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its name in a route document.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    /// Reads its arguments. `None` if they are wrong, which is reported.
    parse: fn(&Field<'_>) -> Option<Policy>,
    /// The policy with its default arguments.
    default: fn() -> Policy,
}

/// A policy with its arguments: what a route says about balancing. Equal ones share a selection.
#[derive(Clone)]
pub struct Policy {
    name: &'static str,
    arguments: Arc<str>,
    key: Option<RequestKey>,
    slow_start: Duration,
    endpoint_limit: Option<EndpointLimitSpec>,
    balance: Arc<dyn Balance>,
}

impl Policy {
    /// A policy. `arguments` is the canonical text of its arguments; equal texts mean equal policies.
    fn new(name: &'static str, arguments: &str, balance: impl Balance) -> Policy {
        Policy {
            name,
            arguments: arguments.into(),
            key: None,
            slow_start: Duration::ZERO,
            endpoint_limit: None,
            balance: Arc::new(balance),
        }
    }

    /// The same for a policy that hashes this.
    fn with_key(self, key: RequestKey) -> Policy {
        Policy {
            key: Some(key),
            ..self
        }
    }

    /// The policy of that name with its default arguments.
    pub fn named(name: &str) -> Option<Policy> {
        let entry = REGISTRY.iter().find(|entry| entry.name == name)?;
        Some((entry.default)())
    }

    /// One after the other, by weight: the default.
    pub fn round_robin() -> Policy {
        (round_robin::ENTRY.default)()
    }

    /// Its name in a route document.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its arguments as one canonical text; empty when it takes none.
    pub fn arguments(&self) -> &str {
        &self.arguments
    }

    /// The same, which gives an endpoint that begins to take requests so long until it gets its whole share.
    pub fn with_slow_start(self, window: Duration) -> Policy {
        Policy {
            slow_start: window,
            ..self
        }
    }

    /// The same, under which an endpoint has no more requests at once than that.
    pub fn with_endpoint_limit(self, limit: Option<EndpointLimitSpec>) -> Policy {
        Policy {
            endpoint_limit: limit,
            ..self
        }
    }

    /// How many requests an endpoint may have at once, if that is bounded.
    pub fn endpoint_limit(&self) -> Option<EndpointLimitSpec> {
        self.endpoint_limit
    }

    /// How long an endpoint that begins to take requests takes to its whole share.
    pub fn slow_start(&self) -> Duration {
        self.slow_start
    }

    /// What it hashes of a request, if it hashes: a part of its arguments. A [`Hint`](crate::Hint) hands it the hash.
    pub fn key(&self) -> Option<&RequestKey> {
        self.key.as_ref()
    }

    pub(crate) fn compile(
        &self,
        shares: &Arc<[Share]>,
        before: Option<&dyn Chooser>,
    ) -> Box<dyn Chooser> {
        self.balance.compile(shares, before)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Policy) -> bool {
        self.name == other.name
            && self.arguments == other.arguments
            && self.slow_start == other.slow_start
            && self.endpoint_limit == other.endpoint_limit
    }
}

impl Eq for Policy {}

impl Hash for Policy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.arguments.hash(state);
        self.slow_start.hash(state);
        self.endpoint_limit.hash(state);
    }
}

/// The policy that a route names; faults go to `report`, and then there is none.
///
/// ```
/// use pailou_config::{Node, PartSpec, Position, Report};
///
/// let at = Position { line: 1, column: 1 };
/// let report = Report::new("routes.yaml");
/// let part = |name: &str| PartSpec { name: name.into(), args: Node::null(at), at, path: "routes.users.balance".into() };
///
/// let policy = pailou_upstream::balance::parse(&part("least_request"), &report).expect("it is listed");
/// assert_eq!(policy.name(), "least_request");
///
/// assert!(pailou_upstream::balance::parse(&part("least_requests"), &report).is_none());
/// assert_eq!(report.into_faults()[0].nearest.as_deref(), Some("least_request"));
/// ```
pub fn parse(part: &PartSpec, report: &Report) -> Option<Policy> {
    let field = part.field(report);
    let Some(entry) = REGISTRY.iter().find(|entry| entry.name == part.name) else {
        let problem = format!("unknown balancing policy `{}`", part.name);
        field.fault_unknown(problem, &part.name, REGISTRY.iter().map(|entry| entry.name));
        return None;
    };
    (entry.parse)(&field)
}

/// One endpoint of a selection and its share against the others'.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) endpoint: Arc<Endpoint>,
    /// At least 1; see [`quantise`].
    pub(crate) weight: u32,
    /// Whether discovery lists it no longer.
    pub(crate) held: bool,
    pub(crate) transport: Transport,
    pub(crate) grpc_port: Option<u16>,
    pub(crate) host: Option<Arc<str>>,
}

impl Share {
    /// Whether a schedule makes no difference between the two.
    pub(crate) fn is(&self, other: &Share) -> bool {
        Arc::ptr_eq(&self.endpoint, &other.endpoint)
            && self.weight == other.weight
            && self.held == other.held
            && self.transport == other.transport
            && self.grpc_port == other.grpc_port
            && self.host == other.host
    }
}

/// A policy: makes a chooser for each new state of a selection.
pub(crate) trait Balance: fmt::Debug + Send + Sync + 'static {
    /// A chooser over `shares`, which are not empty and in a stable order. It continues where `before` was.
    ///
    /// Called when the endpoints change, never by a request.
    fn compile(&self, shares: &Arc<[Share]>, before: Option<&dyn Chooser>) -> Box<dyn Chooser>;
}

/// Chooses among the shares it was made for. Called for every request: takes no lock and allocates nothing.
pub(crate) trait Chooser: Send + Sync + 'static {
    /// The index of the share that the next request goes to. Requests with an equal `key` want the same one, if the policy hashes.
    fn choose(&self, key: Option<u64>) -> usize;

    /// The same for a request whose first choice cannot be used. The choice is by weight and independent of [`Chooser::choose`], so that
    /// the load of one endpoint is spread over all others and does not fall on its successor.
    fn choose_again(&self) -> usize;

    /// The first share in the order of `key` that `may` be used, for a policy that hashes: what one endpoint cannot take goes where the
    /// key's next request would go without that endpoint.
    fn next_of(&self, key: u64, may: &dyn Fn(usize) -> bool) -> Option<usize> {
        let _ = (key, may);
        None
    }

    /// What each endpoint is owed of a turn, for a policy that has turns: its successor goes on from there.
    fn owed(&self) -> HashMap<SocketAddr, i64> {
        HashMap::new()
    }
}

/// Reads the arguments of a policy that takes none: nothing, or an empty mapping.
fn no_arguments(field: &Field<'_>) -> Option<()> {
    if !field.is_null() {
        field.mapping()?.finish();
    }
    Some(())
}
