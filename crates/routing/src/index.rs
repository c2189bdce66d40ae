//! The index: from a host and a path to the first route of the total order.
//!
//! Routes are numbered by their place in the order (their rank). Hosts are
//! hashed (wildcards by their suffix), and each leads to the root of a tree
//! whose edges are path segments. A node keeps the ranks of the routes whose
//! literal ends there, in order. All edges of all trees are in one hash table,
//! so a step costs the same in a table of ten routes and of ten thousand, and
//! ten thousand hosts cost ten thousand nodes and not as many maps.
//!
//! A search keeps the least rank that it has found and leaves out every subtree
//! that cannot beat it, so the result is the one of a linear scan.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::predicate::{HostPattern, MAX_SEGMENTS, PathPattern};

/// One node for the root and for each segment; a slash at the end of a path is
/// an empty segment, which the bound on patterns counts.
const MAX_NODES: usize = MAX_SEGMENTS + 1;

/// An immutable index over hosts and paths.
#[derive(Debug, Default)]
pub(crate) struct Index {
    exact_hosts: HashMap<Box<str>, NodeId>,
    wildcard_hosts: HashMap<Box<str>, NodeId>,
    any_host: Option<NodeId>,
    nodes: Vec<Node>,
    edges: HashTable<Edge>,
    hasher: DefaultHashBuilder,
}

type NodeId = u32;
type Rank = u32;

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
    /// Every host and path that a route takes: the search then finds routes that
    /// take all of them.
    Route(Option<&'a HostPattern>, &'a PathPattern),
}

impl Index {
    /// Builds the index over routes in the total order.
    pub(crate) fn build<'a>(
        routes: impl Iterator<Item = (Option<&'a HostPattern>, &'a PathPattern)>,
    ) -> Index {
        let mut index = Index::default();
        for (rank, (host, path)) in (0..).zip(routes) {
            index.insert(rank, host, path);
        }
        index
    }

    fn insert(&mut self, rank: Rank, host: Option<&HostPattern>, path: &PathPattern) {
        let mut at = self.root(host, rank);
        for segment in segments(path.literal()) {
            at = match self.child(at, segment) {
                Some(child) => child,
                None => self.add_child(at, segment, rank),
            };
        }
        let node = &mut self.nodes[at as usize];
        if path.is_prefix() {
            &mut node.prefix
        } else {
            &mut node.exact
        }
        .push(rank);
    }

    /// The root of a host's tree. Ranks come in ascending order, so a node's
    /// first one is its least.
    fn root(&mut self, host: Option<&HostPattern>, rank: Rank) -> NodeId {
        let nodes = &mut self.nodes;
        match host {
            None => *self.any_host.get_or_insert_with(|| add_node(nodes, rank)),
            Some(HostPattern::Exact(name)) => *self
                .exact_hosts
                .entry(name.clone())
                .or_insert_with(|| add_node(nodes, rank)),
            Some(HostPattern::Wildcard(suffix)) => *self
                .wildcard_hosts
                .entry(suffix.clone())
                .or_insert_with(|| add_node(nodes, rank)),
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
    /// says yes to, or `None`.
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
        };
        let limit = Rank::try_from(limit).unwrap_or(Rank::MAX);
        let mut search = Search {
            index: self,
            path,
            is_exact,
            accepts,
            best: limit,
        };
        match span {
            Span::Request(Some(host), _) => search.host(host),
            Span::Route(Some(HostPattern::Exact(host)), _) => search.host(host),
            Span::Route(Some(HostPattern::Wildcard(suffix)), _) => search.wildcard(suffix),
            Span::Request(None, _) | Span::Route(None, _) => {}
        }
        search.tree(self.any_host);
        (search.best < limit).then_some(search.best as usize)
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
    path: &'i str,
    /// Whether the path is one path, rather than it and all below.
    is_exact: bool,
    accepts: A,
    /// The least rank so far; only lesser ones are looked at.
    best: Rank,
}

impl<A: FnMut(usize) -> bool> Search<'_, A> {
    /// The trees of a host and of every wildcard above it.
    fn host(&mut self, host: &str) {
        self.tree(self.index.exact_hosts.get(host).copied());
        if let Some((_, suffix)) = host.split_once('.') {
            self.wildcard(suffix);
        }
    }

    /// The trees of `*.suffix` and of every wildcard above it.
    fn wildcard(&mut self, suffix: &str) {
        if self.index.wildcard_hosts.is_empty() {
            return;
        }
        let mut rest = Some(suffix);
        while let Some(suffix) = rest {
            self.tree(self.index.wildcard_hosts.get(suffix).copied());
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
            match index.child(at, segment) {
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
