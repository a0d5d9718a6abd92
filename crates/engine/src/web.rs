// SPDX-License-Identifier: Apache-2.0
//! Calls of gRPC by pages in browsers: gRPC-Web to clients, gRPC to endpoints (gRPC's `PROTOCOL-WEB.md`).
//!
//! The head is translated when its route is known, and from there on the call is like any other. Its
//! content is followed and decoded where it is read ([`Incoming`]), that of its answer where it is passed
//! on ([`Outgoing`]).
use crate::grpc;
use serde_json::{Value, json};
use std::rc::Rc;
use std::sync::Arc;
use tidegate_config::{Cors, GrpcWeb};
use tidegate_contract::Answer;
use tidegate_core::ErrorKind;
use tidegate_http::{Messages, TextDecoder, TextEncoder, trailers_frame};
use tidegate_policies::cors::{CorsPlan, Terms, Told};
use tidegate_request::{FieldId, Fields, Reject, Request, Response};

const NATIVE: &[u8] = b"application/grpc";
const BINARY: &[u8] = b"application/grpc-web";
const TEXT: &[u8] = b"application/grpc-web-text";

/// What pages may send with a call, and read of its answer, whatever else they may.
const SENT: [&str; 4] = ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"];
const READ: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// The settings of a route.
pub(crate) struct WebPlan {
    cors: Option<Arc<CorsPlan>>,
}

impl WebPlan {
    pub(crate) fn build(config: GrpcWeb) -> Self {
        let cors = config.cors.map(|cors| Arc::new(CorsPlan::new(terms(cors))));
        Self { cors }
    }

    /// The answer to a browser that asks before a page of another site may.
    pub(crate) fn answered(&self, request: &Request) -> Option<Answer> {
        self.cors.as_ref()?.answered(request)
    }

    /// Begins a call, of gRPC-Web or not: the request is one of gRPC afterwards.
    pub(crate) fn begin(&self, request: &mut Request) -> Rc<Web> {
        let told = self.cors.as_ref().map(|cors| cors.judge(request));
        let call = translate(request);
        Rc::new(Web { call, told })
    }

    /// As [`Self::begin`], for `explain`: what a browser is told that asks whether a page may call.
    pub(crate) fn explain(&self, request: &mut Request) -> Option<Value> {
        let answer = self.answered(request);
        self.begin(request);
        let Answer { status, fields, .. } = answer?;
        let allowed = fields.get_name(b"access-control-allow-origin");
        let allowed = allowed.map(String::from_utf8_lossy);
        Some(json!({"outcome": "respond", "status": status, "by": "cors", "origin": allowed}))
    }
}

/// The settings with what every call has besides.
fn terms(config: Cors) -> Terms {
    let joined = |first: &[&str], more: Vec<String>| {
        let first = first.iter().map(|name| (*name).to_owned());
        first.chain(more).collect()
    };
    Terms {
        origins: config.origins,
        methods: vec!["POST".to_owned()],
        headers: joined(&SENT, config.headers),
        exposed: joined(&READ, config.exposed),
        credentials: config.credentials,
        max_age: config.max_age.0 / 1000,
    }
}

/// What becomes of one call on a route that has the setting.
#[derive(Debug)]
pub(crate) struct Web {
    /// It came as gRPC-Web.
    pub(crate) call: Option<Call>,
    told: Option<Told>,
}

impl Web {
    /// Tells the page of the answer what it may do with it.
    pub(crate) fn tell(&self, response: &mut Response) {
        if let Some(told) = &self.told {
            told.tell(response.fields_mut());
        }
    }
}

/// How messages are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Binary,
    /// In base64: for clients that can read only text as it comes.
    Text,
}

/// A call that came as gRPC-Web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    asked: Form,
    answered: Form,
}

/// The form of a media type, and what stands behind its name: a format, parameters.
fn form_of(media_type: &[u8]) -> Option<(Form, &[u8])> {
    let behind = |name: &[u8]| {
        let (begin, rest) = media_type.split_at_checked(name.len())?;
        let is_it = begin.eq_ignore_ascii_case(name)
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '));
        is_it.then_some(rest)
    };
    match behind(TEXT) {
        Some(rest) => Some((Form::Text, rest)),
        None => behind(BINARY).map(|rest| (Form::Binary, rest)),
    }
}

/// Makes a request that is gRPC-Web a call of gRPC; `None` for all others, which stay as they are.
pub(crate) fn translate(request: &mut Request) -> Option<Call> {
    let media_type = request.fields().get(FieldId::ContentType)?;
    let (asked, rest) = form_of(media_type)?;
    let native = [NATIVE, rest].concat();
    let accepted = request.fields().get(FieldId::Accept).and_then(form_of);
    let accepted = accepted.map(|(form, _)| form);
    let mut fields = request.fields_mut();
    // It is shorter than what it replaces.
    let _ = fields.set(b"Content-Type", &native);
    if accepted.is_some() {
        let _ = fields.remove_id(FieldId::Accept);
    }
    let _ = fields.remove(b"x-grpc-web");
    request.offer_trailers();
    Some(Call {
        asked,
        answered: accepted.unwrap_or(asked),
    })
}

impl Call {
    /// What follows the content of the request.
    pub(crate) fn incoming(self) -> Incoming {
        Incoming {
            messages: Messages::default(),
            text: (self.asked == Form::Text).then(TextDecoder::default),
        }
    }

    /// What writes the content of the answer.
    pub(crate) fn outgoing(self) -> Outgoing {
        Outgoing {
            messages: Messages::default(),
            is_broken: false,
            text: (self.answered == Form::Text).then(TextEncoder::default),
        }
    }

    /// Names an answer of gRPC as this client reads it; false for an answer that is none.
    pub(crate) fn retitle(self, response: &mut Response) -> bool {
        let Some(media_type) = response.fields().get(FieldId::ContentType) else {
            return false;
        };
        if !grpc::is_content(media_type) {
            return false;
        }
        let name = match self.answered {
            Form::Binary => BINARY,
            Form::Text => TEXT,
        };
        let rest = media_type.get(NATIVE.len()..).unwrap_or_default();
        let title = [name, rest].concat();
        let _ = response.fields_mut().set(b"Content-Type", &title);
        true
    }
}

/// The content of a request, on its way to the endpoint.
pub(crate) struct Incoming {
    messages: Messages,
    text: Option<TextDecoder>,
}

impl Incoming {
    /// Whether what goes on is of another length than what comes.
    pub(crate) fn is_text(&self) -> bool {
        self.text.is_some()
    }

    /// Decodes what stands in `out` from `from` on; with `ends` it is the last.
    ///
    /// # Errors
    /// It is no base64, no messages of gRPC, or ends in the middle of either.
    pub(crate) fn pass(
        &mut self,
        out: &mut Vec<u8>,
        from: usize,
        ends: bool,
    ) -> Result<(), Reject> {
        let bad = |detail| Reject::new(ErrorKind::HttpRequestError, detail);
        if let Some(text) = &mut self.text {
            text.decode(out, from)
                .map_err(|_| bad("the content of a call by gRPC-Web is no base64"))?;
            if ends && !text.is_between() {
                return Err(bad(
                    "the content of a call by gRPC-Web is base64 that is cut",
                ));
            }
        }
        self.messages
            .see(out.get(from..).unwrap_or_default())
            .map_err(|_| bad("the content of a call by gRPC-Web is no messages"))?;
        match ends && !self.messages.is_between() {
            true => Err(bad(
                "the content of a call by gRPC-Web ends within a message",
            )),
            false => Ok(()),
        }
    }
}

/// The content of an answer, on its way to the client.
pub(crate) struct Outgoing {
    messages: Messages,
    /// What was to be passed was no messages, and none of it was.
    is_broken: bool,
    text: Option<TextEncoder>,
}

impl Outgoing {
    /// What the client gets for `data`: messages that are whole at once, of others what makes groups of
    /// base64.
    ///
    /// # Errors
    /// They are no messages.
    pub(crate) fn pass(&mut self, data: &[u8]) -> Result<Passed, &'static str> {
        if self.messages.see(data).is_err() {
            self.is_broken = true;
            return Err("the endpoint's answer is no messages of gRPC");
        }
        let flushes = self.messages.is_between();
        Ok(match &mut self.text {
            None => Passed::AsItIs,
            Some(text) => {
                let mut out = Vec::with_capacity(data.len().div_ceil(3) * 4 + 4);
                text.encode(data, flushes, &mut out);
                Passed::Encoded(out)
            }
        })
    }

    /// Whether a message has ended, or none has begun.
    pub(crate) fn is_between(&self) -> bool {
        !self.is_broken && self.messages.is_between()
    }

    /// The last frame, by these trailers; `None` in the middle of a message, where it would be taken for a part
    /// of that.
    pub(crate) fn end(&mut self, trailers: &Fields) -> Option<Vec<u8>> {
        if !self.is_between() {
            return None;
        }
        let frame = match grpc::code_in(trailers) {
            Some(_) => trailers_frame(trailers),
            // A client of gRPC takes that for `unknown` by itself.
            None => trailers_frame(&grpc::without_status()),
        };
        let Some(text) = &mut self.text else {
            return Some(frame);
        };
        let mut out = Vec::new();
        text.encode(&frame, true, &mut out);
        Some(out)
    }
}

/// What became of a piece of content.
pub(crate) enum Passed {
    AsItIs,
    Encoded(Vec<u8>),
}

#[cfg(test)]
mod tests {
    use super::{Call, Form, Passed, form_of};
    use tidegate_request::Fields;

    const BOTH: [Call; 2] = [
        Call {
            asked: Form::Binary,
            answered: Form::Binary,
        },
        Call {
            asked: Form::Text,
            answered: Form::Text,
        },
    ];

    #[test]
    fn a_media_type_says_the_form() {
        for (media_type, form, rest) in [
            ("application/grpc-web", Form::Binary, ""),
            ("application/grpc-web+proto", Form::Binary, "+proto"),
            ("Application/gRPC-Web;a=b", Form::Binary, ";a=b"),
            ("application/grpc-web-text", Form::Text, ""),
            ("application/grpc-web-text+json", Form::Text, "+json"),
        ] {
            assert_eq!(
                form_of(media_type.as_bytes()),
                Some((form, rest.as_bytes()))
            );
        }
        for other in [
            "",
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-webx",
            "application/grpc-web-texts",
            "text/plain",
        ] {
            assert_eq!(form_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn content_that_is_cut_is_refused_at_its_end() {
        let [binary, text] = BOTH;
        for (call, content) in [
            (binary, &[0, 0, 0, 0, 1, 7][..]),
            (text, b"AAAAAAEH".as_slice()),
        ] {
            for at in 0..content.len() {
                let mut whole = content.to_vec();
                assert!(call.incoming().pass(&mut whole, 0, true).is_ok());
                assert_eq!(whole, [0, 0, 0, 0, 1, 7]);
                let mut cut = content.get(..at).unwrap().to_vec();
                let refused = call.incoming().pass(&mut cut, 0, true).is_err();
                assert_eq!(refused, at > 0, "{at}");
            }
        }
    }

    #[test]
    fn an_answer_ends_with_a_frame_between_messages_alone() {
        for call in BOTH {
            let mut out = call.outgoing();
            assert!(out.pass(&[0, 0, 0, 0, 2, 7]).is_ok());
            assert_eq!(out.end(&Fields::default()), None);
            assert!(out.pass(&[7]).is_ok());
            assert!(out.end(&Fields::default()).is_some());
            assert!(out.pass(&[0, 0, 0, 0, 1]).is_ok());
            assert!(out.pass(&[7, 0x80, 0, 0, 0, 0]).is_err());
            assert_eq!(out.end(&Fields::default()), None, "half a message was sent");
        }
        let mut out = BOTH[1].outgoing();
        let Ok(Passed::Encoded(text)) = out.pass(&[0, 0, 0, 0, 1, 7]) else {
            panic!("not encoded")
        };
        assert_eq!(text, b"AAAAAAEH");
    }
}
