//! How long does it take from the publishing of 10,000 routes until the gateway serves by them, and how much memory does
//! the gateway have?
//!
//! The real binary beside the embedded registry, over TCP. `took_ms` is what the gateway says of a publish in its log and
//! in `/api/v1/status`: from the arrival of the document to the swap of the table. The other figure is the one of a person
//! who waits: from the publish call until a request to a new route is not answered 404 any more; the wait between two
//! looks is 5 ms. Both are wall time, and so they depend on what else the machine does.
//!
//! Meanwhile a client sends 500 requests a second over a route that stays as it is. Its latencies in quiet and while the
//! publishes are under way show whether traffic feels them.
//!
//! ```text
//! cargo bench -p pailou-gateway --bench publish_live [-- --routes 10000 --rounds 5]
//! ```

mod process;
mod routes;
mod traffic;
mod world;

use std::time::{Duration, Instant};

use process::Server;
use traffic::Traffic;
use world::{DATA, World, await_route, get, pause};

/// The second of the gateway's addresses.
const ADMIN: usize = 1;
/// The route of the client that goes on while others change.
const STEADY: &str = "  /steady/**: steady\n";
/// How long nothing is published, before and after.
const QUIET: Duration = Duration::from_secs(3);

fn main() {
    if !world::is_bench() {
        return;
    }
    let routes = option("--routes", 10_000) as usize;
    let rounds = option("--rounds", 5);
    let entries = routes::entries(routes);
    let text = routes::document(&entries, |_| 0);
    let world = World::start();
    for number in 0..routes::SERVICES {
        world.put_instance(&format!("service-{number}"), ([127, 0, 0, 1], 9).into());
    }
    world.put_instance("steady", traffic::endpoint());
    world.publish(&format!("routes:\n  /first/**: service-0\n{STEADY}"));
    let gateway = world.gateway("", "/first/x");
    // Whatever the start needed is given back by then.
    pause(QUIET);
    println!("idle memory, 1 route: {:.1} MiB", resident_mib(&gateway));
    println!(
        "{routes} routes to {} services, {} KiB of YAML",
        routes::SERVICES,
        text.len() / 1024
    );

    let traffic = Traffic::start(gateway.address(DATA), "/steady/x");
    let mut spans = Vec::new();
    let quiet = Instant::now();
    pause(QUIET);
    let quiet = (quiet, Instant::now());

    let mut publish = |what: &str, text: &str| {
        let began = Instant::now();
        let figures = publish(&world, &gateway, text, spans.len());
        spans.push((began, began + figures.1));
        println!(
            "{what:<38} took_ms {:>5}   until a request sees it {:>5} ms",
            figures.0,
            figures.1.as_millis()
        );
    };
    publish("first, every service is new", &text);
    for round in 1..=rounds {
        publish(
            "every route changed",
            &routes::document(&entries, |_| round),
        );
    }
    for round in 1..=rounds {
        let revision = |number| {
            if number == routes / 2 {
                rounds + round
            } else {
                rounds
            }
        };
        publish("one route changed", &routes::document(&entries, revision));
    }
    let latencies = traffic.end();
    println!("traffic in quiet          {}", latencies.within(&[quiet]));
    println!("traffic while publishing  {}", latencies.within(&spans));
    pause(QUIET);
    println!(
        "idle memory, {routes} routes, after {} publishes: {:.1} MiB",
        spans.len(),
        resident_mib(&gateway)
    );
}

/// Publishes a document with one more route, by which its arrival shows.
fn publish(world: &World, gateway: &Server, text: &str, number: usize) -> (u64, Duration) {
    let document = format!("{text}{STEADY}  /marker-{number}/**: service-0\n");
    let began = Instant::now();
    world.publish(&document);
    await_route(gateway.address(DATA), &format!("/marker-{number}/x"));
    let seen = began.elapsed();
    // Publishes of the same gateway must not overlap.
    pause(Duration::from_millis(200));
    (took_ms(gateway), seen)
}

fn took_ms(gateway: &Server) -> u64 {
    let answer = get(gateway.address(ADMIN), "/api/v1/status").expect("an answer");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let status: serde_json::Value = serde_json::from_str(body).expect("JSON");
    status["table"]["took_ms"]
        .as_u64()
        .expect("a publish has taken its time")
}

fn resident_mib(gateway: &Server) -> f64 {
    let status = std::fs::read_to_string(gateway.proc().join("status")).expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    kib / 1024.0
}

/// The number after an option of the command line.
fn option(name: &str, default: u32) -> u32 {
    let arguments: Vec<String> = std::env::args().collect();
    let value = arguments
        .iter()
        .position(|argument| argument == name)
        .and_then(|at| arguments.get(at + 1));
    value.map_or(default, |value| value.parse().expect("a number"))
}
