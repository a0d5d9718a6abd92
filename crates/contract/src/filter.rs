// SPDX-License-Identifier: Apache-2.0
use crate::{Document, Identity};
use std::any::Any;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use tidegate_core::{ClientCertificate, ErrorKind};
use tidegate_request::{Fields, Request, Response};

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The user agent's address: the peer's, or what a trusted proxy says of it.
    pub address: IpAddr,
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// The port at the other end; 0 for Unix sockets.
    pub port: u16,
    /// Whether the peer is one of `trusted_proxies`.
    pub is_trusted: bool,
}

/// Names and values of a template's parameters, in the order of the path.
pub type Parameters = Vec<(String, String)>;

/// One request on its way, as filters see it.
pub struct Exchange {
    /// The canonical request. A filter changes what is sent on, never how it was framed or routed.
    pub request: Request,
    /// Who asks.
    pub client: Client,
    /// The listener's name, where there are policies to ask for it.
    pub listener: Option<Arc<str>>,
    /// The version of TLS that the client speaks, such as `TLSv1.3`; empty without.
    pub tls: &'static str,
    /// The client's certificate, where the listener asked for one.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// Who calls, as far as a policy has proved it.
    pub identity: Option<Arc<Identity>>,
    /// The route's name.
    pub route: Arc<str>,
    /// What a template path matched.
    pub parameters: Parameters,
    /// Unique in the fleet; 26 characters.
    pub request_id: String,
    /// When its head was complete, in seconds from 1970.
    pub received: u64,
    /// The whole body, if a filter asked for it.
    pub body: Option<Vec<u8>>,
    /// Positions of filters that take no part, by their conditions.
    pub left_out: Vec<usize>,
    /// What filters that are only tried would have answered: their names, and the status.
    pub would_answer: Vec<(Arc<str>, u16)>,
    /// What a filter keeps from its request phase to its response phase, by the filter's position.
    pub kept: Vec<Option<Box<dyn Any>>>,
}

/// What a filter of the request phase may have changed of an exchange.
pub struct Before(Box<(Request, Option<Arc<Identity>>)>);

impl Exchange {
    /// Keeps what a filter may change, where it is only tried. On the heap: it is rare, and large.
    pub fn keep(&self) -> Before {
        Before(Box::new((self.request.clone(), self.identity.clone())))
    }

    /// Makes it what it was.
    pub fn restore(&mut self, before: Before) {
        (self.request, self.identity) = *before.0;
    }
}

/// A response made here instead of by an endpoint.
#[derive(Debug)]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// Without framing fields.
    pub fields: Fields,
    /// The whole body.
    pub body: Vec<u8>,
    /// Set when it reports a failure: of what kind, and how the log puts it. One without a body gets
    /// problem details.
    pub error: Option<(ErrorKind, &'static str)>,
}

impl Answer {
    /// A failure without words of its own: the engine puts in a page, or the problem details of RFC 9457.
    pub fn failure(kind: ErrorKind, detail: &'static str) -> Self {
        Self {
            status: kind.status(),
            fields: Fields::new(),
            body: Vec::new(),
            error: Some((kind, detail)),
        }
    }
}

/// What happens after a filter.
pub enum Flow<'a> {
    /// The next filter, then the endpoint or the client.
    Continue,
    /// This is the response.
    Respond(Box<Answer>),
    /// Ask again when this is done. The only flow that allocates.
    Wait(Pin<Box<dyn Future<Output = Flow<'a>> + 'a>>),
}

/// Which phases a filter takes part in; the others cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    /// Before the request goes to an endpoint.
    pub request: bool,
    /// Before the response goes to the client.
    pub response: bool,
    /// Bytes of body wanted in [`Exchange::body`] before the request phase; more is a 413.
    pub body: Option<u64>,
    /// Its response phase is for responses as well that report a failure on the way, made by tidegate: a
    /// refusal, an endpoint that is not there. The request phase may not have come to it then, the status is
    /// known and no field, and what it waits for or answers is not heard.
    pub failures: bool,
    /// Its request phase answers browsers that ask whether a page may make a request (CORS-preflight requests).
    /// They come by the route that would take that request.
    pub questions: bool,
}

/// What a policy becomes in the engine.
pub trait Filter: Send + Sync {
    /// Gives each document that it works with away for the one that the node has of the same source. Called
    /// once, before anything else.
    fn share(&mut self, known: &dyn Fn(Arc<Document>) -> Arc<Document>) {
        let _ = known;
    }

    /// Asked once, when the snapshot is built.
    fn phases(&self) -> Phases;

    /// The request, before it goes to an endpoint. `position` is this filter's place in
    /// [`Exchange::kept`].
    fn request<'a>(&'a self, exchange: &'a mut Exchange, position: usize) -> Flow<'a> {
        let _ = (exchange, position);
        Flow::Continue
    }

    /// The response, before it goes to the client. Called in the reverse order of requests.
    fn response<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        response: &'a mut Response,
        position: usize,
    ) -> Flow<'a> {
        let _ = (exchange, response, position);
        Flow::Continue
    }

    /// Whether the outcome depends on this exchange alone. What asks someone is shown by
    /// `explain` as "would ask" and not called.
    fn is_pure(&self) -> bool {
        true
    }
}
