// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 over TLS (RFC 9113).
use crate::deadline::{Deadline, is_timeout};
use crate::{Answer, Question};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use tidegate_http2::{Connection, Event, Settings};
use tidegate_tls::Inquiry;

const PIECE: usize = 16 << 10;

type Stream = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn ask(question: &Question<'_>) -> Result<Answer, String> {
    let deadline = Deadline::new(question.patience);
    let mut stream = connect(question, &deadline)?;
    let mut machine = Connection::client(Settings::default());
    machine
        .send_request(question.head(), question.fields.iter(), true)
        .map_err(|error| format!("the request can not be sent: {error:?}"))?;
    let mut answer = Answer {
        protocol: "h2".to_owned(),
        ..Answer::default()
    };
    // What came and is not whole yet.
    let mut input = Vec::new();
    loop {
        while !machine.output().is_empty() {
            let count = stream.write(machine.output()).map_err(|e| broken(&e))?;
            machine.sent(count);
        }
        stream.flush().map_err(|error| broken(&error))?;
        if read(&mut machine, &mut input, &mut answer, &deadline)? {
            stream.conn.send_close_notify();
            let _ = stream.flush(); // The answer is here; how the connection ends is all the same.
            return Ok(answer);
        }
        stream
            .sock
            .set_read_timeout(Some(deadline.left()?))
            .map_err(|error| broken(&error))?;
        let mut piece = [0; PIECE];
        match stream.read(&mut piece) {
            Ok(0) => return Err("the connection was closed before the answer ended".to_owned()),
            Ok(count) => input.extend_from_slice(piece.get(..count).unwrap_or_default()),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// A connection whose handshake is over.
fn connect(question: &Question<'_>, deadline: &Deadline) -> Result<Stream, String> {
    let inquiry = Inquiry::new(question.authorities.clone(), b"h2")?;
    let name = ServerName::try_from(question.server_name.to_owned())
        .map_err(|_| format!("`{}` is no name of a host", question.server_name))?;
    let session =
        ClientConnection::new(inquiry.config.clone(), name).map_err(|error| error.to_string())?;
    let socket = TcpStream::connect_timeout(&question.address, deadline.left()?)
        .map_err(|error| format!("{}: {error}", question.address))?;
    let mut stream = StreamOwned::new(session, socket);
    while stream.conn.is_handshaking() {
        let left = Some(deadline.left()?);
        let limited = stream.sock.set_read_timeout(left);
        limited
            .and_then(|()| stream.sock.set_write_timeout(left))
            .map_err(|error| broken(&error))?;
        match stream.conn.complete_io(&mut stream.sock) {
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) => {
                let fault = inquiry.fault().map(|fault| fault.detail);
                return Err(fault.unwrap_or_else(|| broken(&error)));
            }
        }
    }
    match stream.conn.alpn_protocol() {
        Some(b"h2") => Ok(stream),
        _ => Err("HTTP/2 is not spoken there".to_owned()),
    }
}

/// Takes what is whole of what came; true when the answer is.
fn read(
    machine: &mut Connection,
    input: &mut Vec<u8>,
    answer: &mut Answer,
    deadline: &Deadline,
) -> Result<bool, String> {
    let mut at = 0;
    let mut is_over = false;
    while !is_over {
        let rest = input.get(at..).unwrap_or_default();
        let received = machine
            .receive(deadline.moment(), rest)
            .map_err(|error| format!("what was answered is no HTTP/2: {error}"))?;
        at += received.consumed;
        match received.event {
            None => break,
            Some(Event::Response {
                status,
                storage,
                ends,
                ..
            }) => {
                answer.begin(status, storage.fields().iter());
                is_over = ends;
            }
            Some(Event::Data { stream, data, ends }) => {
                answer.take(data)?;
                is_over = ends;
                let count = data.len();
                machine.release(stream, count);
            }
            Some(Event::Trailers { .. }) => is_over = true,
            Some(Event::Reset { code, detail, .. }) => {
                return Err(format!(
                    "the request was given up: {} {detail}",
                    code.name()
                ));
            }
            Some(_) => {}
        }
    }
    input.drain(..at);
    Ok(is_over)
}

fn broken(error: &io::Error) -> String {
    error.to_string()
}
