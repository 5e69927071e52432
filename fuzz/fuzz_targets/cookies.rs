//! A jar of cookies that is read can be written and read again, and asked for any request.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(jar) = sapwood_transport::CookieJar::parse(data) {
        let _sent = jar.header(true, "example.org", "/repo/config", 0);
        let text = jar.to_text().expect("what a line held fits in a line");
        assert_eq!(sapwood_transport::CookieJar::parse(text.as_bytes()), Ok(jar));
    }
});
