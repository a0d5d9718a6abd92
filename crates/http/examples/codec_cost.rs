// SPDX-License-Identifier: Apache-2.0
//! What the codec costs per message: `cargo run --release -p tidegate-http --example codec_cost`.
//!
//! Prints nanoseconds for the best of many rounds: the least disturbed one. Compare figures of one
//! run with each other only.
use std::hint::black_box;
use tidegate_core::Clock;
use tidegate_http::{
    ChunkDecoder, Forwarding, HeadLimits, HeadScanner, HttpDate, ResponseContext, encode_request,
    encode_response, parse_request, parse_response,
};
use tidegate_request::{Method, Options, Scheme, Storage, Version};

const REQUEST: &[u8] = b"GET /api/orders/4711?expand=items&page=2 HTTP/1.1\r\n\
Host: shop.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://shop.example.com/cart\r\n\
Cookie: session=4f1d2c3b5a69788796a5b4c3d2e1f001; theme=dark; basket=17\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Connection: keep-alive\r\n\r\n";

const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: load/1\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
Server: uvicorn\r\n\
Content-Type: application/json; charset=utf-8\r\n\
Content-Length: 128\r\n\
Cache-Control: private, max-age=0, must-revalidate\r\n\
ETag: \"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\
Last-Modified: Tue, 15 Nov 1994 12:45:26 GMT\r\n\
Vary: Accept-Encoding, Cookie\r\n\
X-Frame-Options: DENY\r\n\
Set-Cookie: session=4f1d2c3b5a69788796a5b4c3d2e1f001; Path=/; HttpOnly; Secure\r\n\r\n";

const LIMITS: HeadLimits = HeadLimits {
    header_size: 32 << 10,
    header_fields: 100,
    target_size: 8 << 10,
};
const ROUNDS: u32 = 60;
const CALLS: u32 = 20_000;

/// Runs `call` and prints its cost.
fn measure(name: &str, mut call: impl FnMut()) {
    let clock = Clock::system();
    let mut best = u64::MAX;
    for _ in 0..ROUNDS {
        let start = clock.now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(clock.now().micros_since(start));
    }
    println!(
        "{name:<28}{:>8.1} ns",
        best as f64 * 1000.0 / f64::from(CALLS)
    );
}

fn measure_request(name: &str, head: &[u8]) {
    let mut slot = Some(Storage::new());
    let mut parse = || {
        let storage = slot.take().unwrap_or_default();
        match parse_request(
            black_box(head),
            storage,
            &LIMITS,
            Scheme::Http,
            Options::default(),
        ) {
            Ok(request) => slot = Some(black_box(request).into_storage()),
            Err((reject, _)) => println!("refused: {reject}"),
        }
    };
    measure(&format!("{name}: parse"), &mut parse);
    measure(&format!("{name}: find end"), || {
        let _ = black_box(HeadScanner::new().scan(black_box(head), &LIMITS));
    });
    let Ok(request) = parse_request(
        head,
        Storage::new(),
        &LIMITS,
        Scheme::Http,
        Options::default(),
    ) else {
        return;
    };
    let forwarding = Forwarding {
        client: "192.0.2.10",
        pseudonym: "gateway",
        is_anonymous: false,
        to_proxy: None,
        prefix: None,
        request_id: "01JD5Q3Z8W4K6T9VXR2M7N0B1C",
        framing: request.framing(),
        passes_expect: false,
    };
    let mut out = Vec::new();
    measure(&format!("{name}: encode"), || {
        out.clear();
        encode_request(&mut out, black_box(&request), black_box(&forwarding));
        black_box(&out);
    });
}

fn measure_response() {
    let mut slot = Some(Storage::new());
    measure("response: parse", || {
        let storage = slot.take().unwrap_or_default();
        match parse_response(black_box(RESPONSE), storage, &LIMITS, Method::Get) {
            Ok(response) => slot = Some(black_box(response).into_storage()),
            Err((reject, _)) => println!("refused: {reject}"),
        }
    });
    let Ok(response) = parse_response(RESPONSE, Storage::new(), &LIMITS, Method::Get) else {
        return;
    };
    let context = ResponseContext {
        version: Version::Http11,
        keep_alive: true,
        pseudonym: "gateway",
        date: HttpDate::at(784_111_777),
        is_local: false,
    };
    let mut out = Vec::new();
    measure("response: encode", || {
        out.clear();
        black_box(encode_response(
            &mut out,
            black_box(&response),
            black_box(&context),
        ));
        black_box(&out);
    });
}

fn measure_chunk() {
    let mut input = b"400\r\n".to_vec();
    input.resize(5 + 1024, b'x');
    input.extend_from_slice(b"\r\n");
    let mut decoder = ChunkDecoder::default();
    measure("chunk of 1 KiB: decode", || {
        let _ = black_box(decoder.decode(black_box(&input)));
    });
}

fn main() {
    println!(
        "request {} bytes, small {} bytes, response {} bytes",
        REQUEST.len(),
        SMALL.len(),
        RESPONSE.len()
    );
    measure_request("request", REQUEST);
    measure_request("small", SMALL);
    measure_response();
    measure_chunk();
}
