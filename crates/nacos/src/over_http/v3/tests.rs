use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::{model::Origin, session::answers};

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        operation: "test",
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

#[test]
fn a_list_is_bare_hosts() {
    let hosts = r#"[{"instanceId":"x","ip":"10.0.0.1","port":80,"weight":0.0,"healthy":false,"enabled":true,
        "clusterName":"DEFAULT","metadata":null,"instanceIdGenerator":"simple"}]"#;
    for (body, instances) in [
        (
            format!(r#"{{"code":0,"message":"success","data":{hosts}}}"#),
            Some(1),
        ),
        (
            r#"{"code":0,"message":"success","data":[]}"#.into(),
            Some(0),
        ),
        (r#"{"code":0,"message":"success","data":null}"#.into(), None),
        (r#"{"code":0}"#.into(), None),
        (r#"{"code":0,"data":{}}"#.into(), None),
        (
            r#"{"code":30000,"message":"server error","data":[]}"#.into(),
            None,
        ),
        ("<html>".into(), None),
    ] {
        let state = state::<wire::QueryServiceResponse>(reply(200, &body)).and_then(|payload| {
            let answer: wire::QueryServiceResponse = payload.decode().unwrap();
            answers::service_state(answer.service_info, Origin::Poll, 1)
        });
        let count = state.as_ref().ok().map(|state| state.instances.len());
        assert_eq!(count, instances, "{body}");
    }
}

#[test]
fn a_config_is_what_grpc_answers_or_not_there() {
    let body = r#"{"code":0,"message":"success","data":{"resultCode":200,"errorCode":0,"message":null,"requestId":null,
        "content":"a=2","encryptedDataKey":"","contentType":"text","md5":"83a88ab12cf3296e031df84985733d33",
        "lastModified":1795320088210,"tag":null,"beta":false,"success":true}}"#;
    let config: wire::ConfigQueryResponse =
        read_config(reply(200, body)).unwrap().decode().unwrap();
    assert_eq!(config.content.as_deref(), Some("a=2"));
    let missing = r#"{"code":20004,"message":"resource not found","data":null}"#;
    for status in [200, 404] {
        let absent = read_config(reply(status, missing)).unwrap();
        let absent: wire::ConfigQueryResponse = absent.decode().unwrap();
        assert_eq!(absent.error_code, wire::code::STARTING_OR_NOT_FOUND);
    }
    for (status, body) in [
        (404, "No endpoint GET /nacos/v3/client/cs/config."),
        (200, r#"{"code":0,"data":null}"#),
        (200, r#"{"code":30000,"message":"server error"}"#),
        (403, missing.replace("20004", "403").as_str()),
    ] {
        assert!(read_config(reply(status, body)).is_err(), "{status} {body}");
    }
}

#[test]
fn a_beat_is_taken_or_for_no_one() {
    let taken = Beat::Taken {
        interval_ms: None,
        light: false,
    };
    for (status, body, expected) in [
        (
            200,
            r#"{"code":0,"message":"success","data":"ok"}"#,
            Some(taken),
        ),
        (
            200,
            r#"{"code":21003,"message":"instance not found","data":null}"#,
            Some(Beat::Unknown),
        ),
        (200, r#"{"code":10000,"message":"parameter missing"}"#, None),
        (403, r#"{"status":403}"#, None),
        (502, "", None),
    ] {
        assert_eq!(read_beat(reply(status, body)).ok(), expected, "{body}");
    }
}

#[test]
fn a_beat_is_a_registration_that_says_so() {
    let (name, host) = (ServiceName::new("G", "orders"), Instance::new("::1", 80));
    let form = |is_beat| instance(Method::POST, "public", &name, &host, is_beat).form;
    assert!(form(true).contains(&("heartBeat", "true".into())));
    assert!(form(false).contains(&("heartBeat", "false".into())));
    let gone = instance(Method::DELETE, "public", &name, &host, false);
    assert_eq!(
        gone.target(),
        "/nacos/v3/client/ns/instance?namespaceId=public&groupName=G&serviceName=orders&ip=%3A%3A1&port=80\
         &clusterName=DEFAULT&ephemeral=true"
    );
}
