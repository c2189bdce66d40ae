//! What `pailou dev` prints: what runs, and what to try, as commands that work when they are pasted.

use std::fmt::Write as _;

use crate::cli::DevArgs;
use crate::dev::{DOCUMENT, ROUTES};
use crate::samples::Sample;

/// The whole text.
pub(crate) fn text(args: &DevArgs, samples: &[Sample]) -> String {
    let tour = Tour { args, samples };
    format!(
        "{}\nTry, in another terminal:\n\n{}\nCtrl-C ends everything.\n",
        tour.what_runs(),
        tour.steps()
            .iter()
            .map(|(comment, command)| format!("# {comment}\n{command}\n"))
            .collect::<Vec<_>>()
            .join("\n")
    )
}

struct Tour<'a> {
    args: &'a DevArgs,
    samples: &'a [Sample],
}

/// What a command shows, and the command.
type Step = (String, String);

impl Tour<'_> {
    fn what_runs(&self) -> String {
        let DevArgs {
            port,
            admin_port,
            probes_port,
            registry_port,
            ..
        } = self.args;
        let mut text = format!(
            "Pailou {version} is running.\n\n\
             \x20 gateway   http://127.0.0.1:{port}\n\
             \x20 admin     http://127.0.0.1:{admin_port}\n\
             \x20 probes    http://127.0.0.1:{probes_port}\n\
             \x20 registry  http://127.0.0.1:{registry_port}/nacos, gRPC on {grpc} (embedded, keeps nothing)\n",
            version = env!("CARGO_PKG_VERSION"),
            grpc = registry_port + 1000,
        );
        for Sample {
            service,
            name,
            address,
            weight,
            ..
        } in self.samples
        {
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "  sample    {service} {name} on {address}, weight {weight}"
            );
        }
        text
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        match self
            .samples
            .iter()
            .rev()
            .find(|sample| sample.service == "user-service")
        {
            Some(sample) => {
                steps.extend(self.requests());
                steps.extend(self.publishing());
                steps.extend(self.taking_out(sample));
            }
            None => {
                steps.push(self.registering());
                steps.extend(self.publishing());
            }
        }
        steps.extend(self.looking());
        steps
    }

    fn request(&self, path: &str) -> String {
        format!("curl -s http://127.0.0.1:{}{path}", self.args.port)
    }

    fn twelve_requests(&self) -> String {
        format!(
            "for i in $(seq 12); do {}; done | sort | uniq -c",
            self.request("/api/users/1")
        )
    }

    fn requests(&self) -> [Step; 2] {
        [
            (
                "a request: /api/users/** goes to user-service, its first segment stripped"
                    .to_owned(),
                self.request("/api/users/1"),
            ),
            (
                "twelve requests: the three instances share them 1 : 2 : 3, as their weights say"
                    .to_owned(),
                self.twelve_requests(),
            ),
        ]
    }

    /// Without samples there is nobody to answer until a service registers itself.
    fn registering(&self) -> Step {
        (
            "register a service of yours that listens on port 9000, for 30 s unless it sends beats"
                .to_owned(),
            format!(
                "curl -s -X POST 'http://127.0.0.1:{}/nacos/v1/ns/instance?serviceName=user-service&ip=127.0.0.1&port=9000'; echo",
                self.args.registry_port
            ),
        )
    }

    fn publishing(&self) -> [Step; 2] {
        [
            (
                "publish a changed table: its last line is new".to_owned(),
                format!(
                    "curl -s http://127.0.0.1:{}/nacos/v1/cs/configs -d dataId={ROUTES} -d group=DEFAULT_GROUP \
                     --data-urlencode content@- <<'END'; echo\n{DOCUMENT}  /people/**: user-service\nEND",
                    self.args.registry_port
                ),
            ),
            (
                "and it serves, well within this second".to_owned(),
                format!("sleep 1; {}", self.request("/people/7")),
            ),
        ]
    }

    fn taking_out(&self, sample: &Sample) -> [Step; 3] {
        let edit = |enabled: bool| {
            format!(
                "curl -s -X PUT 'http://127.0.0.1:{registry}/nacos/v1/ns/instance?serviceName={service}&ip={ip}&port={port}\
                 &weight={weight}&enabled={enabled}'; echo",
                registry = self.args.registry_port,
                service = sample.service,
                ip = sample.address.ip(),
                port = sample.address.port(),
                weight = sample.weight,
            )
        };
        [
            (
                format!("take {} out, as an operator does", sample.name),
                edit(false),
            ),
            (
                "a second later the others share its requests".to_owned(),
                format!("sleep 1; {}", self.twelve_requests()),
            ),
            (format!("put {} back", sample.name), edit(true)),
        ]
    }

    fn looking(&self) -> [Step; 4] {
        let admin = |path: &str| {
            format!(
                "curl -s 'http://127.0.0.1:{}{path}'; echo",
                self.args.admin_port
            )
        };
        [
            (
                "a service: every instance, and why it is in or out".to_owned(),
                format!("sleep 1; {}", admin("/api/v1/services/user-service")),
            ),
            (
                "which route a request would take".to_owned(),
                admin("/api/v1/explain?path=/api/users/1"),
            ),
            (
                "the table, the documents, the session with Nacos".to_owned(),
                admin("/api/v1/status"),
            ),
            (
                "the metrics, as Prometheus reads them".to_owned(),
                format!(
                    "curl -s http://127.0.0.1:{}/metrics | grep pailou_requests",
                    self.args.probes_port
                ),
            ),
        ]
    }
}
