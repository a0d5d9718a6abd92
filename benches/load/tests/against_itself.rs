// SPDX-License-Identifier: Apache-2.0
//! The whole tool, its client asking its own origin server without a proxy between them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

struct Tool {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    origin: String,
}

impl Tool {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_tidegate-load"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = process.stdin.take().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let origin = line.split('"').nth(3).unwrap().to_owned();
        Self {
            process,
            input,
            output,
            origin,
        }
    }

    /// Sends a command and returns the lines up to the first that tells no phase.
    fn ask(&mut self, command: &str) -> Vec<String> {
        writeln!(self.input, "{command}").unwrap();
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).unwrap() > 0,
                "the tool ended"
            );
            lines.push(line.trim().to_owned());
            if !line.contains("phase") {
                return lines;
            }
        }
    }

    fn run(&mut self, values: &str) -> String {
        let lines = self.ask(&format!(
            "run target={} warm=0.05 seconds=0.3 {values}",
            self.origin
        ));
        assert_eq!(lines[..2], ["{\"phase\":\"begin\"}", "{\"phase\":\"end\"}"]);
        lines[2].clone()
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The number under `name` in one line of JSON.
fn number(line: &str, name: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("\"{name}\":")).unwrap();
    rest.split([',', '}']).next().unwrap().parse().unwrap()
}

fn assert_no_errors(line: &str) {
    for name in ["wrong_status", "wrong_body", "broken"] {
        assert!(number(line, name) == 0.0, "{line}");
    }
}

#[test]
fn a_closed_loop_gets_right_answers_of_every_size() {
    let mut tool = Tool::start();
    for size in [0, 1, 128, 65_536, 1_000_000] {
        let line = tool.run(&format!("connections=4 path=/b/{size} size={size}"));
        assert!(number(&line, "answered") > 10.0, "{line}");
        assert_no_errors(&line);
    }
}

#[test]
fn a_body_of_another_length_is_counted_as_wrong() {
    let mut tool = Tool::start();
    let line = tool.run("connections=2 path=/b/100 size=99");
    assert!(number(&line, "answered") == 0.0, "{line}");
    assert!(number(&line, "wrong_body") > 10.0, "{line}");
}

#[test]
fn request_bodies_are_sent_as_a_whole_and_compared() {
    let mut tool = Tool::start();
    for sent in [1, 4_096, 300_000, 10_000_000] {
        let line = tool.run(&format!("connections=3 path=/b/10 size=10 sent={sent}"));
        assert_no_errors(&line);
        assert!(number(&line, "answered") > 1.0, "{line}");
        // A window may begin and end within a body.
        assert!(
            number(&line, "moved") > (number(&line, "answered") - 3.0) * f64::from(sent),
            "{line}"
        );
    }
    let address = tool.origin.clone();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"POST /b/1 HTTP/1.1\r\nContent-Length: 3\r\n\r\n\x00\x01\x01")
        .unwrap();
    let mut first = String::new();
    BufReader::new(stream).read_line(&mut first).unwrap();
    assert_eq!(first, "HTTP/1.1 400 Bad Request\r\n");
}

#[test]
fn a_run_beside_idle_connections_leaves_them_open() {
    let mut tool = Tool::start();
    let address = tool.origin.clone();
    tool.ask(&format!("idle target={address} connections=100"));
    assert_no_errors(&tool.run("connections=8 beside=1"));
    assert_eq!(tool.ask("drop"), ["{\"dropped\":100}"]);
    tool.ask(&format!("idle target={address} connections=100"));
    assert_no_errors(&tool.run("connections=8"));
    assert_eq!(tool.ask("drop"), ["{\"dropped\":0}"]);
}

/// A server that answers twice on each connection and then closes it, saying nothing of it.
fn closing_twice() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            for _ in 0..2 {
                let mut line = String::new();
                while line != "\r\n" {
                    line.clear();
                    if stream.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                }
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n\x00";
                let _ = stream.get_mut().write_all(answer);
            }
        }
    });
    address
}

#[test]
fn a_request_on_a_connection_that_closes_is_sent_again_when_told() {
    let mut tool = Tool::start();
    let address = closing_twice();
    for retry in [0, 1] {
        let line = tool.ask(&format!(
            "run target={address} warm=0 seconds=0.3 connections=1 path=/b/1 size=1 retry={retry}"
        ));
        let line = line.last().unwrap();
        let name = ["broken", "again"][retry];
        assert!(number(line, name) > 0.0, "{line}");
        assert!(number(line, ["again", "broken"][retry]) == 0.0, "{line}");
    }
}

#[test]
fn a_fixed_rate_is_held() {
    let mut tool = Tool::start();
    let line = tool.run("connections=8 rate=1000");
    assert_no_errors(&line);
    // 0.3 s at 1,000 a second; the window's ends may cut a few.
    assert!(
        (200.0..=400.0).contains(&number(&line, "answered")),
        "{line}"
    );
}

#[test]
fn nobody_listening_is_counted_as_broken() {
    let mut tool = Tool::start();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let lines = tool.ask(&format!(
        "run target={address} warm=0 seconds=0.05 rate=200"
    ));
    let line = lines.last().unwrap();
    assert!(number(line, "broken") > 0.0, "{line}");
    assert!(number(line, "answered") == 0.0, "{line}");
}

#[test]
fn idle_connections_are_opened_kept_and_dropped() {
    let mut tool = Tool::start();
    let lines = tool.ask(&format!(
        "idle target={} connections=300",
        tool.origin.clone()
    ));
    assert_eq!(lines, ["{\"idle\":300,\"errors\":0}"]);
    assert_eq!(tool.ask("drop"), ["{\"dropped\":300}"]);
}

#[test]
fn a_command_that_is_none_is_named() {
    let mut tool = Tool::start();
    assert_eq!(tool.ask("walk"), ["{\"error\":\"no such command: walk\"}"]);
}

#[test]
fn messages_of_websockets_are_asked_and_answered_on_one_connection() {
    let mut tool = Tool::start();
    for size in [0, 128, 70_000] {
        let line = tool.run(&format!(
            "connections=3 path=/b/{size} size={size} websocket=1"
        ));
        assert_no_errors(&line);
        assert!(number(&line, "answered") > 10.0, "{line}");
    }
    let line = tool.run("connections=2 path=/b/100 size=99 websocket=1");
    assert!(number(&line, "wrong_body") > 10.0, "{line}");
}

#[test]
fn datagrams_are_answered_and_compared() {
    let mut tool = Tool::start();
    for values in [
        "connections=8 datagrams=1",
        "connections=8 datagrams=1 rate=500",
    ] {
        let line = tool.run(values);
        assert_no_errors(&line);
        assert!(number(&line, "answered") > 20.0, "{line}");
    }
    let line = tool.run("connections=2 datagrams=1 path=/b/100 size=99");
    assert!(number(&line, "wrong_body") > 10.0, "{line}");
}

#[test]
fn calls_are_answered_and_compared() {
    let mut tool = Tool::start();
    for (size, sent) in [(0, 0), (128, 128), (100_000, 7), (1, 3_000)] {
        let line = tool.run(&format!(
            "connections=3 grpc=1 streams=10 path=/b/{size} size={size} sent={sent}"
        ));
        assert_no_errors(&line);
        assert!(number(&line, "answered") > 10.0, "{line}");
    }
    let line = tool.run("connections=2 grpc=1 streams=3 path=/b/100 size=99");
    assert!(number(&line, "answered") == 0.0, "{line}");
    assert!(number(&line, "wrong_body") > 10.0, "{line}");
}
