//! One random schedule: what happens when. The same seed gives the same schedule.

use std::{fmt, time::Duration};

/// How long faults and edits last. Every window of trouble ends with it.
const FAULTS_LAST: Duration = Duration::from_secs(30);

/// What a delayed push is late by, at most.
pub(crate) const LATEST_PUSH: Duration = Duration::from_secs(3);

pub(crate) const SERVICES: [&str; 4] = ["orders", "users", "payments", "search"];
pub(crate) const CONFIGS: [&str; 3] = ["routes.yaml", "limits.yaml", "texts.yaml"];

#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) servers: usize,
    pub(crate) has_login: bool,
    /// How long tokens live.
    pub(crate) token_life: Duration,
    /// How often the client audits.
    pub(crate) audit_interval: Duration,
    /// Whether pushes list disabled hosts, as those of 2.0; answers never do.
    pub(crate) pushes_disabled: bool,
    /// Whether servers say when a connection is set up, as those since 2.3.
    pub(crate) negotiates: bool,
    /// Whether the client is closed in the end, rather than dropped.
    pub(crate) is_closed: bool,
    /// In order of time.
    pub(crate) steps: Vec<(Duration, Step)>,
}

#[derive(Debug, Clone)]
pub(crate) enum Step {
    // The operator, and the owners of other instances.
    Add(&'static str),
    Remove(&'static str),
    RemoveAll(&'static str),
    Weight(&'static str),
    Enable(&'static str),
    Health(&'static str),
    Protect(&'static str),
    Publish(&'static str),
    Withdraw(&'static str),

    // The process that the client works for.
    Watch(&'static str),
    Unwatch(&'static str),
    Listen(&'static str),
    StopListening(&'static str),
    Register(&'static str),
    Update(&'static str),
    Deregister(&'static str),

    // Trouble.
    /// The connections to a server end with everything that was under way.
    Close(usize),
    /// The same, with an error in place of an end.
    Cut(usize),
    /// Nothing comes through any more in either direction, and no one is told.
    Freeze(usize),
    /// The server ends its streams and forgets the connections.
    EndStreams(usize),
    /// The server forgets the connections in silence: 301 from now on.
    Forget(usize),
    /// The server wants its clients elsewhere, perhaps there.
    SendAway(usize, Option<usize>),
    /// The server asks for a sign of life.
    Detect(usize),
    /// The server pushes what is no state.
    Garbage(usize),
    /// The server process ends, is refused for a while, says "starting" for a while, and then its hosts come back one
    /// by one.
    Restart {
        server: usize,
        down: Duration,
        starting: Duration,
        trickle: Duration,
    },
    /// The server process stands still, and goes on where it was.
    Hang {
        server: usize,
        lasts: Duration,
    },
    /// A share of the requests is answered with this code.
    Codes {
        server: usize,
        code: i32,
        percent: u32,
        lasts: Duration,
    },
    /// Answers come late, by up to so much.
    Slow {
        server: usize,
        most: Duration,
        lasts: Duration,
    },
    /// Shares of the pushes are lost, come twice, or come late and so out of order.
    Pushes {
        server: usize,
        lost: u32,
        twice: u32,
        late: u32,
        lasts: Duration,
    },
    /// No token is good any more.
    ExpireTokens,
    /// Logins are refused.
    RefuseLogins {
        lasts: Duration,
    },
}

impl Schedule {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(fastrand::Rng::with_seed(seed));
        let random = &mut random;
        let servers = 1 + usize::from(random.0.bool());
        let has_login = random.0.u8(..3) == 0;
        let mut schedule = Self {
            seed,
            servers,
            has_login,
            token_life: Duration::from_secs(random.0.u64(15..300)),
            audit_interval: Duration::from_secs(random.0.u64(5..=45)),
            pushes_disabled: random.0.bool(),
            negotiates: random.0.bool(),
            is_closed: random.0.bool(),
            steps: Vec::new(),
        };
        for _ in 0..random.0.u32(5..30) {
            let step = random.edit();
            schedule.steps.push((random.moment(), step));
        }
        for _ in 0..random.0.u32(0..8) {
            let step = random.wish();
            schedule.steps.push((random.moment(), step));
        }
        for _ in 0..random.0.u32(1..9) {
            let at = random.moment();
            let step = random.trouble(servers, has_login, FAULTS_LAST - at);
            schedule.steps.push((at, step));
        }
        schedule.steps.sort_by_key(|(at, _)| *at);
        schedule
    }

    /// When all trouble is over.
    pub(crate) fn end(&self) -> Duration {
        FAULTS_LAST
    }
}

struct Random(fastrand::Rng);

impl Random {
    fn moment(&mut self) -> Duration {
        Duration::from_millis(self.0.u64(..29_000))
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_millis(self.0.u64(..=u64::try_from(most.as_millis()).unwrap()))
    }

    fn service(&mut self) -> &'static str {
        SERVICES[self.0.usize(..SERVICES.len())]
    }

    fn config(&mut self) -> &'static str {
        CONFIGS[self.0.usize(..CONFIGS.len())]
    }

    pub(crate) fn edit(&mut self) -> Step {
        let (service, config) = (self.service(), self.config());
        match self.0.u8(..20) {
            0..=4 => Step::Add(service),
            5..=7 => Step::Remove(service),
            8 => Step::RemoveAll(service),
            9..=10 => Step::Weight(service),
            11..=12 => Step::Enable(service),
            13 => Step::Health(service),
            14 => Step::Protect(service),
            15..=17 => Step::Publish(config),
            _ => Step::Withdraw(config),
        }
    }

    fn wish(&mut self) -> Step {
        let (service, config) = (self.service(), self.config());
        match self.0.u8(..10) {
            0 => Step::Watch(service),
            1 => Step::Unwatch(service),
            2 => Step::Listen(config),
            3 => Step::StopListening(config),
            4..=5 => Step::Register(service),
            6..=7 => Step::Update(service),
            _ => Step::Deregister(service),
        }
    }

    fn trouble(&mut self, servers: usize, has_login: bool, left: Duration) -> Step {
        let server = self.0.usize(..servers);
        let lasts = self.up_to(left.min(Duration::from_secs(15)));
        match self.0.u8(..if has_login { 22 } else { 18 }) {
            0 => Step::Close(server),
            1 => Step::Cut(server),
            2..=3 => Step::Freeze(server),
            4 => Step::EndStreams(server),
            5 => Step::Forget(server),
            6 => Step::SendAway(server, self.0.bool().then(|| self.0.usize(..servers))),
            7 => Step::Detect(server),
            8 => Step::Garbage(server),
            9..=10 => {
                let down = self.up_to(left.min(Duration::from_secs(8)));
                let starting = self.up_to((left - down).min(Duration::from_secs(6)));
                Step::Restart {
                    server,
                    down,
                    starting,
                    trickle: self.up_to((left - down - starting).min(Duration::from_secs(8))),
                }
            }
            11 => Step::Hang { server, lasts },
            12..=13 => Step::Codes {
                server,
                code: [300, 301, 403, 500, 503][self.0.usize(..5)],
                percent: self.0.u32(10..=100),
                lasts,
            },
            14..=15 => Step::Slow {
                server,
                most: Duration::from_millis(self.0.u64(50..5_000)),
                lasts,
            },
            16..=17 => Step::Pushes {
                server,
                lost: self.0.u32(..=60),
                twice: self.0.u32(..=30),
                late: self.0.u32(..=50),
                lasts: self.up_to(left),
            },
            18..=19 => Step::ExpireTokens,
            _ => Step::RefuseLogins { lasts },
        }
    }
}

/// Edits for the time after the trouble.
pub(crate) fn edits(random: fastrand::Rng, count: usize) -> Vec<Step> {
    let mut random = Random(random);
    (0..count).map(|_| random.edit()).collect()
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, .. } = self;
        let head = Self {
            steps: Vec::new(),
            ..self.clone()
        };
        writeln!(f, "{head:?}")?;
        steps
            .iter()
            .try_for_each(|(at, step)| writeln!(f, "  {:6.3} s {step:?}", at.as_secs_f64()))
    }
}
