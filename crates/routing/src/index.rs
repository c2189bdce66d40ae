//! The index: from a host and a path to the first route of the total order.
//!
//! Routes are numbered by their place in the order (their rank). Hosts are
//! hashed (wildcards by their suffix), and each leads to the root of a tree
//! whose edges are path segments. A node keeps the ranks of the routes whose
//! literal ends there, in order. All edges of all trees are in one hash table,
//! so a step costs the same in a table of ten routes and of ten thousand, and
//! ten thousand hosts cost ten thousand nodes and not as many maps.
//!
//! Routes in Spring's form have roots of their own, since their segments are
//! compared decoded. The index finds them by the literal beginning of their paths
//! and the literal end of their hosts. Then they are tried.
//!
//! A search keeps the least rank that it has found and skips every subtree that
//! cannot beat it. So the result is that of a linear scan.

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::{
    predicate::{HostPattern, MAX_SEGMENTS, PathPattern},
    scg::{self, HostKey, SpringPlace, Takes},
};

/// One node for the root and for each segment; a slash at the end of a path is
/// an empty segment, which the bound on patterns counts.
const MAX_NODES: usize = MAX_SEGMENTS + 1;

/// An immutable index over hosts and paths.
#[derive(Debug, Default)]
pub(crate) struct Index {
    native: Roots,
    spring: Roots,
    nodes: Vec<Node>,
    edges: HashTable<Edge>,
    hasher: DefaultHashBuilder,
}

type NodeId = u32;
type Rank = u32;

/// The trees of one form.
#[derive(Debug, Default)]
struct Roots {
    exact_hosts: HashMap<Box<str>, NodeId>,
    /// By suffix. A native wildcard does not take the suffix alone.
    wildcard_hosts: HashMap<Box<str>, NodeId>,
    any_host: Option<NodeId>,
}

/// Where a route stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'a> {
    /// A native one.
    Native(Option<&'a HostPattern>, &'a PathPattern),
    /// One in Spring's form.
    Spring(&'a SpringPlace),
}

#[derive(Debug)]
struct Node {
    /// The least rank here and below.
    least: Rank,
    /// Routes whose exact path ends here, in order.
    exact: Vec<Rank>,
    /// Routes whose prefix ends here, in order.
    prefix: Vec<Rank>,
}

#[derive(Debug)]
struct Edge {
    from: NodeId,
    segment: Box<str>,
    to: NodeId,
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Span<'a> {
    /// One path of one host, as a request has them.
    Request(Option<&'a str>, &'a str),
    /// Every host and path that a native route takes: the search then finds native
    /// routes that take all of them.
    Route(Option<&'a HostPattern>, &'a PathPattern),
    /// A path, decoded, that a route in Spring's form takes, and with `false` all
    /// below it: the search then finds such routes for any host that take all of it.
    Spring(&'a str, bool),
}

impl Index {
    /// Builds the index over routes in the total order.
    pub(crate) fn build<'a>(routes: impl Iterator<Item = Keys<'a>>) -> Index {
        let mut index = Index::default();
        for (rank, keys) in (0..).zip(routes) {
            match keys {
                Keys::Native(host, path) => index.insert(rank, host, path),
                Keys::Spring(place) => index.insert_spring(rank, place),
            }
        }
        index
    }

    fn insert(&mut self, rank: Rank, host: Option<&HostPattern>, path: &PathPattern) {
        let root = match host {
            None => Root::Any,
            Some(HostPattern::Exact(name)) => Root::Exact(name),
            Some(HostPattern::Wildcard(suffix)) => Root::Below(suffix),
        };
        let root = self.native.root(root, &mut self.nodes, rank);
        let node = self.grow(root, segments(path.literal()), rank);
        let takes = if path.is_prefix() {
            Takes::All
        } else {
            Takes::Exact
        };
        self.add(node, takes, rank);
    }

    fn insert_spring(&mut self, rank: Rank, place: &SpringPlace) {
        for (host, segments, takes) in place.places() {
            let root = match host {
                HostKey::Any => Root::Any,
                HostKey::Exact(name) => Root::Exact(name),
                HostKey::Below(suffix) => Root::Below(suffix),
            };
            let root = self.spring.root(root, &mut self.nodes, rank);
            let node = self.grow(root, segments.iter().map(|segment| &**segment), rank);
            self.add(node, takes, rank);
            if takes == Takes::ExactOrSlash {
                let slash = self.grow(node, std::iter::once(""), rank);
                self.add(slash, Takes::Exact, rank);
            }
        }
    }

    /// The node at the end of these segments.
    fn grow<'s>(
        &mut self,
        mut at: NodeId,
        segments: impl Iterator<Item = &'s str>,
        rank: Rank,
    ) -> NodeId {
        for segment in segments {
            at = match self.child(at, segment) {
                Some(child) => child,
                None => self.add_child(at, segment, rank),
            };
        }
        at
    }

    fn add(&mut self, node: NodeId, takes: Takes, rank: Rank) {
        let node = &mut self.nodes[node as usize];
        let ranks = match takes {
            Takes::Exact | Takes::ExactOrSlash => &mut node.exact,
            Takes::All | Takes::Some => &mut node.prefix,
        };
        // Two patterns of a route may have one place.
        if ranks.last() != Some(&rank) {
            ranks.push(rank);
        }
    }

    fn add_child(&mut self, from: NodeId, segment: &str, rank: Rank) -> NodeId {
        let to = add_node(&mut self.nodes, rank);
        let hasher = &self.hasher;
        let hash = hasher.hash_one((from, segment));
        let edge = Edge {
            from,
            segment: segment.into(),
            to,
        };
        self.edges.insert_unique(hash, edge, |edge| {
            hasher.hash_one((edge.from, &*edge.segment))
        });
        to
    }

    fn child(&self, from: NodeId, segment: &str) -> Option<NodeId> {
        let hash = self.hasher.hash_one((from, segment));
        self.edges
            .find(hash, |edge| edge.from == from && *edge.segment == *segment)
            .map(|edge| edge.to)
    }

    /// The first route below `limit` that takes all of `span` and that `accepts`
    /// accepts, or `None`.
    ///
    /// Cost: one hash look-up per label of the host and per segment of the path
    /// that routes have, and a call of `accepts` per candidate that could be the
    /// first. No allocation.
    pub(crate) fn first(
        &self,
        span: Span<'_>,
        limit: usize,
        accepts: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        let (path, is_exact) = match span {
            Span::Request(_, path) => (path, true),
            Span::Route(_, pattern) => (pattern.literal(), !pattern.is_prefix()),
            Span::Spring(path, is_exact) => (path, is_exact),
        };
        let limit = Rank::try_from(limit).unwrap_or(Rank::MAX);
        let mut search = Search {
            index: self,
            roots: &self.native,
            path,
            is_exact,
            is_decoded: false,
            accepts,
            best: limit,
        };
        match span {
            Span::Request(Some(host), _) => search.host(host),
            Span::Route(Some(HostPattern::Exact(host)), _) => search.host(host),
            Span::Route(Some(HostPattern::Wildcard(suffix)), _) => search.wildcard(suffix),
            Span::Request(None, _) | Span::Route(None, _) | Span::Spring(..) => {}
        }
        match span {
            Span::Route(..) => search.tree(self.native.any_host),
            Span::Spring(..) => search.tree(self.spring.any_host),
            Span::Request(host, _) => {
                search.tree(self.native.any_host);
                search.spring(host);
            }
        }
        (search.best < limit).then_some(search.best as usize)
    }
}

/// Which tree of its form a route is in.
enum Root<'a> {
    Any,
    Exact(&'a str),
    Below(&'a str),
}

impl Roots {
    /// The root of a tree. Ranks come in ascending order, so a node's first one
    /// is its least.
    fn root(&mut self, root: Root<'_>, nodes: &mut Vec<Node>, rank: Rank) -> NodeId {
        let (hosts, name) = match root {
            Root::Any => return *self.any_host.get_or_insert_with(|| add_node(nodes, rank)),
            Root::Exact(name) => (&mut self.exact_hosts, name),
            Root::Below(suffix) => (&mut self.wildcard_hosts, suffix),
        };
        *hosts
            .entry(name.into())
            .or_insert_with(|| add_node(nodes, rank))
    }
}

fn add_node(nodes: &mut Vec<Node>, least: Rank) -> NodeId {
    let id = NodeId::try_from(nodes.len())
        .expect("a document of 4 MiB has fewer segments than u32 has numbers");
    nodes.push(Node {
        least,
        exact: Vec::new(),
        prefix: Vec::new(),
    });
    id
}

/// `/a/b` is `a`, `b`; `/a/` is `a` and an empty one; the empty literal of `/**`
/// has none.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(1)
}

struct Search<'i, A> {
    index: &'i Index,
    roots: &'i Roots,
    path: &'i str,
    /// Whether the path is one path, rather than it and all below.
    is_exact: bool,
    /// Whether segments are compared decoded.
    is_decoded: bool,
    accepts: A,
    /// The least rank so far; only lesser ones are looked at.
    best: Rank,
}

impl<A: FnMut(usize) -> bool> Search<'_, A> {
    /// The trees of a host and of every wildcard above it.
    fn host(&mut self, host: &str) {
        self.tree(self.roots.exact_hosts.get(host).copied());
        if let Some((_, suffix)) = host.split_once('.') {
            self.wildcard(suffix);
        }
    }

    /// The trees of routes in Spring's form.
    fn spring(&mut self, host: Option<&str>) {
        self.roots = &self.index.spring;
        self.is_decoded = true;
        if let Some(host) = host {
            self.tree(self.roots.exact_hosts.get(host).copied());
            self.wildcard(host);
        }
        self.tree(self.roots.any_host);
    }

    /// The trees of `*.suffix` and of every wildcard above it.
    fn wildcard(&mut self, suffix: &str) {
        if self.roots.wildcard_hosts.is_empty() {
            return;
        }
        let mut rest = Some(suffix);
        while let Some(suffix) = rest {
            self.tree(self.roots.wildcard_hosts.get(suffix).copied());
            rest = suffix.split_once('.').map(|(_, above)| above);
        }
    }

    /// Walks down one tree, then tries the routes of the nodes on the way from
    /// the deepest up: the longer literal comes first unless `order` says
    /// otherwise, and whatever beats it is still found.
    fn tree(&mut self, root: Option<NodeId>) {
        let index = self.index;
        let Some(root) = root.filter(|root| index.nodes[*root as usize].least < self.best) else {
            return;
        };
        let mut way = [root; MAX_NODES];
        let mut depth = 1;
        let mut at = root;
        let mut is_end = true;
        for segment in segments(self.path) {
            let segment = match self.is_decoded {
                true => scg::decoded(segment),
                false => Cow::Borrowed(segment),
            };
            match index.child(at, &segment) {
                Some(child)
                    if index.nodes[child as usize].least < self.best && depth < MAX_NODES =>
                {
                    way[depth] = child;
                    depth += 1;
                    at = child;
                }
                _ => {
                    is_end = false;
                    break;
                }
            }
        }
        if is_end && self.is_exact {
            self.candidates(&index.nodes[at as usize].exact);
        }
        for node in way[..depth].iter().rev() {
            self.candidates(&index.nodes[*node as usize].prefix);
        }
    }

    fn candidates(&mut self, ranks: &[Rank]) {
        for rank in ranks {
            if *rank >= self.best {
                return;
            }
            if (self.accepts)(*rank as usize) {
                self.best = *rank;
                return;
            }
        }
    }
}
