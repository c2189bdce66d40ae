//! What real servers send is read; what is written is what they read.

use std::collections::BTreeMap;

use super::*;

fn service(json: &str) -> ServiceInfo {
    serde_json::from_str(json).expect(json)
}

#[test]
fn both_spellings_of_all_ips_are_read() {
    for (json, expected) in [
        (r#"{"allIPs":true}"#, true),
        (r#"{"allIps":true}"#, true),
        (r#"{"allIps":null}"#, false),
        (r#"{}"#, false),
    ] {
        assert_eq!(service(json).all_ips, expected, "{json}");
    }
}

#[test]
fn no_host_list_is_not_an_empty_one() {
    for (json, expected) in [
        (r#"{}"#, None),
        (r#"{"hosts":null}"#, None),
        (r#"{"hosts":[]}"#, Some(vec![])),
    ] {
        assert_eq!(service(json).hosts, expected, "{json}");
    }
}

#[test]
fn a_host_with_odd_fields_is_still_a_host() {
    let host: HostInfo = serde_json::from_str(
        r#"{"ip":"10.0.0.1","port":70000,"weight":"NaN","healthy":null,"enabled":null,"ephemeral":null,
            "clusterName":null,"metadata":{"a":null,"b":1,"c":"x","d":{"e":[1]}},"instanceIdGenerator":"simple"}"#,
    )
    .unwrap();
    let metadata =
        [("a", ""), ("b", "1"), ("c", "x"), ("d", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert!(host.weight.is_nan());
    assert_eq!(
        HostInfo {
            weight: 1.0,
            ..host
        },
        HostInfo {
            ip: "10.0.0.1".into(),
            metadata: BTreeMap::from(metadata),
            ..HostInfo::default()
        }
    );
}

#[test]
fn weights_survive_the_wire() {
    for (json, expected) in [
        (r#"{"weight":0.5}"#, 0.5),
        (r#"{"weight":3}"#, 3.0),
        (r#"{"weight":-1}"#, -1.0),
        (r#"{"weight":"2.5"}"#, 2.5),
        (r#"{"weight":"Infinity"}"#, f64::INFINITY),
        (r#"{"weight":"-Infinity"}"#, f64::NEG_INFINITY),
        (r#"{"weight":null}"#, 1.0),
        (r#"{}"#, 1.0),
    ] {
        let host: HostInfo = serde_json::from_str(json).expect(json);
        assert_eq!(host.weight, expected, "{json}");
        let again: HostInfo = serde_json::from_str(&serde_json::to_string(&host).unwrap()).unwrap();
        assert_eq!(again, host);
    }
}

#[test]
fn a_failed_answer_of_any_type_can_be_read() {
    let error = Payload::raw(
        "ErrorResponse",
        r#"{"resultCode":500,"errorCode":301,"message":"Connection is unregistered.","success":false}"#,
        Default::default(),
    );
    let answer: SubscribeServiceResponse = error.decode_body().unwrap();
    assert_eq!(
        (answer.result_code(), answer.error_code()),
        (code::FAIL, code::UNREGISTERED)
    );
    assert_eq!(answer.service_info, None);
    assert!(matches!(
        error.decode::<SubscribeServiceResponse>(),
        Err(WireError::Kind { .. })
    ));
}

#[test]
fn a_push_is_read_and_acknowledged() {
    let push = Payload::raw(
        "NotifySubscriberRequest",
        r#"{"headers":{},"requestId":"6","serviceInfo":{"name":"nope","groupName":"DEFAULT_GROUP","hosts":[]},"module":"naming"}"#,
        Default::default(),
    );
    let push: NotifySubscriberRequest = push.decode().unwrap();
    let ack = Payload::new(&push.ack());
    assert_eq!(ack.kind(), "NotifySubscriberResponse");
    assert_eq!(
        ack.json(),
        br#"{"resultCode":200,"errorCode":0,"requestId":"6","success":true}"#
    );
}

#[test]
fn a_reset_hint_may_have_its_port_as_text_or_number() {
    for json in [
        r#"{"serverIp":"127.0.0.1","serverPort":"7777"}"#,
        r#"{"serverIp":"127.0.0.1","serverPort":7777}"#,
    ] {
        let reset: ConnectResetRequest = serde_json::from_str(json).expect(json);
        assert_eq!(reset.server_port, Some(Text("7777".into())));
    }
}

#[test]
fn the_envelope_is_the_one_that_nacos_declares() {
    use prost::Message as _;
    let payload = Payload::raw("T", "{}", [("a".to_owned(), "b".to_owned())].into());
    // Field 2: metadata (field 3 type, field 7 headers); field 3: body (field 2 value).
    let bytes = b"\x12\x0b\x1a\x01T\x3a\x06\x0a\x01a\x12\x01b\x1a\x04\x12\x02{}";
    assert_eq!(payload.encode_to_vec(), bytes);
    assert_eq!(
        <Payload as prost::Message>::decode(&bytes[..]).unwrap(),
        payload
    );
}
