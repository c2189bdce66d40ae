//! Logging is set up once in a process, which is why this test has one to itself.

use pailou_telemetry::{
    AccessFields, AccessFormat, Format, LogError, LogFiles, LogOptions, Metrics, init_logs,
};

#[test]
fn logging_is_set_up_once_and_a_wrong_level_is_refused() {
    let metrics = Metrics::new();
    let options = LogOptions {
        level: "loud",
        format: Format::Auto,
        access: true,
        access_format: AccessFormat::Auto,
        access_fields: AccessFields::Otel,
        files: LogFiles::default(),
    };
    let error = init_logs(&options, &metrics).expect_err("no such level");
    assert!(matches!(error, LogError::Level { .. }), "{error}");
    assert!(
        error.to_string().starts_with("log level `loud`: "),
        "{error}"
    );

    let options = LogOptions {
        level: "info,pailou_discovery=debug",
        ..options
    };
    let guard = init_logs(&options, &metrics).expect("the first set-up");
    let error = init_logs(&options, &metrics).expect_err("the second set-up");
    assert!(matches!(error, LogError::AlreadySet), "{error}");
    drop(guard);
}
