use super::*;

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &'static str)| {
        let value = HeaderValue::from_static(value);
        (HeaderName::from_static(name), value)
    };
    fields.iter().map(field).collect()
}

fn begun(fields: &[(&'static str, &'static str)]) -> (HeaderMap, Option<(Web, bool)>) {
    let mut headers = headers(fields);
    let begun = Web::begin(&mut headers);
    (
        headers,
        begun.map(|(web, decoder)| (web, decoder.is_some())),
    )
}

#[test]
fn a_call_becomes_one_of_grpc() {
    for (content_type, accept, expected, decodes, answers_text) in [
        (
            "application/grpc-web",
            "*/*",
            "application/grpc",
            false,
            false,
        ),
        (
            "application/grpc-web+proto",
            "application/grpc-web-text",
            "application/grpc+proto",
            false,
            true,
        ),
        (
            "Application/gRPC-Web-Text+proto",
            "*/*",
            "application/grpc+proto",
            true,
            true,
        ),
        (
            "application/grpc-web-text; charset=utf-8",
            "application/grpc-web+proto",
            "application/grpc; charset=utf-8",
            true,
            false,
        ),
    ] {
        let fields = [
            ("content-type", content_type),
            ("accept", accept),
            ("content-length", "8"),
        ];
        let (headers, web) = begun(&fields);
        let (web, has_decoder) = web.expect(content_type);
        assert_eq!(headers["content-type"], expected);
        assert!(!headers.contains_key("accept"));
        assert_eq!(
            (has_decoder, web.text),
            (decodes, answers_text),
            "{content_type}"
        );
        let length = headers.get("content-length").map(HeaderValue::as_bytes);
        assert_eq!(length, (!decodes).then_some(&b"8"[..]), "{content_type}");
    }
}

#[test]
fn what_is_no_such_call_stays_as_it_is() {
    for content_type in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webx",
        "application/grpc-web-texts",
        "application/json",
        "",
    ] {
        let fields = [("content-type", content_type), ("accept", "*/*")];
        let (left, web) = begun(&fields);
        assert!(web.is_none(), "{content_type}");
        assert_eq!(left, headers(&fields));
    }
}

#[test]
fn trailers_are_the_last_frame() {
    let trailers = headers(&[("grpc-status", "0"), ("x-sum", "5")]);
    let (_, web) = begun(&[("content-type", "application/grpc-web")]);
    let (web, _) = web.expect("a call");
    let frame = web.frame(Frame::trailers(trailers.clone()));
    let expected = b"\x80\0\0\0\x1agrpc-status: 0\r\nx-sum: 5\r\n";
    assert_eq!(frame.into_data().expect("data"), &expected[..]);
    let data = web.frame(Frame::data(Bytes::from_static(b"abcd")));
    assert_eq!(data.into_data().expect("data"), "abcd");

    let (_, web) = begun(&[("content-type", "application/grpc-web-text")]);
    let (web, _) = web.expect("a call");
    let frame = web.frame(Frame::trailers(trailers));
    assert_eq!(
        frame.into_data().expect("data"),
        "gAAAABpncnBjLXN0YXR1czogMA0KeC1zdW06IDUNCg=="
    );
    let data = web.frame(Frame::data(Bytes::from_static(b"abcd")));
    assert_eq!(data.into_data().expect("data"), "YWJjZA==");
}

#[test]
fn a_head_alone_has_its_status_in_the_body() {
    let (_, web) = begun(&[("content-type", "application/grpc-web+proto")]);
    let (web, _) = web.expect("a call");
    let mut head = headers(&[
        ("content-type", "application/grpc"),
        ("grpc-status", "5"),
        ("grpc-message", "no"),
        ("x-own", "1"),
        ("content-length", "0"),
    ]);
    let last = web
        .answer(&mut head, true)
        .expect("gRPC")
        .expect("the last");
    assert_eq!(
        last,
        &b"\x80\0\0\0\x22grpc-status: 5\r\ngrpc-message: no\r\n"[..]
    );
    let expected = [
        ("content-type", "application/grpc-web+proto"),
        ("x-own", "1"),
    ];
    assert_eq!(head, headers(&expected));

    let mut page = headers(&[("content-type", "text/html"), ("content-length", "3")]);
    assert!(web.answer(&mut page, false).is_none());
    assert_eq!(page.len(), 2);
}
