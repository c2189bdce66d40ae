//! `Version`: the request asks for this version of an API, or with `+`, for this one or a later one.
//!
//! It exists in 5.0 only. In Spring an application's settings (`spring.webflux.apiversion`) say where requests have their version; the
//! predicate gets them as arguments `apiversion.…`. A request without a version has the default version, if there is one. Spring
//! answers an invalid version with 400, and a request without any version with 404 on every route. Here both just do not match.

use std::{borrow::Cow, fmt};

use http::HeaderName;
use pailou_config::{Compat, Field, ScgArgs, Shortcut};

use super::{Entry, decode};
use crate::{Request, predicate::Predicate};

pub(super) const ENTRY: Entry = Entry {
    name: "Version",
    shortcut: "Version=1.2+",
    summary: "The request asks for this version, or with `+`, for this or a later one. Of 5.0, with `scg.compat: 5`.",
    compile,
};

/// Major, minor and patch; what is not said is 0.
type Number = (u32, u32, u32);

#[derive(Debug)]
struct Version {
    text: Box<str>,
    wanted: Number,
    /// Whether a later one will do.
    or_later: bool,
    places: Vec<Place>,
    default: Option<Number>,
}

/// Where a request says its version.
#[derive(Debug)]
enum Place {
    Header(HeaderName),
    Parameter(Box<str>),
    /// The segment of the path, from 0.
    Segment(usize),
}

impl Place {
    fn find<'r>(&self, request: &Request<'r>) -> Option<Cow<'r, str>> {
        match self {
            Place::Header(name) => {
                let value = request.headers.get(name)?;
                Some(decode::latin1(value.as_bytes()))
            }
            Place::Parameter(name) => {
                let pairs = request.target.query()?.split('&');
                let mut pairs = pairs.filter_map(|pair| pair.split_once('='));
                let (_, value) = pairs.find(|(key, _)| decode::form_decoded(key) == **name)?;
                Some(decode::form_decoded(value))
            }
            Place::Segment(index) => {
                let segment = request.target.path().split('/').nth(index + 1)?;
                (!segment.is_empty()).then(|| decode::decoded(segment))
            }
        }
    }
}

impl Predicate for Version {
    fn matches(&self, request: &Request<'_>) -> bool {
        let said = self.places.iter().find_map(|place| place.find(request));
        let version = match said {
            Some(text) => parse(&text),
            None => self.default,
        };
        version.is_some_and(|version| match self.or_later {
            true => version >= self.wanted,
            false => version == self.wanted,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `1`, `1.2`, `v1.2.3`: what stands before the first digit does not count.
fn parse(text: &str) -> Option<Number> {
    let start = text.find(|character: char| character.is_ascii_digit())?;
    let mut fields = text[start..].split('.').map(|field| {
        let is_number = !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| field.parse::<u32>().ok())?
    });
    let number = (
        fields.next()??,
        fields.next().unwrap_or(Some(0))?,
        fields.next().unwrap_or(Some(0))?,
    );
    fields.next().is_none().then_some(number)
}

fn compile(field: &Field<'_>, compat: Compat) -> Option<Box<dyn Predicate>> {
    if compat == Compat::V4 {
        field.fault_expected(
            "`Version` is a predicate of Spring Cloud Gateway 5.0",
            "`scg: { compat: 5 }` in gateway.yaml",
        );
        return None;
    }
    let args = ScgArgs::read(field, Shortcut::Fields(&["version"]))?;
    let version = args.required("version");
    let places = places(&args);
    let default = match args.get("apiversion.default") {
        Some(arg) => {
            let number = parse(arg.text());
            if number.is_none() {
                arg.fault_expected(arg.quoted(), "a version such as `1.2`");
            }
            Some(number?)
        }
        None => None,
    };
    // What the application supports decides nothing in Spring's gateway either: 3.0 matches `1.2+` though nothing has it.
    for known in ["required", "supported", "detectSupported"] {
        args.list(&format!("apiversion.{known}"));
    }
    args.finish();
    let version = version?;
    let text = version.text();
    let or_later = text.ends_with('+');
    let Some(wanted) = parse(text.strip_suffix('+').unwrap_or(text)) else {
        version.fault_expected(version.quoted(), "a version such as `1.2`, or `1.2+`");
        return None;
    };
    Some(Box::new(Version {
        text: text.into(),
        wanted,
        or_later,
        places: places?,
        default,
    }))
}

/// Where requests say their version, in Spring's order.
fn places(args: &ScgArgs<'_>) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    if let Some(arg) = args.get("apiversion.use.header") {
        match HeaderName::from_bytes(arg.text().as_bytes()) {
            Ok(name) => places.push(Place::Header(name)),
            Err(_) => {
                arg.fault(format!("{} is not a header name", arg.quoted()));
                return None;
            }
        }
    }
    if let Some(arg) = args.get("apiversion.use.queryParameter") {
        places.push(Place::Parameter(arg.text().into()));
    }
    if let Some(arg) = args.get("apiversion.use.pathSegment") {
        places.push(Place::Segment(arg.integer(0..=63)?));
    }
    if places.is_empty() {
        args.whole().fault_expected(
            "nothing says where requests have their version",
            "`spring.webflux.apiversion.use.header`, `.query-parameter` or `.path-segment` in the document",
        );
        return None;
    }
    Some(places)
}
