//! The arguments of Bucket4j's limiter, which is another bean for `RequestRateLimiter` than the one of Redis.

use pailou_config::ScgArgs;

/// What Spring reads of them.
const ARGUMENTS: [&str; 7] = [
    "capacity",
    "refillTokens",
    "refillPeriod",
    "refillStyle",
    "timeOfFirstRefill",
    "requestedTokens",
    "headerName",
];

/// What is said of the filter beside, and means nothing in one that is refused.
const OTHERS: [&str; 6] = [
    "key-resolver",
    "rate-limiter",
    "deny-empty-key",
    "empty-key-status",
    "status-code",
    "throw-on-limit",
];

/// Refuses a filter with such arguments: its buckets are in a store that the Java application chooses, and what they
/// hold is Bucket4j's own.
pub(super) fn refuse(args: &ScgArgs<'_>) -> Option<()> {
    let all = ARGUMENTS.map(|name| args.get(&format!("bucket4j-rate-limiter.{name}")));
    let Some(first) = all.into_iter().flatten().next() else {
        return Some(());
    };
    for name in OTHERS {
        args.get(name);
    }
    first.fault_expected(
        "Bucket4j's limiter is not served: its buckets are in a store of the Java application",
        "`redis-rate-limiter.replenishRate` and `redis-rate-limiter.burstCapacity`, or the filter `rate_limit` with `key`, `requests`, `per` and `burst`",
    );
    None
}
