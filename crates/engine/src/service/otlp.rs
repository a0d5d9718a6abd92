// SPDX-License-Identifier: Apache-2.0
//! Sends spans and metrics to an OpenTelemetry collector: OTLP over HTTP with JSON, which every
//! collector takes on its port 4318.
use super::otlp_metrics::metrics;
use super::state::Service;
use crate::downstream::metrics_text;
use std::fmt::Write;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tidegate_config::Otlp;
use tokio::net::TcpStream;

/// How often spans are looked for, and how many go in one request.
const PACE: Duration = Duration::from_secs(1);
const BATCH: usize = 512;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is read, and how long after its first bytes.
const ANSWER: usize = 16 * 1024;
const ENDING: Duration = Duration::from_secs(1);
/// Pauses before what was not taken is sent again; then it is lost.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// How long the last spans may take when the node ends.
const LAST: Duration = Duration::from_secs(2);

/// Why something was not taken.
struct Refused {
    why: String,
    /// Whether it may be taken a little later (OTLP/HTTP, "Failures").
    is_passing: bool,
}

/// Sends spans for as long as the node lives.
pub(crate) async fn run_traces(service: Rc<Service>) {
    let mut is_failing = false;
    loop {
        tokio::time::sleep(PACE).await;
        while let Some(full) = send_spans(&service, &AGAIN, &mut is_failing).await {
            if !full {
                break;
            }
        }
    }
}

/// Sends what there is, for the last time.
pub(crate) async fn farewell(service: &Service) {
    let last = async {
        service.flush_log(LAST).await;
        while send_spans(service, &[], &mut true).await == Some(true) {}
    };
    if service.snapshot().settings.config.otlp.is_some() {
        let _ = tokio::time::timeout(LAST, last).await;
    }
}

/// Sends one batch of spans; returns whether there may be more, none if there was nothing to do.
async fn send_spans(service: &Service, pauses: &[Duration], is_failing: &mut bool) -> Option<bool> {
    let snapshot = service.snapshot();
    let otlp = snapshot.settings.config.otlp.as_ref()?;
    let log = &service.node.log;
    let spans = log.take_spans(BATCH);
    if spans.is_empty() {
        return None;
    }
    let body = format!(
        "{{\"resourceSpans\":[{{\"resource\":{},\"scopeSpans\":[{{\"scope\":{},\"spans\":[{}]}}]}}]}}",
        resource(service, &snapshot.settings.config.name),
        scope(service),
        spans.join(",")
    );
    let outcome = send(otlp, "/v1/traces", &body, pauses).await;
    let lost = match &outcome {
        Ok(rejected) => (*rejected).min(spans.len() as u64),
        Err(_) => spans.len() as u64,
    };
    log.lose_spans(lost);
    tell(outcome, "spans", is_failing);
    Some(spans.len() == BATCH)
}

/// Sends metrics for as long as the node lives.
pub(crate) async fn run_metrics(service: Rc<Service>) {
    let clock = &service.node.clock;
    let started = clock.wall_micros(service.node.started) * 1000;
    let mut is_failing = false;
    loop {
        let pace = service
            .snapshot()
            .settings
            .config
            .otlp
            .as_ref()
            .map_or(PACE, |otlp| otlp.interval.duration());
        tokio::time::sleep(pace).await;
        let snapshot = service.snapshot();
        let Some(otlp) = snapshot
            .settings
            .config
            .otlp
            .as_ref()
            .filter(|otlp| otlp.metrics)
        else {
            continue;
        };
        let now = clock.wall_micros(clock.now()) * 1000;
        let text = metrics_text(&service.node, &snapshot);
        let body = format!(
            "{{\"resourceMetrics\":[{{\"resource\":{},\"scopeMetrics\":[{{\"scope\":{},\"metrics\":{}}}]}}]}}",
            resource(&service, &snapshot.settings.config.name),
            scope(&service),
            metrics(&text, started, now)
        );
        // What is not taken is not sent again: the next sending has it all.
        let outcome = send(otlp, "/v1/metrics", &body, &[]).await;
        tell(outcome, "metrics", &mut is_failing);
    }
}

fn resource(service: &Service, name: &str) -> serde_json::Value {
    let text =
        |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let config = &service.node.config;
    serde_json::json!({"attributes": [
        text("service.name", name),
        text("service.instance.id", &config.instance),
        text("service.version", &config.version),
    ]})
}

fn scope(service: &Service) -> serde_json::Value {
    serde_json::json!({"name": "tidegate", "version": service.node.config.version})
}

/// Says once that a collector takes nothing, and once that it does again.
fn tell(outcome: Result<u64, Refused>, what: &str, is_failing: &mut bool) {
    match outcome {
        Ok(_) if *is_failing => super::say(&format!("the collector takes {what} again")),
        Err(refused) if !*is_failing => {
            super::warn(&format!(
                "the collector does not take {what}: {}",
                refused.why
            ));
            *is_failing = true;
            return;
        }
        Err(_) => return,
        Ok(_) => {}
    }
    *is_failing = false;
}

/// Sends a body, and again where that may help; returns how much of it the collector rejected.
async fn send(otlp: &Otlp, path: &str, body: &str, pauses: &[Duration]) -> Result<u64, Refused> {
    let mut pauses = pauses.iter();
    loop {
        let outcome = match tokio::time::timeout(PATIENCE, post(otlp, path, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(passing("no answer in time")),
        };
        match (outcome, pauses.next()) {
            (Err(refused), Some(pause)) if refused.is_passing => tokio::time::sleep(*pause).await,
            (outcome, _) => return outcome,
        }
    }
}

fn passing(why: impl ToString) -> Refused {
    Refused {
        why: why.to_string(),
        is_passing: true,
    }
}

/// One request on a connection of its own.
async fn post(otlp: &Otlp, path: &str, body: &str) -> Result<u64, Refused> {
    let rest = otlp.url.strip_prefix("http://").unwrap_or(&otlp.url);
    let (authority, base) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let mut head = format!(
        "POST {base}{path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        body.len()
    );
    for header in &otlp.headers {
        let _ = write!(head, "{}: {}\r\n", header.name, header.value.reveal());
    }
    head.push_str("\r\n");
    let stream = TcpStream::connect(authority).await.map_err(passing)?;
    write_all(&stream, head.as_bytes()).await.map_err(passing)?;
    write_all(&stream, body.as_bytes()).await.map_err(passing)?;
    let answer = read_answer(&stream).await.map_err(passing)?;
    // `HTTP/1.1 200`
    let status = answer
        .get(9..12)
        .and_then(|code| std::str::from_utf8(code).ok());
    match status.and_then(|code| code.parse::<u16>().ok()) {
        Some(200..=299) => Ok(rejected_spans(&answer)),
        Some(status) => Err(Refused {
            why: format!("status {status}"),
            is_passing: matches!(status, 429 | 502 | 503 | 504),
        }),
        None => Err(passing("what it answers is no HTTP")),
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The answer up to its end, or what has come of it. Leaving earlier would reset the connection under
/// a collector that still writes.
async fn read_answer(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    read_until(stream, &mut answer, 12).await?;
    if answer.len() < 12 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // Its status counts, however it ends; one that does not close the connection is not waited for.
    let _ = tokio::time::timeout(ENDING, read_until(stream, &mut answer, ANSWER)).await;
    Ok(answer)
}

/// Reads until there are `enough` bytes, or no more.
async fn read_until(stream: &TcpStream, answer: &mut Vec<u8>, enough: usize) -> io::Result<()> {
    let mut piece = [0; 1024];
    while answer.len() < enough {
        stream.readable().await?;
        match stream.try_read(&mut piece) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many spans an answer with status 200 says were not taken (OTLP, "Partial Success"): the
/// number, in quotes or not, behind `rejectedSpans`; 0 where there is none.
fn rejected_spans(answer: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(answer);
    let Some((_, rest)) = text.split_once("\"rejectedSpans\"") else {
        return 0;
    };
    let rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ':', '"']);
    let end = rest
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..end)
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}
