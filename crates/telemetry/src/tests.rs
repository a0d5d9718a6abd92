// SPDX-License-Identifier: Apache-2.0
use crate::*;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Long enough for any machine; a test that works does not wait for it.
const PATIENCE: Duration = Duration::from_secs(60);

fn line(path: &[u8], query: &[u8], redact: &[&str]) -> String {
    let mut batch = LogBatch::default();
    let mut entry = LogEntry::new(IpAddr::from([192, 0, 2, 1]));
    entry.wall_micros = 951_782_400_000_001; // 2000-02-29
    entry.status = 200;
    batch.push(
        entry,
        [
            b"id",
            b"web",
            b"GET",
            b"h",
            path,
            query,
            b"r",
            b"b",
            b"e",
            b"",
            b"",
            b"X-A\n1\nCookie\nsecret\n",
            b"X-B\n2\n",
            b"",
            b"",
            b"",
            b"fingerprint\nab12\nsubject\nCN=a\\, \"b\"\n",
            b"",
            b"",
            b"office",
        ],
    );
    let mut out = Vec::new();
    let format = LogFormat {
        redact_query: redact.iter().map(|word| word.to_string()).collect(),
        redact_fields: vec!["cookie".into()],
        ..LogFormat::default()
    };
    let entry = batch.entries().first().copied().unwrap();
    format_entry(&mut out, &batch, &entry, &format, false);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_peer_cannot_forge_a_line() {
    let line = line(b"/a\n{\"status\":200}\x1b[2J\xff\"", b"", &[]);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(
        line.contains(r#""path":"/a\n{\"status\":200}\u001b[2J"#),
        "{line}"
    );
}

#[test]
fn credentials_in_the_query_are_redacted_even_when_escaped() {
    let line = line(
        b"/",
        b"a=1&access%5Ftoken=secret&TOKEN=secret&b",
        &["access_token", "token"],
    );
    assert!(
        line.contains(r#""query":"a=1&access%5Ftoken=[redacted]&TOKEN=[redacted]&b""#),
        "{line}"
    );
}

#[test]
fn the_time_is_a_date_of_the_calendar() {
    assert!(line(b"/", b"", &[]).starts_with(r#"{"time":"2000-02-29T00:00:00.000001Z""#));
}

#[test]
fn a_long_text_is_cut_and_its_neighbours_stay_whole() {
    let long = vec![b'x'; 5000];
    let line = line(&long, b"q=1", &[]);
    assert!(
        line.len() < 1600 && line.contains(r#""query":"q=1""#) && line.contains(r#""route":"r""#)
    );
}

#[test]
fn the_writer_survives_a_sink_that_fails_and_counts_what_is_lost() {
    let writer = LogWriter::start(|_| {}).unwrap();
    writer.set_output(Some("/dev/full".into()), LogFormat::default());
    let mut batch = LogBatch::default();
    let entry = LogEntry::new(IpAddr::from([127, 0, 0, 1]));
    batch.push(
        entry,
        [
            b"req-1", b"", b"", b"", b"/p", b"", b"", b"", b"", b"", b"", b"", b"", b"", b"", b"",
            b"", b"", b"", b"",
        ],
    );
    writer.sender().send(batch);
    assert!(writer.flush(PATIENCE));
    assert_eq!(writer.dropped(), 1);
    assert!(writer.find("req-1").is_some_and(|line| line.contains("/p")));
    assert!(writer.find("req-2").is_none());
}

#[test]
fn an_output_that_fails_is_told_once_and_again_when_it_is_opened_anew() {
    let (told, hear) = std::sync::mpsc::channel();
    let writer = LogWriter::start(move |text| drop(told.send(text.to_owned()))).unwrap();
    let lose = |count: u64| {
        for index in 0..count {
            writer.sender().send(large(&format!("req-{index}")));
        }
        assert!(writer.flush(PATIENCE));
        assert_eq!(writer.dropped(), count);
        hear.try_iter().collect::<Vec<_>>()
    };
    writer.set_output(Some("/nowhere/access.log".into()), LogFormat::default());
    let heard = lose(3);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].contains("access log: /nowhere/access.log can not be opened: No such file"),
        "{heard:?}"
    );
    writer.reopen();
    assert!(writer.flush(PATIENCE));
    assert_eq!(hear.try_iter().count(), 1);

    let (told, hear) = std::sync::mpsc::channel();
    let writer = LogWriter::start(move |text| drop(told.send(text.to_owned()))).unwrap();
    writer.set_output(Some("/dev/full".into()), LogFormat::default());
    for _ in 0..3 {
        writer.sender().send(large("req"));
        assert!(writer.flush(PATIENCE));
    }
    let heard: Vec<_> = hear.try_iter().collect();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].contains("/dev/full takes no more lines"),
        "{heard:?}"
    );
}

#[test]
fn routes_beyond_the_cap_share_one_label() {
    let stats: Vec<_> = (0..1002)
        .map(|index| {
            (
                Arc::<str>::from(format!("r{index}")),
                Arc::new(SharedRouteStats::new(1)),
            )
        })
        .collect();
    for (_, stats) in &stats {
        stats.of(0).unwrap().record(204, 700, 0, 10, 0);
    }
    let text = render(&Scrape {
        routes: stats,
        ..Scrape::default()
    });
    assert!(text.contains("tidegate_requests_total{route=\"r999\",status=\"2xx\"} 1\n"));
    assert!(text.contains("tidegate_requests_total{route=\"_other\",status=\"2xx\"} 2\n"));
    assert!(!text.contains("r1000"));
    assert!(text.contains("le=\"0.0005\"} 0\n") && text.contains("le=\"0.001\"} 1\n"));
}

#[test]
fn fields_asked_for_are_shown_and_credentials_among_them_are_not() {
    let line = line(b"/", b"", &[]);
    assert!(
        line.contains(r#""fields":{"X-A":"1","Cookie":"[redacted]"}"#),
        "{line}"
    );
}

/// One entry called `id`, with as much text as fits.
fn large(id: &str) -> LogBatch {
    let mut batch = LogBatch::default();
    let text = vec![b'x'; 1024];
    let mut texts = [&text[..]; TEXTS];
    texts[0] = id.as_bytes();
    batch.push(LogEntry::new(IpAddr::from([127, 0, 0, 1])), texts);
    batch
}

#[test]
fn what_is_kept_for_why_is_limited_in_bytes_too() {
    let writer = LogWriter::start(|_| {}).unwrap();
    for index in 0..3000 {
        writer.sender().send(large(&format!("req-{index}")));
        if index % 100 == 99 {
            assert!(writer.flush(PATIENCE));
        }
    }
    assert!(writer.find("req-0").is_none());
    assert!(writer.find("req-2999").is_some());
}

#[test]
fn a_sink_that_blocks_blocks_nobody_else() {
    // A pipe that nobody reads takes 64 KiB and then no more.
    let (reader, end) = std::io::pipe().unwrap();
    let writer = LogWriter::start(|_| {}).unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&end));
    writer.set_output(Some(path.into()), LogFormat::default());
    for index in 0..600 {
        writer.sender().send(large(&format!("req-{index}")));
    }
    assert!(!writer.flush(Duration::from_millis(1)));
    writer.reopen();
    writer.set_output(None, LogFormat::default());
    // Its reader leaves: what was stuck fails, and the order given meanwhile is carried out.
    drop(reader);
    let (_open, pause) = std::sync::mpsc::channel::<()>();
    let mut looks = (0..600).map(|_| {
        let _ = pause.recv_timeout(Duration::from_millis(100));
        writer.flush(PATIENCE)
    });
    assert!(looks.any(|flushed| flushed));
}

/// One ordinary entry, formatted by a writer of its own into a file.
fn logged(path: &[u8], agent: &[u8], format: LogFormat, count: usize) -> String {
    let file = std::env::temp_dir().join(format!(
        "tidegate-{}-{:x}",
        std::process::id(),
        tidegate_core::Draw::from_entropy().bits()
    ));
    let writer = LogWriter::start(|_| {}).unwrap();
    writer.set_output(Some(file.clone()), format);
    for _ in 0..count {
        let mut batch = LogBatch::default();
        let mut entry = LogEntry::new(IpAddr::from([192, 0, 2, 1]));
        entry.wall_micros = 971_186_136_000_000; // 2000-10-10 13:55:36
        (entry.status, entry.bytes_out) = (200, 2326);
        let mut texts: [&[u8]; TEXTS] = [b""; TEXTS];
        texts[Text::Method as usize] = b"GET";
        texts[Text::Path as usize] = path;
        texts[Text::Query as usize] = b"a=1&token=secret";
        texts[Text::UserAgent as usize] = agent;
        batch.push(entry, texts);
        writer.sender().send(batch);
        assert!(writer.flush(PATIENCE));
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let _ = std::fs::remove_file(file);
    text
}

#[test]
fn a_combined_line_is_as_other_programs_write_it() {
    let format = LogFormat {
        is_combined: true,
        redact_query: vec!["token".into()],
        ..LogFormat::default()
    };
    assert_eq!(
        logged(b"/apache.gif", b"Mozilla/4.08", format, 1),
        "192.0.2.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /apache.gif?a=1&token=[redacted] HTTP/1.1\" \
         200 2326 \"-\" \"Mozilla/4.08\"\n"
    );
}

#[test]
fn no_peer_can_forge_a_combined_line() {
    let format = LogFormat {
        is_combined: true,
        ..LogFormat::default()
    };
    let line = logged(b"/a", b"x\" \"y\"\n192.0.2.9 - -\x1b\\\xff", format, 1);
    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(line.matches('"').count(), 6);
    assert!(
        line.ends_with("\"x\\x22 \\x22y\\x22\\x0A192.0.2.9 - -\\x1B\\x5C\\xFF\"\n"),
        "{line}"
    );
}

#[test]
fn a_sampled_log_has_its_share_of_lines_and_says_which() {
    let format = LogFormat {
        one_in: 4,
        ..LogFormat::default()
    };
    let text = logged(b"/a", b"", format, 400);
    let lines = text.lines().count();
    assert!((40..180).contains(&lines), "{lines} of 400");
    assert!(text.lines().all(|line| line.contains(",\"one_in\":4,")));
}
