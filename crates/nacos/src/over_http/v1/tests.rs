use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::*;
use crate::{
    model::{Origin, ServiceState},
    over_http::encode,
    session::answers,
};

fn reply(status: u16, body: &str) -> Reply {
    Reply {
        operation: "test",
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn state(body: &str) -> Result<ServiceState, Error> {
    let payload = read_hosts::<wire::QueryServiceResponse>(reply(200, body))?;
    let answer: wire::QueryServiceResponse = payload
        .decode()
        .map_err(|error| reply(200, "").malformed(error))?;
    answers::service_state(answer.service_info, Origin::Poll, 1)
}

fn call<M: Message>(message: &M) -> Call {
    match translate(&Payload::new(message)) {
        Ok(Translated::Call(call, _)) => call,
        _ => panic!("{} asks for something", M::KIND),
    }
}

#[test]
fn a_list_is_read_as_real_servers_write_it() {
    let body = r#"{"name":"G@@orders","groupName":"G","clusters":"","cacheMillis":10000,"hosts":[
        {"instanceId":"x","ip":"10.0.0.2","port":80,"weight":2.5,"healthy":false,"enabled":true,"ephemeral":true,
         "clusterName":"B","serviceName":"G@@orders","metadata":{"a":"1"},"instanceHeartBeatInterval":5000},
        {"ip":"10.0.0.1","port":"80","weight":"NaN","healthy":null,"enabled":null,"clusterName":null,"metadata":null,
         "later":{"unknown":[1]}}],
        "lastRefTime":1795320387706,"checksum":"","allIPs":false,"reachProtectionThreshold":true,"valid":true}"#;
    let state = state(body).unwrap();
    assert!(state.protected, "or `healthy` would be believed");
    let [one, two] = &*state.instances else {
        panic!("two hosts")
    };
    assert_eq!((one.ip.as_str(), one.port), ("10.0.0.1", 80));
    assert!(one.weight.is_nan() && one.healthy && one.enabled && one.cluster == "DEFAULT");
    assert_eq!(
        (two.weight, two.healthy, two.cluster.as_str()),
        (2.5, false, "B")
    );
    assert_eq!(two.metadata["a"], "1");
}

#[test]
fn only_a_list_of_hosts_is_a_state() {
    for (body, instances) in [
        (r#"{"hosts":[]}"#, Some(0)),
        (r#" {"hosts":[{"ip":"a"}],"cacheMillis":null}"#, Some(1)),
        (r#"{"hosts":null}"#, None),
        ("{}", None),
        ("null", None),
        ("", None),
        ("ok", None),
        ("<html>{}</html>", None),
        (r#"{"hosts":[]"#, None),
    ] {
        let count = state(body).ok().map(|state| state.instances.len());
        assert_eq!(count, instances, "{body}");
    }
}

#[test]
fn a_server_is_there_only_when_it_lists_hosts() {
    for (status, body, is_there) in [
        (200, r#"{"hosts":[]}"#, true),
        (200, r#"{"accessToken":"x"}"#, false),
        (200, "<html>", false),
        (404, "No endpoint GET /nacos/v1/ns/instance/list.", false),
        (503, "server is STARTING now", false),
    ] {
        assert_eq!(read_probe(reply(status, body)).is_ok(), is_there, "{body}");
    }
}

#[test]
fn only_its_own_words_say_that_a_config_is_absent() {
    let absent = read_config(reply(404, "config data not exist\n")).unwrap();
    let absent: wire::ConfigQueryResponse = absent.decode().unwrap();
    let code = wire::code::STARTING_OR_NOT_FOUND;
    assert_eq!((absent.result_code, absent.error_code), (500, code));
    // A server or a proxy that has no such path.
    for body in [
        "",
        "<html>404</html>",
        r#"{"status":404,"message":"No endpoint GET"}"#,
    ] {
        let cause = read_config(reply(404, body)).unwrap_err().cause();
        assert_eq!(cause, "refused", "{body}");
    }
    for (status, cause) in [(403, "forbidden"), (409, "refused"), (503, "starting")] {
        assert_eq!(
            read_config(reply(status, "config data not exist"))
                .unwrap_err()
                .cause(),
            cause
        );
    }
}

#[test]
fn a_config_comes_with_its_hash_and_its_kind() {
    let mut there = reply(200, "a: \"é\"\n");
    there.headers.insert("Content-MD5", "0123".parse().unwrap());
    there.headers.insert("Config-Type", "yaml".parse().unwrap());
    let config: wire::ConfigQueryResponse = read_config(there).unwrap().decode().unwrap();
    assert_eq!(config.content.as_deref(), Some("a: \"é\"\n"));
    assert_eq!(config.md5.as_deref(), Some("0123"));
    assert_eq!(config.content_type.as_deref(), Some("yaml"));
    let mut latin = reply(200, "");
    latin.body = Bytes::from_static(b"caf\xe9");
    assert_eq!(read_config(latin).unwrap_err().cause(), "malformed");
}

#[test]
fn configs_are_listened_to_and_their_changes_read_by_lines() {
    let held = |data_id: &str, tenant: &str, md5: &str| Held {
        name: ConfigName::new("G", data_id),
        tenant: tenant.into(),
        md5: md5.into(),
    };
    let call = listener(&[held("a.yaml", "", ""), held("b", "dev", "12")], None);
    assert_eq!(
        encode(&call.form),
        "Listening-Configs=a.yaml%02G%02%01b%02G%0212%02dev%01"
    );
    assert!(
        call.headers
            .contains(&("Long-Pulling-Timeout-No-Hangup", "true".into()))
    );
    let waits = listener(&[held("a", "", "")], Some(LISTENER_HOLD));
    assert_eq!(
        waits.headers,
        [("Long-Pulling-Timeout", "30000".to_owned())]
    );

    let changed = |body: &str| {
        read_changes(&reply(200, body)).map(|changed| {
            let words = changed
                .into_iter()
                .map(|it| (it.data_id, it.group, it.tenant));
            words.collect::<Vec<_>>()
        })
    };
    let one = |data_id: &str, tenant: Option<&str>| {
        (
            data_id.to_owned(),
            "G".to_owned(),
            tenant.map(str::to_owned),
        )
    };
    assert_eq!(changed(""), Ok(vec![]));
    assert_eq!(changed("\n"), Ok(vec![]));
    assert_eq!(
        changed("a.yaml%02G%01b%26+c%02G%02dev%01\n"),
        Ok(vec![one("a.yaml", None), one("b& c", Some("dev"))])
    );
    for unreadable in ["<html>", "a%01"] {
        assert_eq!(changed(unreadable).unwrap_err().cause(), "malformed");
    }
}

#[test]
fn beats_are_answered_in_the_words_of_each_version() {
    let taken = |interval_ms, light| Some(Beat::Taken { interval_ms, light });
    for (status, body, expected) in [
        (
            200,
            r#"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#,
            taken(Some(5000), true),
        ),
        (
            200,
            r#"{"clientBeatInterval":5000}"#,
            taken(Some(5000), false),
        ),
        (
            200,
            r#"{"clientBeatInterval":5000,"code":20404,"lightBeatEnabled":true}"#,
            Some(Beat::Unknown),
        ),
        (200, r#"{"code":20401}"#, None),
        (200, "ok", None),
        (403, "{}", None),
    ] {
        assert_eq!(read_beat(reply(status, body)).ok(), expected, "{body}");
    }
}

#[test]
fn names_carry_their_group_and_a_light_beat_no_more_than_the_place() {
    let name = ServiceName::new("G", "orders");
    let instance = Instance {
        metadata: [("a".to_owned(), "1".to_owned())].into(),
        ..Instance::new("10.0.0.1", 80)
    };
    let light = beat("public", &name, &instance, true);
    assert_eq!(
        light.target(),
        "/nacos/v1/ns/instance/beat?serviceName=G%40%40orders&namespaceId=public&ip=10.0.0.1&port=80\
         &clusterName=DEFAULT&ephemeral=true"
    );
    let full = beat("public", &name, &instance, false);
    let (_, json) = full.query.last().unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(json["serviceName"], "G@@orders");
    assert_eq!(json["metadata"]["a"], "1");

    let register = wire::InstanceRequest {
        namespace: "public".into(),
        service_name: "orders".into(),
        group_name: "G".into(),
        r#type: wire::instance_type::REGISTER.into(),
        instance: (&instance).into(),
        ..Default::default()
    };
    let call = call(&register);
    assert_eq!((call.method.clone(), call.query.len()), (Method::POST, 0));
    assert!(call.form.contains(&("metadata", r#"{"a":"1"}"#.into())));
}

#[test]
fn the_default_namespace_of_configs_goes_unsaid() {
    let query = |tenant: &str| {
        call(&wire::ConfigQueryRequest {
            data_id: "a".into(),
            group: "G".into(),
            tenant: tenant.into(),
            ..Default::default()
        })
        .target()
    };
    assert_eq!(query(""), "/nacos/v1/cs/configs?dataId=a&group=G");
    assert_eq!(
        query("dev"),
        "/nacos/v1/cs/configs?dataId=a&group=G&tenant=dev"
    );
}

#[test]
fn what_has_no_counterpart_is_refused() {
    let Ok(Translated::Done(answer)) =
        translate(&Payload::new(&wire::BatchInstanceRequest::default()))
    else {
        panic!("nothing to ask for")
    };
    let error: wire::ErrorResponse = answer.decode().unwrap();
    assert_eq!(error.error_code, wire::code::NO_HANDLER);
}
